--- Logistic regression on bags of features of a sentence: how much of the built-in corpus's labels
-- can be read off words and word pairs alone. Used by acceptability_spec.lua.
local M = {}

--- The words of a sentence.
function M.words_of(text)
  local words = {}
  for word in text:gmatch("%S+") do
    words[#words + 1] = word
  end
  return words
end

-- Every feature list of a sentence holds each feature once.
local FEATURES = {}
M.FEATURES = FEATURES

function FEATURES.words(text)
  local features, seen = {}, {}
  for _, word in ipairs(M.words_of(text)) do
    if not seen[word] then
      seen[word] = true
      features[#features + 1] = word
    end
  end
  return features
end

-- Neighbouring words in order, and the words.
function FEATURES.neighbours(text)
  local words, features = M.words_of(text), FEATURES.words(text)
  local seen = {}
  for i = 1, #words - 1 do
    local pair = words[i] .. " " .. words[i + 1]
    if not seen[pair] then
      seen[pair] = true
      features[#features + 1] = pair
    end
  end
  return features
end

-- Any two words of the sentence, in any order, and the words.
function FEATURES.together(text)
  local features = FEATURES.words(text)
  local words = {}
  for i, word in ipairs(features) do
    words[i] = word
  end
  table.sort(words)
  for i = 1, #words do
    for j = i + 1, #words do
      features[#features + 1] = words[i] .. " " .. words[j]
    end
  end
  return features
end

-- Samples as lists of feature numbers; features that training does not have are left out.
local function encode(samples, features_of, numbers, count)
  local rows = {}
  for i, sample in ipairs(samples) do
    local row = {}
    for _, feature in ipairs(features_of(sample.text)) do
      if not numbers[feature] and count then
        count = count + 1
        numbers[feature] = count
      end
      row[#row + 1] = numbers[feature]
    end
    rows[i] = row
  end
  return rows, count
end

local function score(weights, row)
  local sum = weights[0]
  for i = 1, #row do
    sum = sum + weights[row[i]]
  end
  return sum
end

-- Full-batch Adam on the mean log loss + l2·|w|²; weights[0] is the bias. Returns the weights and
-- the norm of the last gradient.
local function fit(rows, samples, count, steps, l2)
  local weights, gradient, mean, square = {}, {}, {}, {}
  for i = 0, count do
    weights[i], mean[i], square[i] = 0, 0, 0
  end
  local norm
  for step = 1, steps do
    for i = 0, count do
      gradient[i] = 2 * l2 * weights[i]
    end
    for i = 1, #rows do
      local row = rows[i]
      local error = (1 / (1 + math.exp(-score(weights, row))) - samples[i].label) / #rows
      gradient[0] = gradient[0] + error
      for k = 1, #row do
        gradient[row[k]] = gradient[row[k]] + error
      end
    end
    norm = 0
    local rate = 0.1 * (1 - step / (steps + 1)) * math.sqrt(1 - 0.99 ^ step) / (1 - 0.9 ^ step)
    for i = 0, count do
      norm = norm + gradient[i] ^ 2
      mean[i] = 0.9 * mean[i] + 0.1 * gradient[i]
      square[i] = 0.99 * square[i] + 0.01 * gradient[i] ^ 2
      weights[i] = weights[i] - rate * mean[i] / (math.sqrt(square[i]) + 1e-9)
    end
  end
  return weights, math.sqrt(norm)
end

local function mcc(weights, rows, samples)
  local n = { [0] = { [0] = 0, 0 }, { [0] = 0, 0 } } -- n[label][prediction]
  for i, row in ipairs(rows) do
    local prediction = score(weights, row) > 0 and 1 or 0
    local label = samples[i].label
    n[label][prediction] = n[label][prediction] + 1
  end
  local tn, fp, fn, tp = n[0][0], n[0][1], n[1][0], n[1][1]
  local product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
  return product == 0 and 0 or (tp * tn - fp * fn) / math.sqrt(product)
end

--- MCC on the development set of a regression fitted to the training set, and the final gradient.
function M.regress(data, features_of)
  local numbers = {}
  local train, count = encode(data.train.samples, features_of, numbers, 0)
  local dev = encode(data.dev.samples, features_of, numbers)
  local weights, norm = fit(train, data.train.samples, count, 300, 1e-5)
  return mcc(weights, dev, data.dev.samples), norm
end

return M
