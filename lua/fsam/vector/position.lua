--- Where in the user's files something happens: positions of sets and reads, and errors that start
-- with one. Taking a position is cheap (a function and a line); turning it into text is not, and is
-- done only when a message needs it.
local errors = require("fsam.errors")

local M = {}

local getinfo = debug.getinfo

-- Is this function one of the vector language's own? Remembered per function.
local own = setmetatable({}, { __mode = "k" })

local function is_own(func)
  local known = own[func]
  if known == nil then
    local source = getinfo(func, "S").source
    known = source:find("fsam/vector/", 1, true) ~= nil
      or source:find("fsam/params", 1, true) ~= nil or source == "=[C]"
    own[func] = known
  end
  return known
end

--- The position of the innermost caller outside the vector language.
-- @treturn table|false { func =, currentline = }
function M.here()
  local level = 3
  while true do
    local info = getinfo(level, "lf")
    if not info then
      return false
    end
    if info.func and not is_own(info.func) then
      return info
    end
    level = level + 1
  end
end

--- A position as "file:line", or a text as it is.
function M.text(position)
  if not position then
    return "?"
  elseif type(position) == "string" then
    return position
  end
  return ("%s:%d"):format(getinfo(position.func, "S").short_src, position.currentline)
end

--- Raises a one-line error that starts with the user's file and line.
function M.fail(format, ...)
  errors.raise("%s: %s", M.text(M.here()), format:format(...))
end

return M
