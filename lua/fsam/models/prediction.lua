--- What a model says about a text: a label with probabilities, or a regression's score.
--
-- Owns: the way from a text to a sample that the model takes, and from logits to an answer. Leaves
-- to others: loading a model and asking it (predictor.lua), many texts (fsam.predict).
local argmax = require("fsam.base.argmax")
local errors = require("fsam.errors")
local fit = require("fsam.data.fit")

local M = {}

local Prediction = {}
Prediction.__index = Prediction

-- "unacceptable 0.98   acceptable 0.02", the likeliest first; a regression's score.
function Prediction:__tostring()
  if self.score then
    return ("%.4f"):format(self.score)
  end
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

--- Does a model give one number in place of classes?
-- @tparam table model of fsam.load
-- @treturn boolean
function M.is_regression(model)
  return model.config.problem_type == "regression" or model.config.num_labels == 1
end

--- A text, or a pair, as a sample for packing.
-- @tparam table model of fsam.load
-- @tparam string sentence
-- @tparam[opt] string pair the second text
-- @tparam[opt="the text"] string name what messages call it
-- @treturn table ids, token_types
-- @raise one line when it is longer than the model takes, or has a token that the model has not
function M.sample(model, sentence, pair, name)
  local ids, token_types = model.tokenizer:encode(sentence, pair)
  if #ids > model.max_positions then
    errors.raise("%s has %d tokens, the model takes %d; shorten it", name or "the text", #ids,
      model.max_positions)
  end
  fit.check_ids(ids, model.tokenizer, model.vocab_size, name)
  return { ids = ids, token_types = token_types }
end

--- What a row of logits says.
-- @tparam table model of fsam.load
-- @tparam {number,…} logits one for each label
-- @treturn table logits; and label (its name), class (its number, from 1), probabilities and labels
--   (lists over the labels), or, of a regression, score. Prints as the labels with their
--   probabilities, or the score
-- @raise one line when a logit is not a finite number
function M.of(model, logits)
  local best = argmax(logits)
  if not best then
    errors.raise("the model's logits are not finite numbers (%s): its weights are broken, or too "
      .. "large for the precision", table.concat(logits, ", "))
  elseif M.is_regression(model) then
    return setmetatable({ score = logits[1], logits = logits }, Prediction)
  end
  local labels = model.config.labels
  return setmetatable({ label = labels[best], class = best, probabilities = softmax(logits),
    logits = logits, labels = labels }, Prediction)
end

return M
