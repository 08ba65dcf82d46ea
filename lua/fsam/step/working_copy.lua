--- The working copy c: the weights as passes read them. Owns how values are rounded into it, and
-- whether it holds w at this moment. Leaves to others: its memory (fsam.vector.params), which
-- values it gets and when (fsam.step).
--
-- With --rounding stochastic a value goes to one of the two neighbours that bf16 can hold, by 16
-- random bits per element. All that the passes of one step read is rounded with the same bits,
-- keyed by seed, step and element, so that c(w + e) and c(w) differ only where e is not 0, and by
-- e on average. What the end of step n leaves is read by step n + 1, and has its bits. In f32
-- there is nothing to round.
local M = {}

local Copy = {}
Copy.__index = Copy

--- @tparam table params sealed parameters, whose c holds w rounded to nearest
-- @tparam table options of the step, complete: rounding
-- @tparam integer seed of the random bits
function M.new(params, options, seed)
  return setmetatable({
    params = params,
    seed = options.rounding == "stochastic" and params.compute == "bf16" and seed or nil,
    holds = "nearest", -- "nearest": w rounded to nearest; a number: w as that step reads it;
                       -- nil: w + e
  }, Copy)
end

-- The value of `holds` when c is w as a step reads it.
local function resting(self, step)
  return self.seed and step or "nearest"
end

--- Queues c ← round(value), for the passes of a step.
function Copy:write(value, step)
  self.holds = nil
  if self.seed then
    self.params.c:set(value, { rounding = "stochastic", seed = self.seed, step = step })
  else
    self.params.c:set(value)
  end
end

--- Queues c ← round(w), for the passes of a step.
-- @tparam[opt] table w its new value, an expression
function Copy:rest(step, w)
  if w or self.holds ~= resting(self, step) then
    self:write(w or self.params.w, step)
    self.holds = resting(self, step)
  end
end

--- c ← nearest(w), now: for evaluation and saving, and after sets were dropped.
function Copy:reset()
  self.params:sync()
  self.holds = "nearest"
end

return M
