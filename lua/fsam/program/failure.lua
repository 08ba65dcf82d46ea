--- Calling the user's code, and turning its errors into failures, whose text is ready to print.
--
-- An error object with a __tostring, such as fsam.errors makes, is a message for the user: one
-- line. Every other error is a fault and keeps its traceback, as does every error under
-- FSAM_TRACE=1. Owns: this distinction, and Ctrl-C. Leaves to others: printing (command_line.lua,
-- repl.lua).
local errors = require("fsam.errors")
local source_line = require("fsam.base.source_line")

local M = {}

local Failure = {}

--- What Ctrl-C raises in running Lua.
M.INTERRUPTED = setmetatable({}, {
  __tostring = function()
    return "interrupted"
  end,
})

--- The traceback from the failing function down to the chunk, without the program's own frames.
local function traceback(message, level)
  local text = debug.traceback(message, level + 1)
  local last = nil
  for at in text:gmatch("()\n\t%[C%]: in function 'xpcall'") do
    last = at
  end
  return last and text:sub(1, last - 1) or text
end

-- What to do where Lua refuses to compare or take a vector as a number; empty without vectors.
local function advice_for(message)
  return package.loaded["fsam.vector.expression"]
    and source_line.advice(message) or ""
end

-- The failure of an error of fsam.errors.
local function plain(value)
  return setmetatable({ value = value, text = value.message, plain = true }, Failure)
end

-- Where a user's script called what raised this; nil where the message says it or is the script's
-- own, and in a command, whose messages are about its words and the files that they name.
local function place_of(value)
  local read = package.loaded["fsam.options"]
  if not errors.is(value) or value.placed or read and read.parsed then
    return nil
  end
  local position = source_line.users(errors.raise)
  local source = position and debug.getinfo(position.func, "S").source or ""
  return source:sub(1, 1) == "@" and source_line.text(position) or nil
end

local function failure_of(value, overflow)
  if overflow then
    return plain(overflow)
  end
  if value == nil then
    return setmetatable({}, Failure) -- error() without a value prints nothing
  end
  local text, meta = source_line.said(value), type(value) == "table" and getmetatable(value)
  local plain_text = type(meta) == "table" and rawget(meta, "__tostring") ~= nil
  local place = plain_text and place_of(value)
  if not plain_text or os.getenv("FSAM_TRACE") == "1" then
    text = traceback(plain_text and text or text .. advice_for(text), 2)
  end
  return setmetatable({ value = value, text = text, plain = plain_text or nil, place = place },
    Failure)
end

--- Turns an error value into a failure {value, text, plain}; runs where the error was raised. It is
-- small because after a stack overflow Lua leaves it some forty slots.
local function on_error(value)
  return failure_of(value, source_line.overflow(value))
end

-- What LuaJIT says when it has no room left to call on_error, and what may be the cause.
local CAUSES = {
  ["not enough memory"] = "ulimit -v, or a value that grows without end?",
  ["stack overflow"] = "a function or metamethod that calls itself without end?",
  ["error in error handling"] = "the error's own __tostring fails?",
}

local RESERVE = 2 ^ 22 -- bytes
local reserve

--- Sets memory aside that is given back when there is no more, so that a session can go on although
-- the user's values fill all the rest.
function M.keep_reserve()
  if not reserve then
    local ok, made = pcall(string.rep, "-", RESERVE)
    reserve = ok and made or nil
  end
end

-- A failure from whatever xpcall gave. Where on_error did not run to its end that is no failure but
-- what LuaJIT had at hand, mostly a string.
local function as_failure(given)
  if getmetatable(given) == Failure then
    return given
  end
  reserve = nil
  collectgarbage() -- what the call held is free now, and the rest needs some of it
  local text = type(given) == "string" and given:match("^[^\n]*") or "error in error handling"
  local overflow = source_line.overflow_unhandled(text)
  if overflow then
    return plain(overflow)
  end
  for problem, cause in pairs(CAUSES) do
    if text:find(problem, 1, true) then
      text = ("%s (%s)"):format(text, cause)
    end
  end
  return setmetatable({ value = given, text = text }, Failure)
end

--- Calls a function; Ctrl-C stops it.
-- @tparam table sys what engine/host/main.c hands over (see command_line.lua)
-- @tparam function f
-- @param ... its arguments
-- @treturn boolean did it return?
-- @return its results, or a failure {value=, text=, plain=}: the error, the text to print (nil:
--   print nothing), and whether that is a message for the user
function M.call(sys, f, ...)
  sys.on_interrupt(M.INTERRUPTED)
  local function finish(ok, ...)
    sys.on_interrupt(nil)
    if not ok then
      return false, as_failure((...))
    end
    return true, ...
  end
  return finish(xpcall(f, on_error, ...))
end

return M
