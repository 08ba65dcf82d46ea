--- A number for each text.
local errors = require("fsam.errors")
local numbers = require("fsam.base.numbers")
local schema = require("fsam.base.schema")

-- What the loss can compute with, in f32.
local function is_score(label)
  return type(label) == "number" and math.abs(label) <= numbers.F32_MOST
end

require("fsam.data.problems").define("regression", {
  loss = "mse",
  packing = function()
    return { regression = true }
  end,
  target = function(label)
    if not is_score(label) then
      errors.raise("the model is a regression; it needs a number as label, got %s",
        type(label) == "string" and label or schema.show(label))
    end
    return label
  end,
  fault = function(label)
    return not is_score(label) and "a number" or nil
  end,
  decide = function()
    return false -- metrics compare the scores themselves
  end,
  answer = function(logits)
    return { score = logits[1] }
  end,
})
