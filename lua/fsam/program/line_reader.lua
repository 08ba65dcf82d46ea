--- Where the REPL's lines come from: libedit on a terminal (engine/host/lineedit.c edits, this
-- module answers Tab and pasted text), plain reading elsewhere. Owns the history, a text file that
-- grows by a line at a time: $XDG_STATE_HOME/fsam-lua/history.
--
-- A reader is {read = function(prompt), remember = function(lines)}: read returns a line without
-- its end, or nil and "interrupt" (Ctrl-C: give up what was typed) or "end".
local complete = require("fsam.program.complete")

local M = {}

local HISTORY_LINES = 2000

-- -- history -------------------------------------------------------------------------------------

--- $XDG_STATE_HOME/fsam-lua/history, by default under ~/.local/state; nil without a home.
local function history_path()
  local lfs = require("lfs")
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state == "" then
    local home = os.getenv("HOME")
    state = home and home .. "/.local/state"
  end
  if not state then
    return nil
  end
  local folder = ""
  for part in (state .. "/fsam-lua"):gmatch("[^/]+") do
    folder = folder .. (folder == "" and state:sub(1, 1) ~= "/" and "" or "/") .. part
    lfs.mkdir(folder)
  end
  return folder .. "/history"
end

local function read_lines(path)
  local lines = {}
  local file = path and io.open(path, "r")
  if file then
    for line in file:lines() do
      lines[#lines + 1] = line
    end
    file:close()
  end
  return lines
end

--- What a chunk is remembered as: one line where that means the same, else its lines.
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

--- Loads the history into an editor and returns a function that adds a chunk's lines to both.
local function open_history(remember)
  local path = history_path()
  local lines = read_lines(path)
  local first = math.max(1, #lines - HISTORY_LINES + 1)
  for i = first, #lines do
    remember(lines[i])
  end
  if #lines > 2 * HISTORY_LINES then
    local file = io.open(path .. ".new", "w")
    if file then
      file:write(table.concat(lines, "\n", first), "\n")
      file:close()
      os.rename(path .. ".new", path)
    end
  end
  local last = lines[#lines]
  return function(chunk)
    for _, entry in ipairs(entries(chunk)) do
      remember(entry)
      local file = entry ~= last and path and io.open(path, "a")
      if file then
        file:write(entry, "\n")
        file:close()
      end
      last = entry
    end
  end
end

-- -- reading lines -------------------------------------------------------------------------------

--- Columns of the terminal; 80 when there is none.
-- @tparam table C fsam.C
function M.width(C)
  local width = C.lib.fsam_terminal_width(1)
  return width > 0 and width or 80
end

--- Tab: inserts what is certain, else shows the choices; at the start of a line it indents.
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

--- A reader on the terminal, or nil where lines cannot be edited. Pasted text is taken line by
-- line, as if typed.
-- @tparam table C fsam.C
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

--- A reader of plain lines, for pipes and for terminals that cannot move their cursor.
-- @tparam boolean with_prompt write prompts
function M.plain(with_prompt)
  local function read(prompt)
    if with_prompt then
      io.write(prompt)
      io.flush()
    end
    local line = io.read("*l")
    return line, line == nil and "end" or nil
  end
  return { read = read, remember = function() end }
end

return M
