--- Metrics of a validation: their values, and which of two values is better.
--
-- Owns: names, directions, which problem has which, and the rounding under which two checkpoints
-- count as equal. Shares and correlations are fractions (accuracy 0.969, not 96.9); the loss is in
-- nats. Leaves to others: the formulas (data/metrics/), printing (base/numbers.lua, fsam.report).
--
-- Source of the rounding: fairseq.

local agreement = require("fsam.data.metrics.agreement")
local arguments = require("fsam.base.arguments")
local correlation = require("fsam.data.metrics.correlation")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local several = require("fsam.data.metrics.several")

local M = {}

local LN2, NAN = math.log(2), 0 / 0

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

local function mean_of(one, other)
  return function(r)
    return (one(r) + other(r)) / 2
  end
end

local function mean_loss(r)
  local sum = 0
  for i = 1, #r.losses do
    sum = sum + r.losses[i]
  end
  return sum / #r.losses
end

-- By problem (fsam.data.problems), the formula; two = true where only two classes have it.
local SINGLE, SEVERAL, SCORES = "single_label_classification", "multi_label_classification",
  "regression"
local METRICS = {
  accuracy = { round = places(100, 1), [SINGLE] = judged(agreement.accuracy),
    [SEVERAL] = judged(several.accuracy) },
  mcc = { round = places(1, 4), [SINGLE] = judged(agreement.mcc) },
  f1 = { round = places(1, 4), two = true, [SINGLE] = judged(agreement.f1) },
  f1_macro = { round = places(1, 4), [SINGLE] = judged(agreement.f1_macro),
    [SEVERAL] = judged(several.f1_macro) },
  -- Of one class for each sample it is the accuracy.
  f1_micro = { round = places(1, 4), [SINGLE] = judged(agreement.accuracy),
    [SEVERAL] = judged(several.f1_micro) },
  pearson = { round = places(1, 4), [SCORES] = correlation.pearson },
  spearman = { round = places(1, 4), [SCORES] = correlation.spearman },
  acc_and_f1 = { round = places(1, 4), two = true,
    [SINGLE] = judged(mean_of(agreement.accuracy, agreement.f1)) },
  corr = { round = places(1, 4),
    [SCORES] = mean_of(correlation.pearson, correlation.spearman) },
  loss = { round = places(1 / LN2, 3), minimize = true, [SINGLE] = mean_loss,
    [SEVERAL] = mean_loss, [SCORES] = mean_loss },
}

--- The names, in the order in which files list them. The combined scores have Transformers' names:
-- acc_and_f1 is the mean of accuracy and f1, corr that of pearson and spearman.
M.names = { "mcc", "accuracy", "f1", "f1_macro", "f1_micro", "acc_and_f1", "pearson", "spearman",
  "corr", "loss" }

--- The metrics that a task can have. A task's row says which of them it has, and in which order
-- (tasks.lua).
-- @tparam string problem a name of fsam.data.problems
-- @tparam ?integer classes number of classes
-- @treturn {string,…}
function M.of_task(problem, classes)
  local names = {}
  for _, name in ipairs(M.names) do
    local metric = METRICS[name]
    if metric[problem] and not (metric.two and classes ~= 2) then
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
  if maximize and METRICS[name].minimize then
    errors.raise("--maximize-best-checkpoint-metric does not go with %s, which is better when it "
      .. "is smaller; leave the flag out", name)
  end
end

--- Is a larger value better?
-- @tparam string name
-- @treturn boolean
function M.maximizes(name)
  return not METRICS[name].minimize
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
  if METRICS[name].minimize then
    return a <= b
  end
  return a >= b
end

--- Computes metrics.
-- @tparam {string,…} names
-- @tparam table results labels; predictions (classes from 0, or lists of them; false: none), or
--   scores (regression); losses in nats: lists over the samples; classes: the number of classes;
--   problem: a name of fsam.data.problems (default: by classes)
-- @treturn table name → value
function M.compute(names, results)
  local values, problem = {}, results.problem or (results.classes and SINGLE or SCORES)
  for _, name in ipairs(names) do
    values[name] = METRICS[name][problem](results)
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
  of_task = { arguments.arg("problem", schema.one_of({ SINGLE, SEVERAL, SCORES })),
    arguments.arg("classes", arguments.optional(schema.integer(1))) },
  check = { arguments.arg("name", schema.string), arguments.arg("names",
    schema.list(schema.string)), arguments.arg("maximize", arguments.optional(schema.boolean)) },
  compute = { arguments.arg("names", schema.list(schema.one_of(M.names))),
    arguments.fields({ labels = arguments.table, losses = arguments.optional(arguments.table),
      predictions = arguments.optional(arguments.table),
      scores = arguments.optional(arguments.table),
      classes = arguments.optional(schema.integer(1)),
      positive = arguments.optional(schema.integer(0)),
      problem = arguments.optional(schema.string) }) },
})

return M
