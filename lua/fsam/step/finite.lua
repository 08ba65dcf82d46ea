--- Is a step finite? Only this file decides. A loss, norm or number that is not finite ends the
-- step, and nothing of it is kept. Owns: the question, and how a step is left. Leaves to others:
-- which values must be finite.
local M = {}

local Unfinished = {}
Unfinished.__index = Unfinished

--- Leaves the step unless x is a finite number.
-- @tparam number x
-- @tparam string what names x in the reason
-- @treturn number x
function M.check(x, what)
  if not (x == x and x > -math.huge and x < math.huge) then
    error(setmetatable({ reason = ("%s is %s"):format(what, tostring(x)) }, Unfinished), 0)
  end
  return x
end

--- Why a step was left; nil when `raised` is an error.
function M.reason(raised)
  return getmetatable(raised) == Unfinished and raised.reason or nil
end

return M
