--- How well predicted labels agree with the labels, any number of them for each sample.
--
-- Owns: the formulas. Each takes the results of a validation (data/metrics.lua): labels and
-- predictions, lists of lists of classes from 0 in ascending order, and classes, how many there
-- are. Sources: scikit-learn's accuracy and F1 of indicator matrices.
local registry = require("fsam.base.registry")

local M = {}

--- Share of samples all of whose labels are right.
function M.accuracy(r)
  local right = 0
  for i, label in ipairs(r.labels) do
    right = right + (registry.same(label, r.predictions[i]) and 1 or 0)
  end
  return right / #r.labels
end

-- Of every class: how often it is both a label and predicted, and how often either (both count 2).
local function counts(r)
  local both, either = {}, {}
  for c = 0, r.classes - 1 do
    both[c], either[c] = 0, 0
  end
  for i, label in ipairs(r.labels) do
    local has = {}
    for _, class in ipairs(label) do
      has[class], either[class] = true, either[class] + 1
    end
    for _, class in ipairs(r.predictions[i]) do
      either[class] = either[class] + 1
      both[class] = both[class] + (has[class] and 1 or 0)
    end
  end
  return both, either
end

--- F1 over all labels of all samples.
function M.f1_micro(r)
  local both, either = counts(r)
  local b, e = 0, 0
  for c = 0, r.classes - 1 do
    b, e = b + both[c], e + either[c]
  end
  return e == 0 and 0 or 2 * b / e
end

--- The mean of the classes' F1, which is 0 where a class is neither a label nor predicted.
function M.f1_macro(r)
  local both, either = counts(r)
  local sum = 0
  for c = 0, r.classes - 1 do
    sum = sum + (either[c] == 0 and 0 or 2 * both[c] / either[c])
  end
  return sum / r.classes
end

return M
