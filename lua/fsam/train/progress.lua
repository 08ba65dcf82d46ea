--- Where a run stands: everything the loop must remember between two updates, and its plan.
--
-- Owns: the counters, the best and last scores, patience, and their form in trainer.json. Leaves to
-- others: models, files and screens.

local diagnosed_steps = require("fsam.report.diagnosed_steps")
local metrics = require("fsam.data.metrics")
local running_sums = require("fsam.report.running_sums")

local M = {}

local Progress = {}
Progress.__index = Progress

local WARMUP_SHARE = 0.06

-- Plain fields, as they are saved.
local FIELDS = { "step", "epoch", "done", "epochs_done", "since_better", "skipped",
  "skipped_in_row", "first_skipped", "first_reason", "samples", "evaluations", "tokens",
  "train_seconds", "valid_seconds", "best", "last", "top", "kept" }

--- A run that has not begun, or the one that a trainer.json describes.
-- @tparam[opt] table saved
function M.new(saved)
  local self = setmetatable({
    step = 0,            -- updates consumed, skipped ones included
    epoch = 1,           -- the epoch under way
    done = 0,            -- its updates that are done
    epochs_done = 0,
    since_better = 0,    -- validations without a better score
    skipped = 0, skipped_in_row = 0,
    samples = 0,         -- seen in updates
    evaluations = 0,     -- samples' gradients that these took: twice as many for sam
    tokens = 0, train_seconds = 0, valid_seconds = 0,
    kept = {},           -- numbered checkpoints in the run folder (kept.lua)
  }, Progress)
  for _, field in ipairs(saved and FIELDS or {}) do
    if saved[field] ~= nil then
      self[field] = saved[field]
    end
  end
  self.sums = running_sums.new(saved and saved.meter)
  self.diagnosed = diagnosed_steps.new(saved and saved.diagnoses)
  return self
end

--- Everything, as a plain table for trainer.json.
function Progress:state()
  local state = { meter = self.sums:state(), diagnoses = self.diagnosed:state() }
  for _, field in ipairs(FIELDS) do
    state[field] = self[field]
  end
  return state
end

--- How long the run is, and how its learning rate is planned.
-- @tparam table o max_epoch, max_update, total_num_update, warmup_updates
-- @tparam table task updates(epochs)
-- @tparam[opt] table saved plan of a continued run: its warm-up is kept
-- @treturn table updates, total (where the decay ends), warmup
function M.plan(o, task, saved)
  local updates = math.min(task:updates(o.max_epoch > 0 and o.max_epoch or math.huge),
    o.max_update or math.huge)
  local total = o.total_num_update or updates
  local warmup = o.warmup_updates or saved and saved.warmup or math.floor(WARMUP_SHARE * total)
  return { updates = updates, total = total, warmup = math.min(warmup, o.warmup_updates or total) }
end

--- Counts an update.
-- @tparam table r loss, samples, tokens, seconds, evaluations, skipped (a reason) or nil, diagnosis
--   or nil, …
function Progress:add(r)
  self.sums:add(r)
  self.diagnosed:add(r.diagnosis or {})
  self.step, self.done = self.step + 1, self.done + 1
  self.train_seconds = self.train_seconds + r.seconds
  self.samples, self.tokens = self.samples + r.samples, self.tokens + r.tokens
  self.evaluations = self.evaluations + (r.evaluations or 0)
  if not r.skipped then
    self.skipped_in_row = 0
    return
  end
  if self.skipped_in_row == 0 then
    self.first_skipped, self.first_reason = r.step, r.skipped
  end
  self.skipped = self.skipped + 1
  self.skipped_in_row = self.skipped_in_row + 1
end

--- Notes a validation.
-- @tparam string metric the one that decides
-- @tparam table result of task:validate
-- @treturn boolean is it the best so far? Ties go to the later one
function Progress:judge(metric, result)
  local value = result.values[metric]
  local score = { epoch = self.epoch, step = self.step, values = result.values,
    groups = result.groups, collapsed = result.collapsed, also = result.also }
  self.last = score
  local is_best = metrics.better(metric, value, self.best and self.best.values[metric])
  -- Patience wants more than a tie; `top` is the value that was last exceeded.
  if metrics.better(metric, value, self.top) and not (self.top
      and metrics.rounded(metric, value) == metrics.rounded(metric, self.top)) then
    self.top, self.since_better = value, 0
  else
    self.since_better = self.since_better + 1
  end
  if is_best then
    self.best = score
  end
  return is_best
end

--- Was the model judged as it stands, after its last update?
function Progress:is_judged()
  return self.last ~= nil and self.last.step == self.step
end

-- Is there nothing to judge after this update any more?
local function is_settled(self, o)
  return self:is_judged() or o.disable_validation or self.step < o.validate_after_updates
end

local function out_of_patience(self, o)
  return o.patience > 0 and self.since_better >= o.patience
end

--- Must the run end after this update, wherever in its epoch that is?
-- @tparam table o max_update, patience
-- @treturn boolean
function Progress:must_stop(o)
  return o.max_update and self.step >= o.max_update or self.out_of_time or out_of_patience(self, o)
    or false
end

--- Hours that the run has taken so far, validation included.
-- @treturn number
function Progress:hours()
  return (self.train_seconds + self.valid_seconds) / 3600
end

--- Ends the epoch.
function Progress:next_epoch()
  self.epochs_done = self.epoch
  self.epoch, self.done = self.epoch + 1, 0
  self.sums, self.diagnosed = running_sums.new(), diagnosed_steps.new()
end

--- Why no update should follow, or nil.
-- @tparam table o max_epoch, max_update, patience, disable_validation, validate_after_updates
-- @treturn ?string "epochs", "updates", "patience", "time" (--stop-time-hours) or "rate"
--   (--stop-min-lr)
function Progress:finished(o)
  if o.max_epoch > 0 and self.epochs_done >= o.max_epoch then
    return "epochs"
  elseif o.max_update and self.step >= o.max_update and is_settled(self, o) then
    return "updates"
  elseif out_of_patience(self, o) then
    return "patience"
  elseif self.out_of_time and is_settled(self, o) then
    return "time"
  elseif self.rate_is_low then
    return "rate"
  end
end

return M
