--- What a run leaves in its folder: trainer.json beside the model, and results.json.
--
-- Owns the content of these two files, and restoring from the first. How a checkpoint gets to the
-- disk is checkpoint.lua's.

local C = require("fsam.C")
local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local ffi = C.ffi
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local report = require("fsam.report")

local M = {}

-- What decides about bits besides the options: resuming under the same of these gives the same.
local function environment(loop)
  return {
    version = ffi.string(C.lib.fsam_version()),
    instruction_set = ffi.string(C.lib.fsam_isa()),
    threads = C.lib.fsam_threads(),
    device = loop.run.device_name,
    precision = loop.run.precision,
  }
end

local function trainer(loop)
  local p, task = loop.progress, loop.task
  local options, origin = loop.run:mathematics()
  return {
    progress = report.finite(p:state()),
    plan = loop.plan,
    optimizer = loop.optimizer:state(),
    options = options, origin = origin,
    data = { name = task.name, train = #task.train, dev = #task.dev,
      fingerprint = task.fingerprint },
    environment = environment(loop),
    step = p.step, epochs_done = p.epochs_done,
    stopped = p:finished(loop.options), patience_used = loop.options.patience,
  }
end

--- Writes a checkpoint of the loop's present state.
-- @tparam string path
-- @tparam table loop
-- @raise when it cannot be written; the message says that the one before is intact
function M.checkpoint(path, loop)
  loop.optimizer:prepare_evaluation()
  local ok, err = pcall(checkpoint.save, path, {
    model = loop.model, params = loop.model.params, tokenizer = loop.task.tokenizer,
    labels = loop.task.labels, trainer = trainer(loop),
  })
  if not ok then
    if errors.is(err) and checkpoint.find(path) then
      errors.raise("%s; the checkpoint before it is intact: %s", tostring(err), path)
    end
    error(err, 0)
  end
end

--- Puts the optimizer back where a checkpoint left it.
function M.restore(path, saved, loop)
  checkpoint.restore(path, loop.model.params)
  loop.optimizer:restore(saved.optimizer)
end

--- What a user should know when a run continues elsewhere or longer than it began.
-- @treturn {string,…} sentences
function M.remarks(saved, loop)
  local lines, differ = {}, {}
  local now = environment(loop)
  for _, name in ipairs({ "version", "instruction_set", "threads", "device", "precision" }) do
    local before = saved.environment[name]
    if before ~= now[name] then
      differ[#differ + 1] = ("%s %s, now %s"):format(name:gsub("_", " "), tostring(before),
        tostring(now[name]))
    end
  end
  if #differ > 0 then
    lines[1] = ("the run began with %s; it continues, but not bit for bit")
      :format(table.concat(differ, "; "))
  end
  if saved.plan.total ~= loop.plan.total then
    lines[#lines + 1] = ("the decay of the learning rate ended at update %d, now at %d")
      :format(saved.plan.total, loop.plan.total)
  end
  return lines
end

local function score(at)
  if not at then
    return nil
  end
  local fields = { epoch = at.epoch, step = at.step, by_kind = at.groups,
    collapsed = at.collapsed }
  for name, value in pairs(at.values) do
    fields[name] = value
  end
  return fields
end

local ORDER = { "command", "task", "seed", "finished", "best", "last", "epoch", "step", "mcc",
  "accuracy", "f1", "pearson", "spearman", "loss", "by_kind", "updates", "skipped", "samples",
  "evaluations", "seconds" }

--- Writes results.json.
-- @tparam string path
-- @tparam table loop
-- @tparam table result the summary of loop.run
function M.results(path, loop, result)
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
    options = loop.run:mathematics(), environment = environment(loop),
  }
  file.write(path, json.encode(report.finite(fields), { indent = true, order = ORDER }) .. "\n")
end

return M
