--- The passes of one step. Owns: that each loss is finite, counting the samples of each gradient,
-- the norms that must be finite before the step is kept, and that either all ranks leave a step or
-- none does. Leaves to others: what a pass is (fsam.pass), what it is for (fsam.step).
--
-- A result of all ranks together is the same everywhere, so each rank decides by itself. What a
-- rank finds alone (request.alone) waits for `check`, where all ranks learn it together.
local Pass = require("fsam.pass")
local finite = require("fsam.step.finite")
local packing = require("fsam.data.packing")

local Passes = {}
Passes.__index = Passes

local M = {}

--- @tparam function evaluate runs a request (fsam.pass)
-- @tparam table observer what watches the step (fsam.step.observe)
-- @tparam table ranks who make the step together (fsam.ranks)
function M.new(evaluate, observer, ranks)
  return setmetatable({ evaluate = evaluate, observer = observer, ranks = ranks, norms = {},
    alone = {} }, Passes)
end

--- Runs a pass.
-- @tparam table request of fsam.pass
-- @tparam string what names the loss in the reason when it is not finite
-- @treturn table fsam.pass.outputs
-- @treturn ?integer how many samples its gradient is of
function Passes:run(request, what)
  local result = self.evaluate(request)
  local samples
  if request.backward then
    -- Alone, each rank has its part of the choice; together they have all of it.
    samples = request.alone and #request.choice or #result:losses()
    self.observer:gradient(samples)
  end
  if request.alone and self.ranks.size > 1 then
    self.alone[#self.alone + 1] = { value = result:mean(), what = what }
  else
    finite.check(result:mean(), what)
  end
  return result, samples
end

-- -- squares --------------------------------------------------------------------------------------

-- Tokens of a packed batch of a policy's samples: as many as a usual step has, so that a step's
-- memory serves, and the same on every rank and machine.
local TOKENS = 512

-- One pass for Σ_b g_b²; nil where there is none.
local function squares_at_once(self, request, what)
  if not Pass.can_square(self.evaluate) then
    return nil
  end
  local result = self.evaluate({ batches = request.batches
    and packing.join(request.batches, TOKENS), squares = true, into = request.into,
    backward = true })
  if result then
    self.observer:gradient(#result:losses())
    finite.check(result:mean(), what)
  end
  return result
end

--- Σ_b g_b², element by element, over samples b: the squares of the gradients of their own
-- losses, at whatever c holds. In one pass where that can be (fsam.pass: `squares`), else in a
-- pass for each sample, which gives the same within rounding.
-- @tparam table request batches, a list of batches of one sample each, the same on every rank, or
--   N, how many samples the step has: then it is over these; into, a vector that the passes write;
--   sum, the name of a scratch vector that is made where each sample has a pass
-- @tparam string what names a loss in the reason when it is not finite
-- @treturn table the vector with the squares: into, or that of the sum
function Passes:squares(request, what)
  local g = request.into
  if squares_at_once(self, request, what) then
    return g
  end
  local f = g.params:scratch(request.sum)
  f:set(0)
  for i = 1, request.N or #request.batches do
    self:run({ batches = request.batches and { request.batches[i] },
      choice = request.N and { i - 1 }, into = g, backward = true }, what)
    f:set(f + g * g)
  end
  return f
end

--- Sums over ranks a vector that each of them has made alone.
function Passes:sum(vector)
  self.ranks:sum(vector)
end

--- Requests a norm, which is computed with whatever runs next. `check` asks whether it is finite.
-- @tparam table scalar an expression
-- @tparam string what names it in the reason when it is not finite
-- @treturn table the same scalar
function Passes:norm(scalar, what)
  self.norms[#self.norms + 1] = { scalar = scalar:request(), what = what }
  return scalar
end

--- Leaves the step unless every norm so far is finite, and every loss that a rank found alone.
-- @treturn number the largest norm (of all ranks together)
function Passes:check()
  if #self.alone == 0 then
    local largest = 0
    for _, norm in ipairs(self.norms) do
      largest = math.max(largest, finite.check(norm.scalar:read(), norm.what))
    end
    return largest
  end
  local whats, values = {}, {}
  for _, loss in ipairs(self.alone) do
    whats[#whats + 1], values[#values + 1] = loss.what, loss.value
  end
  for _, norm in ipairs(self.norms) do
    whats[#whats + 1], values[#values + 1] = norm.what, norm.scalar:read()
  end
  local largest = 0
  for i, sum in ipairs(self.ranks:sum_numbers(values)) do
    largest = math.max(largest, finite.check(sum, whats[i]))
  end
  return largest
end

return M
