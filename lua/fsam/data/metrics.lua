--- Metrics of a validation: their values, and which of two values is better.
--
-- Owns: names, formulas, directions, and the rounding under which two checkpoints count as equal.
-- Shares and correlations are fractions (accuracy 0.969, not 96.9); the loss is in nats. Leaves to
-- others: printing (base/numbers.lua, fsam.report).
--
-- Sources: Matthews 1975 and Gorodkin 2004 (more than two classes); fairseq for the rounding.

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

local LN2, NAN = math.log(2), 0 / 0

local function mean(list)
  local sum = 0
  for i = 1, #list do
    sum = sum + list[i]
  end
  return sum / #list
end

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

local function accuracy(r)
  local right = 0
  for i, label in ipairs(r.labels) do
    right = right + (r.predictions[i] == label and 1 or 0)
  end
  return right / #r.labels
end

-- R_K = (c·s − Σ p_k t_k) / sqrt((s² − Σ p_k²)(s² − Σ t_k²)), and 0 where that is 0/0 (one class
-- only). s samples, c of them right; p_k predictions and t_k labels of class k.
local function mcc(r)
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

-- Of class 1, as GLUE does for MRPC and QQP.
local function f1(r)
  local joint, labels, predictions = confusion(r)
  local sum = labels[1] + predictions[1]
  return sum == 0 and 0 or 2 * joint[1][1] / sum
end

-- The values times a power of two, the largest then between 1/2 and 1 in size. Nothing is rounded.
local function scaled(values)
  local largest = 0
  for _, value in ipairs(values) do
    largest = math.max(largest, math.abs(value))
  end
  local _, exponent = math.frexp(largest)
  local list = {}
  for i, value in ipairs(values) do
    list[i] = math.ldexp(value, -exponent)
  end
  return list
end

-- Deviations from the mean in a unit in which no square is lost, however small or large the spread
-- is; all 0 where the values do not vary.
local function deviations(values)
  local list = scaled(values)
  local first = list[1]
  for i = 1, #list do
    list[i] = list[i] - first
  end
  list = scaled(list)
  local middle = mean(list)
  for i = 1, #list do
    list[i] = list[i] - middle
  end
  return list
end

-- Is one of the values infinite or not a number?
local function unbounded(values)
  for _, value in ipairs(values) do
    if value - value ~= 0 then
      return true
    end
  end
  return false
end

-- 0 where a list does not vary; not a number where a value is infinite or none.
local function correlation(a, b)
  if unbounded(a) or unbounded(b) then
    return NAN
  end
  local das, dbs = deviations(a), deviations(b)
  local ab, aa, bb = 0, 0, 0
  for i = 1, #das do
    local da, db = das[i], dbs[i]
    ab, aa, bb = ab + da * db, aa + da * da, bb + db * db
  end
  return aa * bb == 0 and 0 or ab / math.sqrt(aa * bb)
end

-- Is one of the values not a number? Then they have no order.
local function unordered(values)
  for _, value in ipairs(values) do
    if value ~= value then
      return true
    end
  end
  return false
end

-- Ranks from 1; equal values share the mean of their ranks.
local function ranks(values)
  local order, rank = {}, {}
  for i = 1, #values do
    order[i] = i
  end
  table.sort(order, function(i, j)
    return values[i] < values[j]
  end)
  local i = 1
  while i <= #order do
    local j = i
    while j < #order and values[order[j + 1]] == values[order[i]] do
      j = j + 1
    end
    for k = i, j do
      rank[order[k]] = (i + j) / 2
    end
    i = j + 1
  end
  return rank
end

-- A function that rounds value × scale to so many digits. Values are compared after rounding.
-- fairseq rounds the accuracy to 0.1 % and its loss, in bits, to 3 places. It does not have the
-- other metrics, which are rounded to 4.
local function places(scale, digits)
  return function(value)
    return tonumber((("%%.%df"):format(digits)):format(value * scale)) / scale
  end
end

-- Of predictions: not a number where the logits of a sample had no largest one.
local function judged(compute)
  return function(r)
    for i = 1, #r.labels do
      if not r.predictions[i] then
        return NAN
      end
    end
    return compute(r)
  end
end

