--- The training loop: epochs over frozen batches, validation, the best and last checkpoint.
--
-- Owns: when things happen: updates, validations, saves, the end. Leaves to others: what an update
-- does (fsam.step), what a batch is (fsam.data.task), which checkpoints a save writes (saver.lua),
-- what one holds (checkpoint.lua), how events look (fsam.report). It notices Ctrl-C, and the
-- signals that mean the same (engine/host/interrupt.c), between updates, and catches them until the
-- run has written all it leaves.

local C = require("fsam.C")
local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local format = require("fsam.base.numbers")
local kept = require("fsam.train.kept")
local metrics = require("fsam.data.metrics")
local progress = require("fsam.train.progress")
local results = require("fsam.train.results")
local saver = require("fsam.train.saver")
local schedule = require("fsam.train.schedule")
local tuning = require("fsam.train.tuning")

local M = {}

local Loop = {}
Loop.__index = Loop

local MOST_SKIPPED = 10 -- updates in a row

local clock = C.lib.fsam_clock

-- Ends the run when the ranks' weights are not the same any more: each would train a model of its
-- own.
function Loop:compare_weights()
  local params = self.model.params
  -- Of w each rank may have a share only; c is whole everywhere. Two numbers of each rank.
  local hashes = self.ranks:gather(params.share and params.share:hash(params.c:tensor())
    or params.w:tensor():hash())
  for i = 3, #hashes, 2 do
    if hashes[i] ~= hashes[1] or hashes[i + 1] ~= hashes[2] then
      errors.raise("after update %d rank %d has other weights than rank 0: a machine computes "
        .. "differently, or its memory fails; the checkpoints so far are good",
        self.progress.step, (i - 1) / 2)
    end
  end
end

