--- fsam.load(path): a trained model with its tokenizer, which predicts texts and can be looked
-- into. The REPL's front door; recipes put the same parts together themselves. Owns: predictions
-- and gradients of single texts. Leaves to others: loading (fsam.models, fsam.text), passes
-- (fsam.pass).
local Pass = require("fsam.pass")
local argmax = require("fsam.base.argmax")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local formats = require("fsam.formats")
local models = require("fsam.models")
local packing = require("fsam.data.packing")
local text = require("fsam.text")

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

local Prediction = {}
Prediction.__index = Prediction

-- "unacceptable 0.98   acceptable 0.02", the likeliest first.
function Prediction:__tostring()
  local order, words = {}, {}
  for c in ipairs(self.probabilities) do
    order[c] = c
  end
  table.sort(order, function(a, b)
    return self.probabilities[a] > self.probabilities[b]
  end)
  for i, c in ipairs(order) do
    words[i] = ("%s %.2f"):format(self.labels[c], self.probabilities[c])
  end
  return table.concat(words, "   ")
end

-- One text (or pair) as a host batch. label: a class, from 0.
local function pack(model, sentence, pair, label)
  local ids, token_types = model.tokenizer:encode(sentence, pair)
  return packing.pack({ { ids = ids, token_types = token_types, label = label } },
    { pad_id = model.pad_id, position_offset = model.position_offset })
end

-- The class of a label's name, or of its number from 0.
local function class_of(model, label)
  local labels = model.config.labels
  for i, name in ipairs(labels) do
    if name == label or i - 1 == label then
      return i - 1
    end
  end
  errors.raise("the model has no label %s; it has %s", tostring(label), table.concat(labels, ", "))
end

--- model:gradient(text, label[, pair]): the gradient of one text's loss at w, without dropout.
-- @tparam string sentence
-- @param label its name, or its number from 0
-- @tparam[opt] string pair the second text
-- @treturn table model.params.g, overwritten with the gradient
-- @treturn number the loss, in nats
-- @raise one line with the labels when the model does not have this one
local function gradient(model, sentence, label, pair)
  local host = pack(model, sentence, pair, class_of(model, label))
  model.params.w:tensor() -- sets that wait run first
  model.params:sync()
  local evaluate = model.pass:bind({ step = 0, batches = { host }, training = false })
  local loss = evaluate({ into = model.params.g, backward = true }):mean()
  return model.params.g, loss
end

--- model:predict(text[, pair]): the label of one text.
-- @tparam string sentence
-- @tparam[opt] string pair the second text
-- @treturn table label (its name); probabilities, logits (lists over the labels), labels; prints as
--   the labels with their probabilities
local function predict(model, sentence, pair)
  model.params.w:tensor() -- sets that wait run first
  model.params:sync()
  local logits = model.pass:predict(pack(model, sentence, pair, 0))[1]
  local best = argmax(logits)
  if not best then
    errors.raise("the model's logits are not numbers (%s): its weights are broken, or too large "
      .. "for the precision", table.concat(logits, ", "))
  end
  local p = softmax(logits)
  return setmetatable({ label = model.config.labels[best], probabilities = p, logits = logits,
    labels = model.config.labels }, Prediction)
end

--- Loads a checkpoint.
-- @tparam string path what fsam.formats opens, such as a run's folder
-- @tparam[opt] table o device ("auto"), precision ("fp32"), seed and freeze as for fsam.models.load
-- @treturn table the model (fsam.models), with tokenizer, pass, predict(text[, pair]) and
--   gradient(text, label[, pair])
-- @raise as fsam.models.load and fsam.text.load
return function(path, o)
  o = o or {}
  local source = formats.open(path)
  local device = devices.open(o.device or "auto")
  local model = models.load({ source = source, device = device, seed = o.seed,
    precision = devices.precision(o.precision or "fp32", device), freeze = o.freeze })
  model.tokenizer = text.load(source)
  model.pass = Pass.new({ model = model })
  model.predict, model.gradient = predict, gradient
  return model
end
