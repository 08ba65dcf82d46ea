--- Where in the user's files something happens: positions of sets and reads, and errors that start
-- with one. Taking a position is cheap (a function and a line); turning it into text is not, and is
-- done only when a message needs it.
--
-- Owns the question whose a function is: the vector language's (its callers are meant), the
-- library's, or the user's; and what becomes of Lua's own errors in a user's function.
local bit = require("bit")
local errors = require("fsam.errors")
local util = require("jit.util")

local M = {}

local getinfo = debug.getinfo

-- How the names of the library's files begin.
local ROOT = getinfo(1, "S").source:match("^(.*)base/source_line%.lua$") or "@fsam/"

-- Sources of files that a message never means: their callers' lines are the ones to show.
local own_sources = {}

-- What a function is to us: "own", "library" or "user". Remembered per function.
local owners = setmetatable({}, { __mode = "k" })

local function owner_of(func)
  local owner = owners[func]
  if not owner then
    local source = getinfo(func, "S").source
    owner = (source == "=[C]" or own_sources[source]) and "own"
      or source:sub(1, #ROOT) == ROOT and "library" or "user"
    owners[func] = owner
  end
  return owner
end

--- Says that the calling file is never meant by a message. Called once, as the file is loaded.
function M.own()
  own_sources[getinfo(2, "S").source] = true
end

--- Is this function, or the function of this position, in a file of the user's?
function M.is_users(x)
  return owner_of(type(x) == "table" and x.func or x) == "user"
end

-- -- calls that leave no frame --------------------------------------------------------------------

-- `return x:norm()` gives its frame away, so nobody can be asked for the line. M.call remembers
-- whose function it has called; if that has one such return, its line is the one that is meant.
local function last_instruction(func)
  return bit.band(util.funcbc(func, util.funcinfo(func).bytecodes - 1), 0xff)
end
local TAIL = {
  [last_instruction(function(f) return f() end)] = true,
  [last_instruction(function(f, ...) return f(...) end)] = true,
}

local function returned_line(func)
  local info, line = util.funcinfo(func), nil
  for pc = 1, (info.bytecodes or 0) - 1 do
    if TAIL[bit.band(util.funcbc(func, pc), 0xff)] then
      if line then
        return info.linedefined
      end
      line = util.funcinfo(func, pc).currentline
    end
  end
  return line or info.linedefined
end

local running = false

local function back_to(outer, ...)
  running = outer
  return ...
end

--- Calls a user's function, so that errors in what it returns have its place.
function M.call(func, ...)
  local outer = running
  running = func
  return back_to(outer, func(...))
end

-- -- positions ------------------------------------------------------------------------------------

--- The position of the innermost caller outside the vector language.
-- @treturn table|false { func =, currentline = }
function M.here()
  local level = 3
  while true do
    local info = getinfo(level, "lf")
    if not info then
      return false
    end
    local func = info.func
    if func and (owners[func] or owner_of(func)) ~= "own" then
      return info
    elseif func == M.call then
      return { func = running, currentline = returned_line(running) }
    end
    level = level + 1
  end
end

--- The position of a function's definition.
function M.of(func)
  return { func = func, currentline = getinfo(func, "S").linedefined }
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

-- -- errors ---------------------------------------------------------------------------------------

--- Raises a one-line error that starts with a position.
function M.fail_at(position, format, ...)
  error(errors.new(("%s: %s"):format(M.text(position), format:format(...)), true), 0)
end

--- Raises a one-line error that starts with the user's file and line.
function M.fail(format, ...)
  M.fail_at(M.here(), format, ...)
end

-- What to do about the errors that Lua raises where a vector meets what only numbers can.
local function advice(message)
  if message:find("^attempt to compare .*table") then
    return "; vectors and scalars are compared with x:gt(y), ge, lt, le, eq, or read first: "
      .. "s:read(x)"
  end
  return message:find("^bad argument .*%(number expected, got table%)")
    and "; functions of numbers do not take vectors, which have methods: x:sqrt(), x:max(y), …"
    or ""
end

--- For message handlers: Lua's own error in a function of the user's as a one-line error.
-- @param err what was raised
-- @tparam number level of the function that raised it, as seen by the caller
-- @treturn ?table nil when it was raised elsewhere, which is a fault of the library
function M.explain(err, level)
  if type(err) ~= "string" then
    return nil
  end
  local info
  repeat
    level = level + 1
    info = getinfo(level, "lf")
  until not info or getinfo(info.func, "S").what ~= "C"
  local place = info and info.func == M.call
    and { func = running, currentline = returned_line(running) } or info
  if not place or not M.is_users(place) then
    return nil
  end
  local message = err:gsub("^[^\n]-:%d+: ", "")
  return errors.new(("%s: %s%s"):format(M.text(place), message, advice(message)), true)
end

return M