local METRICS = {
  accuracy = {
    kind = "classes", maximize = true, round = places(100, 1), compute = judged(accuracy),
  },
  mcc = { kind = "classes", maximize = true, round = places(1, 4), compute = judged(mcc) },
  f1 = { kind = "two classes", maximize = true, round = places(1, 4), compute = judged(f1) },
  pearson = {
    kind = "regression", maximize = true, round = places(1, 4),
    compute = function(r)
      return correlation(r.scores, r.labels)
    end,
  },
  spearman = {
    kind = "regression", maximize = true, round = places(1, 4),
    compute = function(r)
      if unordered(r.scores) or unordered(r.labels) then
        return NAN
      end
      return correlation(ranks(r.scores), ranks(r.labels))
    end,
  },
  loss = {
    kind = "any", maximize = false, round = places(1 / LN2, 3),
    compute = function(r)
      return mean(r.losses)
    end,
  },
}

--- The names, in the order in which files list them.
M.names = { "mcc", "accuracy", "f1", "pearson", "spearman", "loss" }

--- The metrics that a task can have. A task's row says which of them it has, and in which order
-- (tasks.lua).
-- @tparam ?integer classes number of classes; nil for regression
-- @treturn {string,…}
function M.of_task(classes)
  local names = {}
  for _, name in ipairs(M.names) do
    local kind = METRICS[name].kind
    local fits = kind == "any" or kind == (classes and "classes" or "regression")
      or (kind == "two classes" and classes == 2)
    if fits then
      names[#names + 1] = name
    end
  end
  return names
end

--- Checks a metric's name and, where given, its direction.
-- @tparam string name
-- @tparam {string,…} names the task's metrics
-- @tparam[opt] boolean maximize is --maximize-best-checkpoint-metric given?
-- @raise one line with the nearest name and the list
function M.check(name, names, maximize)
  if not registry.contains(names, name) then
    errors.unknown("--best-checkpoint-metric", name, names)
  end
  if maximize and not METRICS[name].maximize then
    errors.raise("--maximize-best-checkpoint-metric does not go with %s, which is better when it "
      .. "is smaller; leave the flag out", name)
  end
end

--- Is a larger value better?
-- @tparam string name
-- @treturn boolean
function M.maximizes(name)
  return METRICS[name].maximize
end

--- The value rounded for comparison with others.
-- @tparam string name
-- @tparam number value
-- @treturn number
function M.rounded(name, value)
  return METRICS[name].round(value)
end

--- Does a later value replace the best so far? Equal after rounding counts as better, so that ties
-- go to the later epoch; a value that is not a number never does.
-- @tparam string name
-- @tparam number value
-- @tparam ?number best nil when there is none yet
-- @treturn boolean
function M.better(name, value, best)
  if value ~= value then
    return false
  end
  if best == nil then
    return true
  end
  local a, b = M.rounded(name, value), M.rounded(name, best)
  return METRICS[name].maximize and a >= b or not METRICS[name].maximize and a <= b
end

--- Computes metrics.
-- @tparam {string,…} names
-- @tparam table results labels; predictions (classes from 0; false: none), or scores (regression);
--   losses in nats: lists over the samples; classes: the number of classes
-- @treturn table name → value
function M.compute(names, results)
  local values = {}
  for _, name in ipairs(names) do
    values[name] = METRICS[name].compute(results)
  end
  return values
end

--- The one class that was predicted for every sample although the labels differ: the sign of a run
-- that has collapsed.
-- @tparam {integer,…} predictions false where a sample has none
-- @tparam {integer,…} labels
-- @treturn ?integer nil when there is no such class
function M.collapsed(predictions, labels)
  local mixed = false
  for i = 2, #predictions do
    if predictions[i] ~= predictions[1] then
      return nil
    end
    mixed = mixed or labels[i] ~= labels[1]
  end
  return mixed and predictions[1] or nil
end

local METRIC = arguments.arg("name", schema.one_of(M.names))
local NUMBER = function(value, place) -- NaN is a value of a metric too
  return type(value) ~= "number" and schema.number()(value, place) or nil
end

local LIST = arguments.arg("list", arguments.table)
arguments.guard("fsam.metrics", M, {
  better = { METRIC, arguments.arg("value", NUMBER), arguments.arg("best",
    arguments.optional(NUMBER)) },
  maximizes = { METRIC },
  rounded = { METRIC, arguments.arg("value", NUMBER) }, collapsed = { LIST, LIST },
  of_task = { arguments.arg("classes", arguments.optional(schema.integer(1))) },
  check = { arguments.arg("name", schema.string), arguments.arg("names",
    schema.list(schema.string)), arguments.arg("maximize", arguments.optional(schema.boolean)) },
  compute = { arguments.arg("names", schema.list(schema.one_of(M.names))),
    arguments.fields({ labels = arguments.table, losses = arguments.optional(arguments.table),
      predictions = arguments.optional(arguments.table),
      scores = arguments.optional(arguments.table),
      classes = arguments.optional(schema.integer(1)) }) },
})

return M
