--- How well predicted classes agree with labels, one class for each sample.
--
-- Owns: the formulas. Each takes the results of a validation (data/metrics.lua): labels and
-- predictions, lists of classes from 0, and classes, how many there are.
--
-- Sources: Matthews 1975 and Gorodkin 2004 (more than two classes); F1 over several classes as in
-- scikit-learn.
local M = {}

-- Counts of (label, prediction) pairs: joint[label][prediction], and both margins.
local function confusion(r)
  local joint, labels, predictions = {}, {}, {}
  for c = 0, r.classes - 1 do
    labels[c], predictions[c], joint[c] = 0, 0, {}
    for d = 0, r.classes - 1 do
      joint[c][d] = 0
    end
  end
  for i, label in ipairs(r.labels) do
    local guess = r.predictions[i]
    joint[label][guess] = joint[label][guess] + 1
    labels[label] = labels[label] + 1
    predictions[guess] = predictions[guess] + 1
  end
  return joint, labels, predictions
end

--- Share of right predictions.
function M.accuracy(r)
  local right = 0
  for i, label in ipairs(r.labels) do
    right = right + (r.predictions[i] == label and 1 or 0)
  end
  return right / #r.labels
end

--- Matthews' correlation.
-- R_K = (c·s − Σ p_k t_k) / sqrt((s² − Σ p_k²)(s² − Σ t_k²)), and 0 where that is 0/0 (one class
-- only). s samples, c of them right; p_k predictions and t_k labels of class k.
function M.mcc(r)
  local joint, labels, predictions = confusion(r)
  local right, cross, pp, tt = 0, 0, 0, 0
  for c = 0, r.classes - 1 do
    right = right + joint[c][c]
    cross = cross + labels[c] * predictions[c]
    pp, tt = pp + predictions[c] ^ 2, tt + labels[c] ^ 2
  end
  local s = #r.labels
  local spread = (s * s - pp) * (s * s - tt)
  return spread == 0 and 0 or (right * s - cross) / math.sqrt(spread)
end

-- F1 of one class; 0 where it is neither a label nor predicted.
local function f1_of(class, joint, labels, predictions)
  local sum = labels[class] + predictions[class]
  return sum == 0 and 0 or 2 * joint[class][class] / sum
end

--- Of class 1, as GLUE does for MRPC and QQP, or of the class that data with another order says.
function M.f1(r)
  return f1_of(r.positive or 1, confusion(r))
end

--- The mean over the classes that are a label or predicted.
function M.f1_macro(r)
  local joint, labels, predictions = confusion(r)
  local sum, count = 0, 0
  for c = 0, r.classes - 1 do
    if labels[c] + predictions[c] > 0 then
      sum, count = sum + f1_of(c, joint, labels, predictions), count + 1
    end
  end
  return sum / count
end

return M
