--- Lines of the user's files, as messages show them: where a vector was set or read, and where an
-- error belongs.
--
-- A position is { func =, currentline = }. Taking one is cheap. Turning it into text is not, and
-- waits until a message needs it.
--
-- Owns: whose a function is, and what becomes of Lua's own errors in a user's function. A function
-- is "own" (of the vector language; a message shows its caller's line), "library" or "user".
local bit = require("bit")
local errors = require("fsam.errors")
local util = require("jit.util")

local M = {}

local getinfo = debug.getinfo

-- How the names of the library's files begin.
local ROOT = getinfo(1, "S").source:match("^(.*)base/source_line%.lua$") or "@fsam/"

-- Sources of the vector language's files. A message shows their callers' lines instead of theirs.
local own_sources = {}

-- Function → "own", "library" or "user".
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

--- Marks the calling file as one of the vector language's, so that messages show its callers'
-- lines. Each such file calls this once, while it is loaded.
function M.own()
  own_sources[getinfo(2, "S").source] = true
end

--- Is this function in a file of the user's?
-- @param x a function, or a position, whose function is then asked about
-- @treturn boolean
function M.is_users(x)
  return owner_of(type(x) == "table" and x.func or x) == "user"
end

-- -- calls that leave no frame --------------------------------------------------------------------

-- `return x:norm()` is a tail call: it gives its frame away, and with it the line. So M.call
-- remembers the function that it has called. If that function has exactly one tail call, a message
-- shows its line, else the line where the function is defined.
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
local returned = false -- the function that M.call called last

local function back_to(outer, ...)
  running = outer
  return ...
end

--- Calls a user's function. Messages about vectors that it makes in a tail call find its line.
-- @tparam function func
-- @param ... its arguments
-- @return its results
function M.call(func, ...)
  local outer = running
  running, returned = func, func
  return back_to(outer, func(...))
end

-- -- positions ------------------------------------------------------------------------------------

--- The position of the innermost caller outside the vector language.
-- @treturn table|false a position; false where there is no such caller
function M.here()
  local level = 3
  while true do
    local info = getinfo(level, "lf")
    if not info then
      return false
    end
    local func = info.func
    if func == M.call then
      return { func = running, currentline = returned_line(running) }
    elseif func and (owners[func] or owner_of(func)) ~= "own" then
      return info
    end
    level = level + 1
  end
end

--- The position of the innermost caller in a file of the user's.
-- @tparam[opt] function but a function whose own callers do not count
-- @treturn table|false a position; false where there is no such caller
function M.users(but)
  local level, inner = 2, nil
  while true do
    local info = getinfo(level, "lf")
    if not info then
      return false
    elseif info.func and owner_of(info.func) == "user" then
      return (but == nil or inner ~= but) and info
    elseif info.func == M.call and running and owner_of(running) == "user" then
      return { func = running, currentline = returned_line(running) }
    end
    level, inner = level + 1, info.func
  end
end

--- The position that a message about a value shows: the given one, or where that is a line of the
-- library, which only passes on what a user's function returned, the definition of that function.
-- @tparam table|false position
-- @treturn table|false a position
function M.origin(position)
  if position and owner_of(position.func) == "library" and returned
      and owner_of(returned) == "user" then
    return M.of(returned)
  end
  return position
end

--- The position of a function's definition.
-- @treturn table a position
function M.of(func)
  return { func = func, currentline = getinfo(func, "S").linedefined }
end

--- A position as text.
-- @tparam table|string|false position a text is returned unchanged
-- @treturn string "file:line"; "?" for false
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
-- @tparam table|string|false position
-- @tparam string format as for string.format, and its arguments
function M.fail_at(position, format, ...)
  error(errors.new(("%s: %s"):format(M.text(position), format:format(...)), true), 0)
end

--- Raises a one-line error that starts with the position of the caller (`here`).
-- @tparam string format as for string.format, and its arguments
function M.fail(format, ...)
  M.fail_at(M.here(), format, ...)
end

--- What to do about an error that Lua raises where a vector stands in the place of a number.
-- @tparam string message Lua's own
-- @treturn string the rest of the sentence; empty for other errors
function M.advice(message)
  if message:find("attempt to compare .*table") then
    return "; vectors and scalars are compared with x:gt(y), ge, lt, le, eq, or read first: "
      .. "s:read(x), x:read()"
  end
  return message:find("^bad argument .*%(number expected, got table%)")
    and "; functions of numbers do not take vectors, which have methods: x:sqrt(), x:max(y), …"
    or ""
end

local SEEN = 100 -- innermost calls in which a circle is looked for

-- The innermost call of a user's function that led to another call of the same function, and true;
-- where there is none, the innermost call in a file of the user's.
local function circle(thread)
  local seen, innermost, level = {}, nil, 0
  while true do
    local info = getinfo(thread, level, "lf")
    if not info or level > SEEN and innermost then
      return innermost, false
    elseif info.func and info.currentline > 0 and owner_of(info.func) == "user" then
      if seen[info.func] then
        return info, true
      end
      innermost, seen[info.func] = innermost or info, true
    end
    level = level + 1
  end
end

local function overflow(thread, err)
  local place = err:match("^(.-):? ?stack overflow$")
  if not place or place ~= "" and not place:find(":%d+$") then
    return nil
  end
  local position, found = circle(thread)
  place = position and M.text(position) or place
  return errors.new((place ~= "" and place .. ": " or "") .. "stack overflow; " .. (found
    and "the call in this line leads back to it without end"
    or "functions that call each other without end, or one expression of thousands of terms? A "
      .. "vector of the type's state or scratch, which is set in between, ends an expression"),
    place ~= "")
end

-- The stack on which `overflow` looks at the one that is used up.
local apart = coroutine.wrap(function(thread, err)
  while true do
    thread, err = coroutine.yield(overflow(thread, err))
  end
end)
local main_thread

--- Lua has no name for the thread that it begins with; the program's C side hands it over.
function M.set_main_thread(thread)
  main_thread = thread
end

--- For message handlers: turns Lua's error about a stack that is used up into a one-line error.
-- @param err what was raised
-- @tparam[opt] thread thread where; the main one by default
-- @treturn ?table an error of fsam.errors; nil for other errors
function M.overflow(err, thread)
  thread = thread or main_thread
  if type(err) == "string" and thread then
    return apart(thread, err)
  end
end

-- A function of the user's that calls itself, as the newest machine code says that has one.
local function compiled_recursion()
  for trace = 1000, 1, -1 do
    local info = util.traceinfo(trace)
    if info and info.linktype:find("recursion") then
      for i = 1, info.nk do
        local known, constant = pcall(util.tracek, trace, -i)
        if known and type(constant) == "function" and owner_of(constant) == "user" then
          return constant
        end
      end
    end
  end
end

--- The same where Lua could not call a message handler, as in machine code whose stack is used up,
-- or where too little of the stack is left for the handler. Whatever was called by `M.call` has
-- ended by the error.
-- @param err what was raised
-- @treturn ?table an error of fsam.errors; nil for another error, or if nothing says where
function M.overflow_unhandled(err)
  local left = running
  running = false
  if type(err) ~= "string" or not err:find("stack overflow", 1, true) then
    return nil
  elseif left and owner_of(left) == "user" then
    return errors.new(M.text(M.of(left))
      .. ": stack overflow; this function or one that it calls calls itself without end", true)
  end
  local func = compiled_recursion()
  return func and errors.new(M.text(M.of(func))
    .. ": stack overflow; this function calls itself without end", true)
end

--- What an error value says, for a message: a user may raise anything, and its own __tostring may
-- fail or return no text.
-- @param err what was raised
-- @treturn string
function M.said(err)
  local kind = type(err)
  if kind == "string" or kind == "number" then
    return tostring(err)
  elseif kind == "nil" then
    return "an error without a message"
  end
  local meta = debug.getmetatable(err)
  if type(meta) ~= "table" or rawget(meta, "__tostring") == nil then
    return ("(the error is a %s value)"):format(kind)
  end
  local made, text = pcall(meta.__tostring, err)
  if made and type(text) == "string" then
    return text
  end
  local why = made and "it returned a " .. type(text) .. " value" or type(text) == "string" and text
  return "an error whose own __tostring fails" .. (why and ": " .. why or "")
end

--- For message handlers: turns Lua's own error in a function of the user's into a one-line error.
-- @param err what was raised
-- @tparam number level of the function that raised it, counted from the caller
-- @treturn ?table an error of fsam.errors; nil when the error comes from elsewhere: it is a fault
--   of the library
function M.explain(err, level)
  local overflowed = M.overflow(err, coroutine.running())
  if overflowed then
    return overflowed
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
  local message = M.said(err):gsub("^[^\n]-:%d+: ", "")
  return errors.new(("%s: %s%s"):format(M.text(place), message, M.advice(message)), true)
end

return M
