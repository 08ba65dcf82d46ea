--- The source of the REPL's lines: an editor on a terminal, plain reading elsewhere.
--
-- Owns: answers to Tab and to pasted text, and the history, a text file that grows by a line at a
-- time: $XDG_STATE_HOME/fsam-lua/history. Leaves to others: editing (engine/host/lineedit.c, by
-- libedit), candidates (complete.lua).
--
-- A reader is {read = function(prompt), remember = function(lines)}: read returns a line without
-- its end, or nil and "interrupt" (Ctrl-C: forget the typed text) or "end".
local complete = require("fsam.program.complete")
local file = require("fsam.base.file")

local M = {}

local HISTORY_LINES, HISTORY_BYTES = 2000, 2 ^ 24

-- -- history --------------------------------------------------------------------------------------

--- $XDG_STATE_HOME/fsam-lua/history, by default under ~/.local/state; nil without a home.
local function history_path()
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state == "" then
    local home = os.getenv("HOME")
    state = home and home .. "/.local/state"
  end
  if not state then
    return nil
  end
  local folder = state .. "/fsam-lua"
  pcall(file.make_folder, folder) -- a session works without a history
  return folder .. "/history"
end

-- Nothing in the history's place keeps a session from working.
local function read_lines(path)
  local lines = {}
  pcall(function()
    if path and file.kind(path) == "file" then
      for line in file.lines(path, HISTORY_BYTES) do
        lines[#lines + 1] = line
      end
    end
  end)
  return lines
end

local function append(path, line)
  pcall(function()
    local writer = file.appender(path, "history")
    writer:write(line .. "\n")
    writer:flush()
    writer:abandon()
  end)
end

--- A chunk's entries in the history: one line where that means the same, else its lines.
local function entries(lines)
  local text = table.concat(lines, "\n")
  if #lines == 1 or text:find("--", 1, true) or text:find("%[=*%[") or text:find("\\\n") then
    return lines
  end
  local parts = {}
  for i, line in ipairs(lines) do
    parts[i] = line:match("^%s*(.-)%s*$")
  end
  return { table.concat(parts, " ") }
end

--- Loads the history into an editor. Returns a function that adds a chunk's lines to both.
local function open_history(remember)
  local path = history_path()
  local lines = read_lines(path)
  local first = math.max(1, #lines - HISTORY_LINES + 1)
  for i = first, #lines do
    remember(lines[i])
  end
  if #lines > 2 * HISTORY_LINES then
    pcall(file.replace, path, table.concat(lines, "\n", first) .. "\n")
  end
  local last = lines[#lines]
  return function(chunk)
    for _, entry in ipairs(entries(chunk)) do
      remember(entry)
      if entry ~= last and path then
        append(path, entry)
      end
      last = entry
    end
  end
end

-- -- reading lines --------------------------------------------------------------------------------

--- Columns of the terminal; 80 when there is none.
-- @tparam table C fsam.C
function M.width(C)
  local width = C.lib.fsam_terminal_width(1)
  return width > 0 and width or 80
end

--- Tab: inserts the text that all candidates share, else shows them; at the start of a line it
-- indents.
local function on_tab(C, line, text, cursor)
  local left = text:sub(1, cursor)
  if left:match("^%s*$") then
    C.lib.fsam_line_insert(line, "  ")
    return
  end
  local addition, candidates = complete.complete(left)
  if addition ~= "" then
    C.lib.fsam_line_insert(line, addition)
  elseif #candidates > 1 then
    C.check(C.lib.fsam_line_show(line, complete.columns(candidates, M.width(C))))
  end
end

--- A reader on the terminal. It takes pasted text line by line, as if typed.
-- @tparam table C fsam.C
-- @treturn ?table a reader; nil where standard input is no terminal
function M.terminal(C)
  local lib, ffi = C.lib, C.ffi
  local out = ffi.new("fsam_line *[1]")
  if lib.fsam_line_open(out) < 0 then
    return nil
  end
  local line, pasted = ffi.gc(out[0], lib.fsam_line_close), nil

  local function on_paste(text, cursor)
    local all = ffi.string(lib.fsam_line_pasted(line))
    local first, rest = all:match("^([^\n]*)\n(.*)$")
    lib.fsam_line_insert(line, first or all)
    if not first then
      return nil
    end
    lib.fsam_line_finish(line)
    pasted = rest ~= "" and rest or nil
    return text:sub(1, cursor) .. first .. text:sub(cursor + 1)
  end

  local function edit(prompt, initial)
    while true do
      local event = C.check(lib.fsam_line_edit(line, prompt, initial))
      local text, cursor = ffi.string(lib.fsam_line_text(line)), lib.fsam_line_cursor(line)
      if event == lib.FSAM_LINE_DONE then
        return text
      elseif event == lib.FSAM_LINE_TAB then
        on_tab(C, line, text, cursor)
      elseif event == lib.FSAM_LINE_PASTE then
        local whole = on_paste(text, cursor)
        if whole then
          return whole
        end
      else
        pasted = nil
        return nil, event == lib.FSAM_LINE_INTERRUPT and "interrupt" or "end"
      end
    end
  end

  local function read(prompt)
    local first, rest = (pasted or ""):match("^([^\n]*)\n(.*)$")
    if first then
      pasted = rest ~= "" and rest or nil
      io.write(prompt, first, "\n")
      return first
    end
    local initial = pasted or ""
    pasted = nil
    return edit(prompt, initial)
  end

  local remember = open_history(function(entry)
    lib.fsam_line_remember(line, entry)
  end)
  return { read = read, remember = remember }
end

local MOST_LINE = 2 ^ 20 -- bytes

--- A reader of plain lines, for pipes. It reads no further than a line's end, since what comes
-- after may wait for an answer. An endless line (/dev/zero) does not take endless memory.
-- @treturn table a reader; its read returns nil and "long" after a line of more than a MB
function M.plain()
  local function read()
    local line, n = {}, 0
    while n <= MOST_LINE do
      local byte = io.read(1)
      if byte == nil and n == 0 then
        return nil, "end"
      elseif byte == nil or byte == "\n" then
        return table.concat(line)
      end
      n = n + 1
      line[n] = byte
    end
    return nil, "long"
  end
  return { read = read, remember = function() end }
end

return M
