--- Errors meant for a person: one line that says what is wrong and what to do.
--
-- Owns: the error object, and the search for the nearest valid name. Leaves to others: printing.
-- The program (program/failure.lua) prints such an error as its message alone. Every other error is
-- a fault of the program and keeps its traceback.
local M = {}

local Error = {}
Error.__index = Error

function Error:__tostring()
  return self.message
end

-- So that `"cola.lua: " .. err` reads as expected.
function Error.__concat(a, b)
  return tostring(a) .. tostring(b)
end

local LONGEST, HEAD, TAIL = 1200, 700, 480 -- bytes of a message, and of its ends where it is cut

-- Bytes of one character, by its first byte: from, to, how many.
local LEADS = { { 194, 223, 2 }, { 224, 239, 3 }, { 240, 244, 4 } }

-- A character of UTF-8 beyond ASCII as it may be printed. Among them are control characters and
-- separators of lines too.
local function printable(sequence)
  local first, second = sequence:byte(1, 2)
  for _, lead in ipairs(LEADS) do
    if first >= lead[1] and first <= lead[2] and #sequence == lead[3] then
      local control = first == 194 and second < 160
        or first == 226 and second == 128 and sequence:find("[\168-\174]$")
      return control and "?" or sequence
    end
  end
  return "?"
end

--- A text in one line that does nothing to a terminal: messages quote what files and commands hold.
-- @tparam string text any bytes
-- @treturn string at most 1,200 bytes of UTF-8 without control characters; a longer text loses its
--   middle
function M.line(text)
  if #text > LONGEST then
    text = text:sub(1, HEAD) .. " … " .. text:sub(-TAIL)
  end
  if text:find("[%z\1-\31\127-\255]") then
    text = text:gsub("%s*\n%s*", " "):gsub("[%z\1-\31\127]", "?")
      :gsub("[\128-\255][\128-\191]*", printable)
  end
  return text
end

--- Makes an error object without raising it.
-- @tparam string message one line; what is not printable in it becomes "?" (`line`)
-- @tparam[opt] boolean placed does it begin with a file and line of the user's? Then the program
--   prints no script name in front of it
-- @treturn table an object whose `message` field and `tostring` are that line
function M.new(message, placed)
  return setmetatable({ message = M.line(message), placed = placed or false }, Error)
end

--- Raises a one-line error.
-- @tparam string format as for string.format; without further arguments the message itself, so that
--   a `%` in a path needs no care
-- @param ... its arguments
function M.raise(format, ...)
  local message = format
  if select("#", ...) > 0 then
    message = string.format(format, ...)
  end
  error(M.new(message), 0)
end

--- Is this value an error object of this module?
-- @param value what pcall gave back
-- @treturn boolean
function M.is(value)
  return getmetatable(value) == Error
end

--- Edit distance of two strings in bytes, where exchanging two neighbours counts as one edit
-- (optimal string alignment).
local function distance(a, b)
  local before, last, row = {}, {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      row[j] = best
    end
    before, last, row = last, row, before
  end
  return last[#b]
end

--- The valid name that a mistyped one most resembles; case, dashes and underscores do not count.
-- @tparam string name what was typed
-- @tparam table list the valid names
-- @treturn ?string the nearest (the first of equals), or nil when none is near: more than a third
--   of the name, and more than two letters, would have to change
function M.nearest(name, list)
  local function plain(s)
    return (s:lower():gsub("[-_ ]", ""))
  end
  local wanted = plain(tostring(name))
  local best, best_distance
  for _, candidate in ipairs(list) do
    local d = distance(wanted, plain(candidate))
    if not best_distance or d < best_distance then
      best, best_distance = candidate, d
    end
  end
  if best_distance and best_distance <= math.max(2, math.floor(#wanted / 3))
      and best_distance < #wanted then
    return best
  end
  return nil
end

--- The end of a sentence about a name that is unknown: "; did you mean X?".
-- @tparam string name what was typed
-- @tparam table list the valid names
-- @treturn string empty when no valid name is near
function M.suggestion(name, list)
  local nearest = M.nearest(name, list)
  return nearest and ("; did you mean " .. nearest .. "?") or ""
end

--- "WHAT NAME is unknown; did you mean X? (all, valid, names)".
-- @tparam string what what kind of name it is, as the user wrote it ("--sam-type")
-- @tparam string name what was typed
-- @tparam table list the valid names
-- @treturn string
function M.unknown_text(what, name, list)
  return ("%s %s is unknown%s (%s)"):format(what, tostring(name), M.suggestion(name, list),
    table.concat(list, ", "))
end

--- Raises what `unknown_text` returns for the same arguments.
function M.unknown(what, name, list)
  M.raise("%s", M.unknown_text(what, name, list))
end

return M
