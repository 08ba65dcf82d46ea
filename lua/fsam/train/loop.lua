--- The training loop: epochs over frozen batches, validation, the best and last checkpoint.
--
-- Owns: when things happen: updates, validations, saves, the end. Leaves to others: what an update
-- does (fsam.step), what a batch is (fsam.data.task), what a checkpoint holds (checkpoint.lua), how
-- events look (fsam.report). It notices Ctrl-C, and the signals that mean the same
-- (engine/host/interrupt.c), between updates, and catches them until the run has written all it
-- leaves.

local C = require("fsam.C")
local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local format = require("fsam.base.numbers")
local progress = require("fsam.train.progress")
local registry = require("fsam.base.registry")
local results = require("fsam.train.results")
local schedule = require("fsam.train.schedule")
local tuning = require("fsam.train.tuning")

local M = {}

local Loop = {}
Loop.__index = Loop

local MOST_SKIPPED = 10 -- updates in a row

local clock = C.lib.fsam_clock

-- One update. Returns what reports get about it.
function Loop:update(batches, steps)
  local p, o = self.progress, self.options
  local started = clock()
  local list, samples, tokens = self.task:micro_batches(batches)
  local lr = self.rate(p.step)
  local info = self.optimizer:step({
    evaluate = self.pass:bind({ step = p.step, batches = list, training = true }),
    step = p.step, lr = lr, lr_peak = o.lr, lr_end = o.end_learning_rate,
    progress = math.min(p.step / self.plan.total, 1), samples = samples, micro_batches = #batches,
    train_samples = #self.task.train, ranks = self.ranks,
    diagnose = o.diagnose > 0 and p.step % o.diagnose == 0,
  })
  local r = {
    epoch = p.epoch, step = p.step, done = p.done + 1, steps = steps, lr = lr, samples = samples,
    tokens = tokens, loss = info.loss, correct = info.correct, seen = info.seen or samples,
    gnorm = info.gnorm, dnorm = info.dnorm, enorm = info.enorm, rho = info.rho, mask = info.mask,
    diagnosis = info.diagnosis, skipped = info.skipped, evaluations = info.evaluations,
    clipped = info.clipped or false, seconds = clock() - started,
  }
  p:add(r)
  r.epoch_averages = p.sums:averages()
  self.session = self.session + 1
  self.session_seconds = self.session_seconds + r.seconds
  r.seconds_left = (self.plan.updates - p.step) * self.session_seconds / self.session
  return r
end

-- Warns of a step that changed nothing; too many of them in a row end the run.
function Loop:check_skipped(r)
  local p = self.progress
  if not r.skipped then
    return
  end
  self.report:warn(("step %d skipped: %s"):format(r.step, r.skipped))
  if p.skipped_in_row >= MOST_SKIPPED then
    errors.raise("%d steps in a row were skipped, the first of them step %d: %s; lower --lr or "
      .. "--rho%s", p.skipped_in_row, p.first_skipped, p.first_reason,
      self.run.folder and " (checkpoints so far stay in " .. self.run.folder .. ")" or "")
  end
end

function Loop:interrupted()
  if self.ranks:any(C.lib.fsam_interrupted() ~= 0) then
    self.was_interrupted = true
  end
  return self.was_interrupted
end

function Loop:save(name)
  if not self.run.folder then
    return
  end
  local p, started = self.progress, clock()
  local path = self.run:path(name)
  checkpoint.save_run(path, self)
  tuning.keep(self)
  local at = p.last and p.last.values[self.options.best_checkpoint_metric]
  -- The epoch of its last update: at an epoch's end the next one has no update yet.
  local epoch = p.done == 0 and p.epochs_done > 0 and p.epochs_done or p.epoch
  self.report:saved({ path = path, epoch = epoch, step = p.step, score = at,
    seconds = clock() - started })
end

-- Validates and keeps the best. Returns false when Ctrl-C interrupted it.
function Loop:validate()
  local p, metric = self.progress, self.options.best_checkpoint_metric
  local started = clock()
  self.optimizer:prepare_evaluation()
  local result = self.task:validate(function(host)
    return self.pass:predict(host)
  end, function()
    return self:interrupted()
  end)
  if not result then
    return false
  end
  local seconds = clock() - started
  p.valid_seconds = p.valid_seconds + seconds
  local is_best = p:judge(metric, result)
  self.report:epoch({
    epoch = p.epoch, step = p.step, lr = self.rate(math.max(p.step - 1, 0)), sums = p.sums,
    averages = p.sums:averages(), values = result.values, groups = result.groups,
    also = result.also,
    diagnosed = p.diagnosed:averages(),
    is_best = is_best, seconds = p.sums.seconds, valid_seconds = seconds,
    dev_samples = #self.task.dev, dev_tokens = result.tokens,
    dev_batches = #self.task.dev_batches, best_metric = metric,
    best_value = p.best and p.best.values[metric],
  })
  if is_best then
    self:save("checkpoint_best")
  end
  return true
end

