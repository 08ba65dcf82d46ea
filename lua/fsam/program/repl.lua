--- The interactive session: reads a chunk, runs it, prints its results, and survives every error.
--
-- Owns: when a chunk is complete, and how it is compiled. Leaves to others: lines
-- (line_reader.lua), how values look (show.lua), what errors become (failure.lua).
local failures = require("fsam.program.failure")
local help = require("fsam.program.help")
local readers = require("fsam.program.line_reader")
local show = require("fsam.program.show")

local M = {}

local PROMPT, CONTINUATION = "> ", ">> "
local CHUNK = "=stdin"
local MOST_CHUNK = 2 ^ 18 -- bytes of lines that are no whole chunk yet: each is compiled with all
local MOST_FAILURES = 20 -- of the session itself, one after the other

-- -- chunks ---------------------------------------------------------------------------------------

--- The argument of a compiled chunk, see M.compile.
local function identity(...)
  return ...
end

--- Compiles a chunk; expressions return their values, with or without "=" in front, and ?x asks for
-- help about x. An expression goes through the chunk's argument, a function that returns its
-- arguments: as a tail call it would lose its place in tracebacks. The argument has no name, which
-- would hide a global of the user's.
-- @tparam string text
-- @treturn ?function nil when it does not compile
-- @treturn ?string the compiler's message
-- @treturn boolean does the text only lack its end?
function M.compile(text)
  local asked = text:match("^%s*%?%s*(.-)%s*$")
  text = asked and ("help(%s)"):format(asked) or text
  local expression = text:match("^%s*=(.*)$")
  local chunk = loadstring("return (...)(" .. (expression or text) .. "\n)", CHUNK)
  if chunk then
    return chunk, nil, false
  end
  local message
  chunk, message = loadstring(expression and "return " .. expression or text, CHUNK)
  return chunk, message, message ~= nil and message:find("'<eof>'", -7, true) ~= nil
end

-- What is said where the input ends within a chunk.
local function unfinished_text(lines)
  local _, message = M.compile(table.concat(lines, "\n"))
  return (message or "stdin: unfinished") .. "; the input ends here, and this was not run"
end

