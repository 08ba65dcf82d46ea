--- The passes of one step. Owns: that each loss is finite, counting the samples of each gradient,
-- and the norms that must be finite before the step is kept. Leaves to others: what a pass is
-- (fsam.pass), what it is for (fsam.step).
local finite = require("fsam.step.finite")

local Passes = {}
Passes.__index = Passes

local M = {}

--- @tparam function evaluate runs a request (fsam.pass)
-- @tparam table observer what watches the step (fsam.step.observe)
function M.new(evaluate, observer)
  return setmetatable({ evaluate = evaluate, observer = observer, norms = {} }, Passes)
end

--- Runs a pass.
-- @tparam table request of fsam.pass
-- @tparam string what its loss is, should it not be finite
-- @treturn table fsam.pass.outputs
-- @treturn ?integer how many samples its gradient is of
function Passes:run(request, what)
  local result = self.evaluate(request)
  local samples
  if request.backward then
    samples = #result:losses()
    self.observer:gradient(samples)
  end
  finite.check(result:mean(), what)
  return result, samples
end

--- Has a norm computed with whatever runs next; `check` asks whether it is finite.
-- @tparam table scalar an expression
-- @treturn table the same
function Passes:norm(scalar, what)
  self.norms[#self.norms + 1] = { scalar = scalar:request(), what = what }
  return scalar
end

--- Leaves the step unless every norm so far is finite.
function Passes:check()
  for _, norm in ipairs(self.norms) do
    finite.check(norm.scalar:read(), norm.what)
  end
end

return M