-- The rest of the present epoch. Returns at its end, at --max-update, or after Ctrl-C.
function Loop:epoch()
  local p, o = self.progress, self.options
  local steps = self.task:steps(p.epoch)
  while p.done < #steps and not (o.max_update and p.step >= o.max_update) do
    local r = self:update(steps[p.done + 1], #steps)
    self.report:step(r)
    self:check_skipped(r)
    if self:interrupted() then
      return
    end
    if o.save_interval_updates > 0 and p.step % o.save_interval_updates == 0
        and p.done < #steps then
      self:save("checkpoint_last")
    end
  end
  -- A kill right after the best checkpoint leaves an epoch that is judged already.
  if (p:is_judged() or self:validate()) and p.done == #steps then
    p:next_epoch()
  end
end

function Loop:train()
  local p, o = self.progress, self.options
  while not p:finished(o) and not self:interrupted() do
    self:epoch()
    self:save("checkpoint_last")
  end
  if self.was_interrupted then
    return "interrupted"
  end
  return p:finished(o)
end

local function summary(self, why)
  local p, run = self.progress, self.run
  return {
    why = why, best = p.best, last = p.last, updates = p.step, skipped = p.skipped,
    samples = p.samples, evaluations = p.evaluations,
    train_seconds = p.train_seconds, valid_seconds = p.valid_seconds,
    tokens_per_second = p.train_seconds > 0 and p.tokens / p.train_seconds or 0,
    best_path = run.folder and run:path("checkpoint_best"),
    last_path = run.folder and run:path("checkpoint_last"),
    interrupted = why == "interrupted", folder = run.folder,
  }
end

-- Begins the run: makes its folder ready, reports where it starts, and puts a continued run's
-- optimizer back to its checkpoint.
local function begin(self)
  local run, p, saved = self.run, self.progress, self.run.resume
  run:begin()
  tuning.begin(self)
  if run.folder then
    self.report:open_log(run:path("train.log"))
    self.report:note("run      " .. run.folder .. (saved and (", continued after update %s of %s")
      :format(format.count(p.step), format.count(self.plan.updates)) or ""))
  end
  self.report:record("start", { step = p.step, command = self.options.command })
  for _, note in ipairs(run.begin_notes or {}) do
    self.report:warn(note)
  end
  if not saved then
    return
  end
  self.task:check_same(saved.trainer, run.folder)
  checkpoint.check_position(saved.path, p, #self.task:steps(p.epoch))
  checkpoint.restore_run(saved.path, saved.trainer, self)
  for _, line in ipairs(checkpoint.remarks(saved.trainer, self)) do
    self.report:warn(line)
  end
end

--- Trains.
-- @tparam table t options, run (open of setup.lua), task, model, pass, optimizer, report, ranks
-- @treturn table summary: why ("epochs", "updates", "patience", "interrupted"), interrupted; best
--   and last: { epoch, step, values, groups } or nil; best_path, last_path, folder: nil with
--   --no-save; updates, skipped, samples, evaluations, train_seconds, valid_seconds,
--   tokens_per_second
-- @raise after 10 skipped updates in a row; when a checkpoint cannot be written (the old one stays)
function M.run(t)
  local o, run = t.options, t.run
  local saved = run.resume and run.resume.trainer
  local self = setmetatable({
    options = o, run = run, task = t.task, model = t.model,
    pass = t.pass, optimizer = t.optimizer, report = t.report,
    progress = progress.new(saved and saved.progress),
    plan = progress.plan(o, t.task.steps_per_epoch, saved and saved.plan),
    session = 0, session_seconds = 0, was_interrupted = false, ranks = t.ranks,
  }, Loop)
  self.rate = schedule.new(o.lr_scheduler, {
    lr = o.lr, total_num_update = self.plan.total, warmup_updates = self.plan.warmup,
    end_learning_rate = o.end_learning_rate, power = o.power,
  })
  begin(self)
  C.lib.fsam_interrupt_catch(1)
  local ok, result = xpcall(function()
    local finished = summary(self, self:train())
    if run.folder then
      results.write(run:path("results.json"), self, finished)
    end
    return finished
  end, function(err)
    return errors.is(err) and err or debug.traceback(tostring(err), 2)
  end)
  C.lib.fsam_interrupt_catch(0)
  if not ok then
    error(result, 0)
  end
  self.report:finish(result)
  if result.last and result.last.collapsed and not result.interrupted then
    self.report:warn(("every development sample was judged \"%s\": the run has collapsed; "
      .. "another seed or a lower --lr may help"):format(result.last.collapsed))
  end
  if result.interrupted then
    self.report:note(run.folder and ("interrupted after update %d; the same command with "
      .. "--save-dir %s continues"):format(self.progress.step, run.folder)
      or ("interrupted after update %d; nothing was saved"):format(self.progress.step))
  end
  return result
end

--- Validates a model without training (--valid-only).
-- @tparam table t as for `run`
-- @treturn table why = "valid-only"; last: what task:validate found
-- @raise when a metric is not a number
function M.validate(t)
  local result = t.task:validate(function(host)
    return t.pass:predict(host)
  end)
  local names = {}
  for i, name in ipairs(t.task.metrics) do
    names[i] = ("%s %.4f"):format(name, result.values[name])
  end
  for _, name in ipairs(t.task.metrics) do
    if result.values[name] ~= result.values[name] then
      errors.raise("the model cannot be judged: %s is not a number (%s); its logits are not "
        .. "numbers, so look for broken weights in the checkpoint", name,
        table.concat(names, ", "))
    end
  end
  t.report:note("dev      " .. table.concat(names, "   "))
  for _, set in ipairs(registry.sorted(result.also or {})) do
    local parts = {}
    for i, name in ipairs(t.task.metrics) do
      parts[i] = ("%s %.4f"):format(name, result.also[set][name])
    end
    t.report:note(("%-8s %s"):format(set, table.concat(parts, "   ")))
  end
  return { why = "valid-only", last = result }
end

return M
