--- Results of a run: results.json in its folder, for scripts and comparisons.
--
-- Owns: which fields it has, and their order. Leaves to others: the numbers (summary of loop.lua),
-- where a run stands so that it can continue (trainer.json of checkpoint.lua).

local checkpoint = require("fsam.train.checkpoint")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local metrics = require("fsam.data.metrics")
local report = require("fsam.report")

local M = {}

local function score(at)
  if not at then
    return nil
  end
  local fields = { epoch = at.epoch, step = at.step, by_kind = at.groups,
    collapsed = at.collapsed, also = at.also }
  for name, value in pairs(at.values) do
    fields[name] = value
  end
  return fields
end

local ORDER = { "command", "task", "seed", "finished", "best", "last", "epoch", "step" }
for _, list in ipairs({ metrics.names,
  { "by_kind", "also", "updates", "skipped", "samples", "evaluations", "seconds" } }) do
  for _, name in ipairs(list) do
    ORDER[#ORDER + 1] = name
  end
end

--- Are the results of a finished run there? A kill after its last checkpoint leaves none, or those
-- of an earlier interruption.
-- @tparam string path
-- @tparam table trainer of its last checkpoint
-- @treturn boolean
function M.complete(path, trainer)
  local ok, fields = pcall(function()
    return json.decode(file.read(path), path)
  end)
  return ok and type(fields) == "table" and fields.finished == true
    and fields.updates == trainer.step
end

--- Writes them, all or nothing.
-- @tparam string path
-- @tparam table loop options, run, task, model
-- @tparam table result the summary of loop.run
function M.write(path, loop, result)
  local fields = {
    command = loop.options.command, task = loop.task.name, seed = loop.options.seed,
    finished = not result.interrupted, ended_by = result.why,
    best = score(result.best), last = score(result.last),
    best_checkpoint_metric = loop.options.best_checkpoint_metric,
    updates = result.updates, skipped = result.skipped,
    samples = result.samples, evaluations = result.evaluations,
    seconds = { train = result.train_seconds, validation = result.valid_seconds },
    tokens_per_second = result.tokens_per_second,
    model = { parameters = loop.model.count, type = loop.model.config.model_type },
    data = { train = #loop.task.train, dev = #loop.task.dev, fingerprint = loop.task.fingerprint },
    options = loop.run:mathematics(), environment = checkpoint.environment(loop.run),
  }
  file.replace(path, json.encode(report.finite(fields), { indent = true, order = ORDER }) .. "\n")
end

return M
