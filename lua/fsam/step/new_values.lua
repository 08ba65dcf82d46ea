--- Is what an update makes finite: the new weights, the state, the scalars? A built-in optimizer
-- whose gradients and numbers are of ordinary size makes nothing else: its update is at most the
-- rate times a gradient over eps, far from what f32 can hold. So only the others are looked at
-- before they are kept, by one more sweep: those with extreme numbers (--lr 1e308, --adam-eps
-- 1e-40), and those that a user has defined. Owns: who is looked at, and looking. Leaves to others:
-- what happens to a step that is not finite (fsam.step).
local finite = require("fsam.step.finite")
local optim = require("fsam.optim")
local sam = require("fsam.sam")

local M = {}

-- Of lr, gradients and options. Adam's m / eps · lr stays below the third power of the first.
local LARGE, SMALL = 1e12, 1e-20

local function is_extreme(x)
  x = math.abs(x)
  return not (x <= LARGE and (x == 0 or x >= SMALL))
end

local function any_extreme(options)
  for _, value in pairs(options) do
    if type(value) == "number" and is_extreme(value)
        or type(value) == "table" and any_extreme(value) then
      return true
    end
  end
  return false
end

-- Parts of a type that make something that is kept.
local function keeps(t)
  return t.update or t.after or t.state and #t.state > 0 or t.scalars and #t.scalars > 0
end

--- Is every update of these definitions looked at?
-- @tparam table base definition (fsam.optim)
-- @tparam table t definition (fsam.sam)
-- @tparam {table,…} settings the options of all owners
-- @treturn boolean
function M.always(base, t, settings)
  if not (t.update or optim.is_built_in(base.name))
      or keeps(t) and not sam.is_built_in(t.plain) then
    return true
  end
  return any_extreme(settings)
end

--- Leaves the step unless all that waits for its end is finite; looks only where it may not be.
-- @tparam boolean always of `always`
-- @tparam table params
-- @tparam number lr
-- @tparam number largest of the norms of the step's gradients
function M.check(always, params, lr, largest)
  if not always and math.abs(lr) <= LARGE and largest <= LARGE then
    return
  end
  local seen = {}
  for i, set in ipairs(params:waiting()) do
    seen[i] = { name = set.name, size = set.size:request() }
  end
  for _, one in ipairs(seen) do
    finite.check(one.size:read(), one.name == "w" and "the norm of the new weights"
      or "the new " .. one.name)
  end
end

return M
