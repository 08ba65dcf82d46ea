--- Predictions for many texts: `fsam.predict.run(model, samples)`.
--
-- Owns: cutting texts into batches and putting the answers back in order. Leaves to others: loading
-- a model and asking it about one text (fsam.load), where texts come from (inputs.lua) and how
-- answers are written (outputs.lua).
local arguments = require("fsam.base.arguments")
local packing = require("fsam.data.packing")
local prediction = require("fsam.models.prediction")
local schema = require("fsam.base.schema")

local M = {
  flags = require("fsam.predict.flags"),
  inputs = require("fsam.predict.inputs"),
  outputs = require("fsam.predict.outputs"),
}

-- Token ids of every sample, and the places of the samples from the shortest to the longest, so
-- that a batch has texts of about one length. Equal lengths keep their order.
local function encode(model, samples)
  local encoded, order = {}, {}
  for i, sample in ipairs(samples) do
    local name = ("text %d%s"):format(i, sample.line and (" (line %d)"):format(sample.line) or "")
    encoded[i], order[i] = prediction.sample(model, sample.text, sample.pair, name), i
  end
  table.sort(order, function(a, b)
    if #encoded[a].ids ~= #encoded[b].ids then
      return #encoded[a].ids < #encoded[b].ids
    end
    return a < b
  end)
  return encoded, order
end

--- Predicts for texts, without dropout.
-- @tparam table model of fsam.load
-- @tparam {table,…} samples { text, pair or nil }; line, where there is one, is named in messages
-- @tparam[opt=32] integer batch_size most texts in a batch
-- @treturn {table,…} in the order of the samples, see models/prediction.lua
-- @raise as prediction.sample and prediction.of there; the first names the text
function M.run(model, samples, batch_size)
  batch_size = batch_size or 32
  local encoded, order = encode(model, samples)
  local answers = {}
  model.params:sync()
  for first = 1, #order, batch_size do
    local list = {}
    for k = first, math.min(first + batch_size - 1, #order) do
      list[#list + 1] = encoded[order[k]]
    end
    local logits = model.pass:predict(packing.pack(list, model.packing))
    for k = 1, #list do
      answers[order[first + k - 1]] = prediction.of(model, logits[k])
    end
  end
  return answers
end

arguments.guard("fsam.predict", M, {
  run = { arguments.arg("model", arguments.object("a model, of fsam.load", { packing = "table" })),
    arguments.arg("samples", schema.list(schema.record({ text = schema.string,
      pair = arguments.optional(schema.string) }))),
    arguments.arg("batch_size", arguments.optional(schema.integer(1))) },
})

return M
