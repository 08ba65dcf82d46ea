--- What a model says about a text: a label with probabilities, or a regression's score.
--
-- Owns: the way from a text to a sample that the model takes, and from logits to an answer. Leaves
-- to others: loading a model and asking it (predictor.lua), many texts (fsam.predict).
local argmax = require("fsam.base.argmax")
local errors = require("fsam.errors")
local fit = require("fsam.data.fit")
local problems = require("fsam.data.problems")

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
--   (lists over the labels); of several labels chosen (a list of names, those of a probability over
--   one half) in place of label and class; of a regression, score. Prints as the labels with their
--   probabilities, or the score
-- @raise one line when a logit is not a finite number
function M.of(model, logits)
  if not argmax(logits) then
    errors.raise("the model's logits are not finite numbers (%s): its weights are broken, or too "
      .. "large for the precision", table.concat(logits, ", "))
  end
  local answer = problems.of_model(model.config).answer(logits, model.config.labels)
  answer.logits = logits
  return setmetatable(answer, Prediction)
end

return M
