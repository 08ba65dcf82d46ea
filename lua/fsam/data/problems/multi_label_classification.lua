--- Any of the labels for each text, or none: a list of classes, from 0, in ascending order. A label
-- is answered where its probability exceeds one half.
local argmax = require("fsam.base.argmax")
local problems = require("fsam.data.problems")

local function chosen(logits)
  local list = {}
  for c, x in ipairs(logits) do
    if x > 0 then
      list[#list + 1] = c - 1
    end
  end
  return list
end

local function sigmoid(logits)
  local p = {}
  for c, x in ipairs(logits) do
    p[c] = 1 / (1 + math.exp(-x))
  end
  return p
end

problems.define("multi_label_classification", {
  loss = "binary_cross_entropy",
  packing = function(classes)
    return { several = classes }
  end,
  target = function(label, labels)
    local list, seen = {}, {}
    for _, item in ipairs(type(label) == "table" and label or { label }) do
      local class = problems.get("single_label_classification").target(item, labels)
      if not seen[class] then
        list[#list + 1], seen[class] = class, true
      end
    end
    table.sort(list)
    return list
  end,
  fault = function(label, classes)
    local last, good = -1, type(label) == "table"
    for _, class in ipairs(good and label or {}) do
      good = good and type(class) == "number" and class % 1 == 0 and class > last
        and class < classes
      last = class
    end
    return not good and ("a list of classes from 0 to %d, in ascending order"):format(classes - 1)
      or nil
  end,
  decide = function(logits)
    return argmax(logits) and chosen(logits) or false
  end,
  answer = function(logits, labels)
    local names = {}
    for i, class in ipairs(chosen(logits)) do
      names[i] = labels[class + 1]
    end
    return { chosen = names, probabilities = sigmoid(logits), labels = labels }
  end,
})