--- Reads one whole chunk. Returns its lines, and its function or nil and the compiler's message;
-- nil at the end of the input, and the reason where that is not the end of what there was.
local function read_chunk(reader)
  local lines, prompt, bytes = {}, PROMPT, 0
  while true do
    local line, stopped = reader.read(prompt)
    if stopped == "long" then
      return nil, "a line of more than 1 MB is no line of Lua; is it the right input?"
    elseif not line and stopped == "end" then
      return #lines > 0 and lines or nil, nil, unfinished_text(lines)
    elseif not line then
      lines, prompt, bytes = {}, PROMPT, 0
    else
      lines[#lines + 1] = line
      bytes = bytes + #line + 1
      if #lines > 1 and bytes > MOST_CHUNK then
        return lines, nil, ("no end after %d lines; put a long chunk into a file"):format(#lines)
      end
      local chunk, message, unfinished = M.compile(table.concat(lines, "\n"))
      if not unfinished then
        return lines, chunk, message
      end
      prompt = CONTINUATION
    end
  end
end

--- The name that a chunk of one `local` statement declares, which is lost after its line; else nil.
local function lost_local(text)
  local name, value = text:match("^%s*local%s+([%a_][%w_,%s]*)=(.+)$")
  if name and loadstring("return " .. value) then
    return (name:gsub("%s+$", ""))
  end
  local called, body = text:match("^%s*local%s+function%s+([%a_][%w_]*)(.+)$")
  return called and loadstring("return function" .. body) and called or nil
end

local function print_results(width, count, ...)
  if count == 0 then
    return
  end
  local texts, breaks = {}, false
  for i = 1, count do
    texts[i] = show.show((select(i, ...)), width)
    breaks = breaks or texts[i]:find("\n") ~= nil
  end
  if (...) ~= nil then
    rawset(_G, "_", (...)) -- a user's __newindex may refuse new names
  end
  io.write(table.concat(texts, breaks and "\n" or "\t"), "\n")
end

--- A failure's text, without a traceback that adds nothing to the message.
local function failure_text(failure)
  local text = failure.text or "error"
  local message, trace = text:match("^(.-)\nstack traceback:(.*)$")
  if trace then
    local frames = trace:gsub("\n%s*%[[^\n]*", ""):gsub("\n%s*stdin:%d+: in [^\n]*", "", 1)
    return frames == "" and message or text
  end
  return text
end

--- Runs a chunk of M.compile and prints its results. The chunk is not JIT-compiled, since compiled
-- loops do not see Ctrl-C; modules that it calls are.
local function evaluate(sys, width, lines, chunk)
  jit.off(chunk, true)
  local function finish(ok, ...)
    if ok then
      return failures.call(sys, print_results, width(), select("#", ...), ...)
    end
    return ok, ...
  end
  local ok, failure = finish(failures.call(sys, chunk, identity))
  io.flush()
  if not ok then
    io.stderr:write(failure_text(failure), "\n")
    return
  end
  local name = lost_local(table.concat(lines, "\n"))
  if name then
    io.stderr:write(("(local %s ends with its line; without `local` it stays)\n"):format(name))
  end
end

-- Does this line leave? As a word, or as the call that other languages want, unless it is the
-- name of a variable of the user's.
local function is_farewell(text)
  local word = text:match("^%s*(%a+)%s*%(?%s*%)?%s*;?%s*$")
  return (word == "exit" or word == "quit") and rawget(_G, word) == nil
end

-- -- the session ----------------------------------------------------------------------------------

local function banner(sys, C)
  local lib, ffi = C.lib, C.ffi
  print(("fsam-lua %s · cpu %s, %d threads · `fsam` is the library, help() helps, Ctrl-D ends")
    :format(sys.version, ffi.string(lib.fsam_isa()), lib.fsam_threads()))
end

-- The same system on a terminal: Ctrl-C that comes between lines and chunks does nothing, where
-- otherwise it would end the session.
local function surviving(sys, C)
  C.lib.fsam_interrupt_ignore()
  return setmetatable({ on_interrupt = function(value)
    sys.on_interrupt(value)
    if value == nil then
      C.lib.fsam_interrupt_ignore()
    end
  end }, { __index = sys })
end

--- Runs the session until the input ends.
-- @tparam table sys what engine/host/main.c hands over (see command_line.lua)
-- @treturn boolean was all of the input read?
function M.run(sys)
  local C = require("fsam.C")
  _G.fsam = _G.fsam or require("fsam")
  if rawget(_G, "help") == nil then
    _G.help = help.text
  end
  local on_terminal = sys.is_terminal(0)
  if on_terminal then
    sys = surviving(sys, C)
    banner(sys, C)
  end
  local reader = on_terminal and readers.terminal(C) or readers.plain()
  local function width()
    return readers.width(C)
  end
  -- Reads and runs one chunk; false at the end of the session, with true where input is left.
  local function turn()
    failures.keep_reserve()
    local lines, chunk, message = read_chunk(reader)
    local text = lines and table.concat(lines, "\n")
    if not lines and chunk then
      io.stderr:write("fsam-lua: ", chunk, "\n")
      return false, true
    elseif not lines or is_farewell(text) then
      return false
    end
    if text:match("%S") then
      reader.remember(lines)
    end
    if chunk then
      evaluate(sys, width, lines, chunk)
    else
      io.stderr:write(message, "\n")
    end
    return true
  end
  local failed = 0
  while failed < MOST_FAILURES do
    local ok, goes_on, broken = pcall(turn)
    if ok and not goes_on then
      return not broken
    end
    failed = ok and 0 or failed + 1
    if not ok then -- no memory for the session's own work
      collectgarbage()
      io.stderr:write(tostring(goes_on), "; set a large value to nil\n")
    end
  end
  return false
end

return M
