--- A number for each text.
local errors = require("fsam.errors")

require("fsam.data.problems").define("regression", {
  loss = "mse",
  packing = function()
    return { regression = true }
  end,
  target = function(label)
    if type(label) ~= "number" or label ~= label then
      errors.raise("the model is a regression; it needs a number as label, got %s",
        tostring(label))
    end
    return label
  end,
  fault = function(label)
    return (type(label) ~= "number" or label - label ~= 0) and "a number" or nil
  end,
  decide = function()
    return false -- metrics compare the scores themselves
  end,
  answer = function(logits)
    return { score = logits[1] }
  end,
})