-- One update. Returns what reports get about it.
function Loop:update(batches, steps)
  local p, o = self.progress, self.options
  local started = clock()
  local list, samples, tokens = self.task:micro_batches(batches)
  local lr = self.schedule:rate(p.step)
  local info = self.optimizer:step({
    evaluate = self.pass:bind({ step = p.step, batches = list, training = true }),
    step = p.step, lr = lr, lr_peak = self.schedule.peak, lr_end = self.schedule.ending,
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
  r.next_lr = self.schedule:rate(p.step)
  r.epoch_averages = p.sums:averages()
  self.session = self.session + 1
  self.session_seconds = self.session_seconds + r.seconds
  r.seconds_left = (self.plan.updates - p.step) * self.session_seconds / self.session
  return r
end

-- Warns once of passes that run slower than they could.
function Loop:check_passes()
  local line = self.pass.remark and self.pass:remark()
  if line then
    self.report:warn(line)
  end
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

-- Before a save, on every rank: what saving does on the first one, and a look whether all hold the
-- same.
function Loop:before_save()
  if self.ranks.size > 1 then
    self.optimizer:prepare_evaluation()
    self:compare_weights()
  end
end

-- What reports get about the end of an epoch, or a validation within it.
function Loop:standing(result, seconds, is_best)
  local p, metric = self.progress, self.options.best_checkpoint_metric
  local r = {
    epoch = p.epoch, step = p.step, lr = self.schedule:rate(p.step), sums = p.sums,
    averages = p.sums:averages(), diagnosed = p.diagnosed:averages(), seconds = p.sums.seconds,
    best_metric = metric, best_value = p.best and p.best.values[metric],
  }
  if result then
    r.values, r.groups, r.is_best, r.valid_seconds = result.values, result.groups, is_best, seconds
    r.also = result.also -- further sets that were judged, by name
    r.dev_samples, r.dev_tokens = #self.task.dev, result.tokens
    r.dev_batches = #self.task.dev_batches
  end
  return r
end

-- Validates and keeps the best. Returns false when Ctrl-C interrupted it.
-- @tparam boolean ends is this the end of the epoch?
function Loop:validate(ends)
  local p, o = self.progress, self.options
  local started = clock()
  self.optimizer:prepare_evaluation()
  self.report:begin_validation()
  local result = self.task:validate(function(host)
    return self.pass:predict(host)
  end, function()
    return self:interrupted()
  end)
  if not result then
    return false
  end
  local seconds, before = clock() - started, p.last ~= nil
  p.valid_seconds = p.valid_seconds + seconds
  local is_best = p:judge(o.best_checkpoint_metric, result)
  local entry = kept.of_best(o, p.kept, result.values[o.best_checkpoint_metric], p.step)
  local standing = self:standing(result, seconds, is_best)
  standing.validated_before = before
  if ends then
    self.report:epoch(standing)
  else
    self.report:validated(standing)
  end
  self.saver:list(entry)
  if is_best then
    self:before_save()
    self.saver:save("checkpoint_best")
  end
  self.saver:save_numbered(entry, is_best and "checkpoint_best")
  return true
end

-- Is the number of updates a multiple of a flag's, which is not 0?
local function every(p, interval)
  return interval > 0 and p.step % interval == 0
end

-- Validates where `due`, unless that is off, too early or done. Returns false after Ctrl-C.
function Loop:validate_if(due, ends)
  local p, o = self.progress, self.options
  if not due or o.disable_validation or p.step < o.validate_after_updates then
    if ends then
      self.report:epoch(self:standing())
    end
    return true
  end
  -- A kill right after the best checkpoint leaves an epoch that is judged already.
  return p:is_judged() or self:validate(ends)
end

-- Between two updates of an epoch: validates and saves as fairseq does. Returns false after Ctrl-C.
function Loop:pause()
  local p, o = self.progress, self.options
  local saves = every(p, o.save_interval_updates) and p.step >= o.validate_after_updates
  local due = saves or every(p, o.validate_interval_updates)
  if due and not self:validate_if(true, false) then
    return false
  end
  if saves then
    self:before_save()
    self.saver:save_all(kept.of_update(o, p.epoch, p.step))
  end
  return true
end

-- Ends an epoch after its last update.
function Loop:end_epoch()
  local p, o = self.progress, self.options
  local metric = o.best_checkpoint_metric
  self.schedule:end_epoch(p:is_judged() and metrics.rounded(metric, p.last.values[metric]) or nil)
  p.rate_is_low = self.schedule:rate(p.step) <= o.stop_min_lr
  p:next_epoch()
end

-- The rest of the present epoch. Returns at its end, where the run must stop, or after Ctrl-C.
function Loop:epoch()
  local p, o = self.progress, self.options
  local steps = self.task:steps(p.epoch)
  if p.done == 0 then
    self.schedule:begin_epoch(p.epoch)
    self.report:begin_epoch(p.epoch)
  end
  while p.done < #steps and not p:must_stop(o) do
    local r = self:update(steps[p.done + 1], #steps)
    self.report:step(r)
    self:check_skipped(r)
    self:check_passes()
    if self.ranks.size > 1 and p.step % o.check_ranks == 0 then
      self:compare_weights()
    end
    if self:interrupted() then
      return
    end
    p.out_of_time = o.stop_time_hours > 0 and self.ranks:any(p:hours() > o.stop_time_hours)
    if p.done < #steps and not p:must_stop(o) and not self:pause() then
      return
    end
  end
  local due = p:must_stop(o) or p.epoch % o.validate_interval == 0
    or every(p, o.validate_interval_updates)
  if self:validate_if(due, true) and p.done == #steps then
    self:end_epoch()
  end
end

-- Saves after `epoch` where that is due: at the end of every --save-interval-th epoch, and always
-- where the run ends or is interrupted.
function Loop:save_epoch(before)
  local p, o = self.progress, self.options
  local ended = p.epochs_done > before and p.epochs_done
  local on_time = ended and ended % o.save_interval == 0
  if on_time or every(p, o.save_interval_updates) or self.was_interrupted or p:finished(o) then
    self:before_save()
    self.saver:save_all(on_time and kept.of_epoch(o, ended, p.step) or nil)
  end
end

function Loop:train()
  local p, o = self.progress, self.options
  while not p:finished(o) and not self:interrupted() do
    local before = p.epochs_done
    self:epoch()
    self:save_epoch(before)
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
  if self.ranks.is_first then
    run:begin()
  end
  self.ranks:meet()
  if not self.ranks.is_first then
    run:follow()
  end
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
  for _, entry in ipairs(run.folder and kept.recover(p.kept, run, p.step) or {}) do
    self.saver:list(entry)
    self.saver:save_numbered(entry, saved.name)
  end
  self.saver:prune()
  p.out_of_time = self.options.stop_time_hours > 0 and p:hours() > self.options.stop_time_hours
  p.rate_is_low = p.done == 0 and p.step > 0
    and self.schedule:rate(p.step) <= self.options.stop_min_lr
  for _, line in ipairs(checkpoint.remarks(saved.trainer, self)) do
    self.report:warn(line)
  end
end

-- The schedule of the learning rate, as the options say, or where a checkpoint left it.
local function schedule_of(self, saved)
  local o = self.options
  local settings = { lr = o.lr, total_num_update = self.plan.total,
    maximize = metrics.maximizes(o.best_checkpoint_metric) }
  for name, value in pairs(o.owned.schedule) do
    settings[name] = value
  end
  for _, d in ipairs(schedule.get(o.lr_scheduler).options) do
    if d.name == "warmup_updates" then
      settings.warmup_updates = self.plan.warmup
    end
  end
  return schedule.new(o.lr_scheduler, settings, saved and saved.schedule)
end

--- Trains.
-- @tparam table t options, run (open of setup.lua), task, model, pass, optimizer, report, ranks
-- @treturn table summary: why ("epochs", "updates", "patience", "time", "rate", "interrupted"),
--   interrupted; best and last: { epoch, step, values, groups } or nil; best_path, last_path,
--   folder: nil with --no-save; updates, skipped, samples, evaluations, train_seconds,
--   valid_seconds, tokens_per_second
-- @raise after 10 skipped updates in a row; when a checkpoint cannot be written (the old one stays)
function M.run(t)
  local o, run = t.options, t.run
  local saved = run.resume and run.resume.trainer
  local self = setmetatable({
    options = o, run = run, task = t.task, model = t.model,
    pass = t.pass, optimizer = t.optimizer, report = t.report,
    progress = progress.new(saved and saved.progress),
    plan = progress.plan(o, t.task, saved and saved.plan),
    session = 0, session_seconds = 0, was_interrupted = false, ranks = t.ranks,
  }, Loop)
  self.saver = saver.new(self)
  if t.profile then
    t.profile:watch({ saver = self.saver })
  end
  self.schedule = schedule_of(self, saved)
  begin(self)
  C.lib.fsam_interrupt_catch(1)
  local ok, result = xpcall(function()
    local finished = summary(self, self:train())
    if run.folder then
      results.write(run:path("results.json"), self, finished)
    end
    return finished
  end, function(err)
    return type(err) == "table" and err or debug.traceback(tostring(err), 2)
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

return M
