--- Predictions for many texts: `fsam.predict.run(model, samples)`.
--
-- Owns: cutting texts into batches and putting the answers back in order. Leaves to others: loading
-- a model and asking it about one text (fsam.load), where texts come from (inputs.lua) and how
-- answers are written (outputs.lua).
local arguments = require("fsam.base.arguments")
local argmax = require("fsam.base.argmax")
local errors = require("fsam.errors")
local packing = require("fsam.data.packing")
local schema = require("fsam.base.schema")

local M = {
  flags = require("fsam.predict.flags"),
  inputs = require("fsam.predict.inputs"),
  outputs = require("fsam.predict.outputs"),
}

-- exp(x − largest) / sum.
local function softmax(logits)
  local largest, sum, p = math.max(unpack(logits)), 0, {}
  for c, x in ipairs(logits) do
    p[c] = math.exp(x - largest)
    sum = sum + p[c]
  end
  for c = 1, #p do
    p[c] = p[c] / sum
  end
  return p
end

-- Token ids of every sample, and the places of the samples from the shortest to the longest, so
-- that a batch has texts of about one length. Equal lengths keep their order.
local function encode(model, samples)
  local encoded, order = {}, {}
  for i, sample in ipairs(samples) do
    local ids, token_types = model.tokenizer:encode(sample.text, sample.pair)
    if #ids > model.max_positions then
      errors.raise("text %d%s has %d tokens, the model takes %d; shorten it", i,
        sample.line and (" (line %d)"):format(sample.line) or "", #ids, model.max_positions)
    end
    encoded[i], order[i] = { ids = ids, token_types = token_types }, i
  end
  table.sort(order, function(a, b)
    if #encoded[a].ids ~= #encoded[b].ids then
      return #encoded[a].ids < #encoded[b].ids
    end
    return a < b
  end)
  return encoded, order
end

-- What a row of logits says.
local function answer(model, logits)
  local best = argmax(logits)
  if not best then
    errors.raise("the model's logits are not finite numbers (%s): its weights are broken, or too "
      .. "large for the precision", table.concat(logits, ", "))
  end
  local labels = model.config.labels
  if model.config.problem_type == "regression" or #logits == 1 then
    return { score = logits[1], logits = logits }
  end
  return { label = labels[best], class = best, probabilities = softmax(logits), logits = logits,
    labels = labels }
end

--- Predicts for texts, without dropout.
-- @tparam table model of fsam.load
-- @tparam {table,…} samples { text, pair or nil }; line, where there is one, is named in messages
-- @tparam[opt=32] integer batch_size most texts in a batch
-- @treturn {table,…} in the order of the samples: logits; and label (a name), class (its number,
--   from 1), probabilities and labels (lists over the classes), or, of a regression, score
-- @raise one line when a text is longer than the model takes, or logits are not finite
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
      answers[order[first + k - 1]] = answer(model, logits[k])
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
