--- Weights of classes in the training loss, as --class-weights gives them.
--
-- Owns: what the flag's words mean, and the rule of `auto`. Leaves to others: the losses that take
-- weights (fsam.pass.losses).
--
-- auto: the inverse of a class's frequency among the training samples, scaled so that the classes'
-- weights have the mean 1. A class without a sample counts as if it had one.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local numbers = require("fsam.base.numbers")
local schema = require("fsam.base.schema")

local M = {}

local function inverse_frequency(count, samples)
  local counts, list, sum = {}, {}, 0
  for _, sample in ipairs(samples) do
    local label = sample.label
    for _, class in ipairs(type(label) == "table" and label or { label }) do
      counts[class] = (counts[class] or 0) + 1
    end
  end
  for c = 1, count do
    list[c] = 1 / (counts[c - 1] or 1)
    sum = sum + list[c]
  end
  for c = 1, count do
    list[c] = list[c] * count / sum
  end
  return list
end

--- The weights.
-- @tparam ?{string,…} words of the flag: "auto", or a number for each label; nil: all weigh the
--   same
-- @tparam ?{string,…} labels names of the classes
-- @tparam {table,…} samples of training, with their labels
-- @treturn ?{number,…} a weight for each label
-- @raise one line that names the flag
function M.of(words, labels, samples)
  if not words or not labels then
    return nil
  elseif #words == 1 and words[1] == "auto" then
    return inverse_frequency(#labels, samples)
  end
  local list, sum = {}, 0
  for i, word in ipairs(words) do
    local weight = tonumber(word)
    if not weight or not (weight >= 0 and weight <= numbers.F32_MOST) then
      errors.raise("--class-weights: %s is not a weight; give auto, or a number from 0 to %.2g for "
        .. "each of %s", word, numbers.F32_MOST, table.concat(labels, ", "))
    end
    list[i], sum = weight, sum + weight
  end
  if #list ~= #labels then
    errors.raise("--class-weights has %d number%s, the labels are %d: %s", #list,
      #list == 1 and "" or "s", #labels, table.concat(labels, ", "))
  elseif sum == 0 then
    errors.raise("--class-weights %s: every class weighs 0, so nothing would be learnt; give one "
      .. "of %s a weight above 0", table.concat(words, ","), table.concat(labels, ", "))
  end
  return list
end

local NAMES = schema.optional(schema.list(schema.string))
arguments.guard("fsam.data.class_weights", M, {
  of = { arguments.arg("words", NAMES), arguments.arg("labels", NAMES),
    arguments.arg("samples", arguments.table) },
})

return M
