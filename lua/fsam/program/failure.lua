--- Calling the user's code, and turning its errors into failures, whose text is ready to print.
--
-- An error object with a __tostring, such as fsam.errors makes, is a message for the user: one
-- line. Every other error is a fault and keeps its traceback, as does every error under
-- FSAM_TRACE=1. Owns: this distinction, and Ctrl-C. Leaves to others: printing (command_line.lua,
-- repl.lua).
local M = {}

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

--- Turns an error value into a failure {value, text, plain}; runs where the error was raised.
local function on_error(value)
  local meta = type(value) == "table" and getmetatable(value)
  local text
  if type(meta) == "table" and meta.__tostring then
    text = tostring(value)
    if os.getenv("FSAM_TRACE") == "1" then
      text = traceback(text, 2)
    end
    return { value = value, text = text, plain = true }
  elseif value == nil then
    return { text = nil } -- error() without a value prints nothing
  elseif type(value) == "string" or type(value) == "number" or type(value) == "cdata" then
    text = traceback(tostring(value), 2)
  else
    text = traceback(("(the error is a %s value)"):format(type(value)), 2)
  end
  return { value = value, text = text }
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
  local function finish(...)
    sys.on_interrupt(nil)
    return ...
  end
  return finish(xpcall(f, on_error, ...))
end

return M
