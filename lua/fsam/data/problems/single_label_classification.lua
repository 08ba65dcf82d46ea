--- One class for each text, from 0.
local argmax = require("fsam.base.argmax")
local errors = require("fsam.errors")

-- Probabilities of one row of logits.
local function softmax(logits)
  local largest, sum, p = math.max(unpack(logits)), 0, {}
  for c, x in ipairs(logits) do
    p[c] = math.exp(x - largest)
    sum = sum + p[c]
  end
  for c in ipairs(p) do
    p[c] = p[c] / sum
  end
  return p
end

require("fsam.data.problems").define("single_label_classification", {
  loss = "cross_entropy",
  packing = function()
    return {}
  end,
  target = function(label, labels)
    for i, name in ipairs(labels) do
      if name == label or i - 1 == label then
        return i - 1
      end
    end
    errors.raise("the model has no label %s; it has %s",
      type(label) == "table" and "that is a list" or tostring(label), table.concat(labels, ", "))
  end,
  fault = function(label, classes)
    local good = type(label) == "number" and label % 1 == 0 and label >= 0 and label < classes
    return not good and ("0 to %d"):format(classes - 1) or nil
  end,
  decide = function(logits)
    local best = argmax(logits)
    return best and best - 1 or false
  end,
  answer = function(logits, labels)
    local best = argmax(logits)
    return { label = labels[best], class = best, probabilities = softmax(logits), labels = labels }
  end,
})
