--- Running sums of what steps report: over an epoch, or between two log lines.
--
-- Owns: the sums, their averages, and their form in trainer.json. Leaves to others: when they begin
-- anew (train/progress.lua and the screens). Loss and accuracy are those of the first pass, per
-- sample. A skipped step counts as time and nothing else.

local M = {}

local Sums = {}
Sums.__index = Sums

local FIELDS = { "loss", "samples", "tokens", "correct", "judged", "updates", "gnorm", "clipped",
  "seconds" }

--- Sums at zero, or those that `state` gave.
-- @tparam[opt] table state
function M.new(state)
  local self = setmetatable({}, Sums)
  for _, field in ipairs(FIELDS) do
    self[field] = state and state[field] or 0
  end
  return self
end

--- Adds a step.
-- @tparam table r loss (mean), samples, tokens, correct (nil: regression) of the `seen` samples of
--   the first pass, gnorm, clipped, seconds, skipped
function Sums:add(r)
  self.seconds = self.seconds + r.seconds
  if r.skipped then
    return
  end
  self.loss = self.loss + r.loss * r.samples
  self.samples = self.samples + r.samples
  self.tokens = self.tokens + r.tokens
  self.updates = self.updates + 1
  self.gnorm = self.gnorm + (r.gnorm or 0)
  self.clipped = self.clipped + (r.clipped and 1 or 0)
  if r.correct then
    self.correct = self.correct + r.correct
    self.judged = self.judged + r.seen
  end
end

local function ratio(a, b)
  return b > 0 and a / b or nil
end

--- Averages; each nil while there is nothing to average.
-- @treturn table loss, accuracy, gnorm, clipped (share of updates), tokens_per_second,
--   updates_per_second, tokens_per_update, samples_per_update, loss_per_token
function Sums:averages()
  return {
    loss = ratio(self.loss, self.samples),
    loss_per_token = ratio(self.loss, self.tokens),
    accuracy = ratio(self.correct, self.judged),
    gnorm = ratio(self.gnorm, self.updates),
    clipped = ratio(self.clipped, self.updates),
    tokens_per_second = ratio(self.tokens, self.seconds),
    updates_per_second = ratio(self.updates, self.seconds),
    tokens_per_update = ratio(self.tokens, self.updates),
    samples_per_update = ratio(self.samples, self.updates),
  }
end

--- The sums as a plain table, for trainer.json.
function Sums:state()
  local state = {}
  for _, field in ipairs(FIELDS) do
    state[field] = self[field]
  end
  return state
end

return M
