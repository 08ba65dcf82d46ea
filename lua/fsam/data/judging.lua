--- Judging a model on the sets of a task: the development set, and further ones where the corpus
-- has them.
--
-- Owns: sharing the batches out among ranks, and what metrics get to see. Leaves to others: the
-- batches (task.lua), what logits say (problems.lua), the formulas (metrics.lua).
local arguments = require("fsam.base.arguments")
local metrics = require("fsam.data.metrics")
local registry = require("fsam.base.registry")

local M = {}

-- Appends a batch's verdicts to a list of numbers, for each sample its index, loss and logits.
local function append(list, indices, logits, losses)
  for k, index in ipairs(indices) do
    list[#list + 1], list[#list + 2] = index, losses[k]
    for _, logit in ipairs(logits[k]) do
      list[#list + 1] = logit
    end
  end
end

-- Share of right predictions by the samples' groups, or nil where they have none.
local function by_group(samples, predictions)
  local right, count = {}, {}
  for i, sample in ipairs(samples) do
    local group = sample.group
    if group then
      count[group] = (count[group] or 0) + 1
      local hit = predictions[i] == sample.label and 1 or 0
      right[group] = (right[group] or 0) + (predictions[i] and hit or 0 / 0)
    end
  end
  for group, n in pairs(count) do
    right[group] = right[group] / n
  end
  return next(right) and right or nil
end

-- What metrics need, from the verdicts of all ranks.
local function results_of(task, samples, verdicts)
  local r = { labels = {}, predictions = {}, scores = {}, losses = {}, classes = task.classes,
    problem = task.problem.name, positive = task.positive }
  local width = task.classes or 1
  for at = 1, #verdicts, 2 + width do
    local index = verdicts[at]
    local logits = { unpack(verdicts, at + 2, at + 1 + width) }
    r.labels[index], r.losses[index] = samples[index].label, verdicts[at + 1]
    r.scores[index], r.predictions[index] = logits[1], task.problem.decide(logits)
  end
  return r
end

-- Judges a model on one set. Each rank judges its share. Returns what metrics need, and how many
-- tokens were judged; nil when it was stopped.
local function judge_set(task, samples, batches, predict, stop)
  local tokens, own = 0, {}
  for i, indices in ipairs(batches) do
    if task.ranks:owns(i) then
      local host = task:batch(samples, indices, 0)
      tokens = tokens + host.real_tokens
      append(own, indices, predict(host))
    end
    if stop and i % task.ranks.size == 0 and stop() then
      return nil
    end
  end
  tokens = task.ranks:sum_numbers({ tokens })[1]
  return results_of(task, samples, task.ranks:gather(own)), tokens
end

--- Judges a model.
-- @tparam table task fsam.data.task
-- @tparam function predict fn(host batch) → logits (a list of C numbers for each sample), losses (a
--   number for each sample)
-- @tparam[opt] function stop called after each batch; when it returns true the validation ends
-- @treturn ?table values (metric → number), groups (group → accuracy, or nil), collapsed (the name
--   of the only label that was predicted, or nil), tokens (how many were judged), also (name of a
--   further set → its values; nil without such sets); nil when it was stopped
function M.judge(task, predict, stop)
  local r, tokens = judge_set(task, task.dev, task.dev_batches, predict, stop)
  local also
  for _, name in ipairs(r and registry.sorted(task.also) or {}) do
    local set = task.also[name]
    local results = judge_set(task, set.samples, set.batches, predict, stop)
    if not results then
      return nil
    end
    also = also or {}
    also[name] = metrics.compute(task.metrics, results)
  end
  if not r then
    return nil
  end
  local single = task.problem.name == "single_label_classification"
  local only = single and metrics.collapsed(r.predictions, r.labels)
  return {
    values = metrics.compute(task.metrics, r), tokens = tokens, also = also,
    groups = single and by_group(task.dev, r.predictions) or nil,
    collapsed = only and task.labels[only + 1],
  }
end

local optional, func = arguments.optional, arguments.func
arguments.guard("fsam.data.judging", M, {
  judge = { arguments.arg("task", arguments.object("a task, of fsam.task.new",
    { dev = "table", dev_batches = "table", batch = "function" })),
    arguments.arg("predict", func), arguments.arg("stop", optional(func)) },
})

return M
