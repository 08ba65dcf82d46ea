--- Reading JSON (RFC 8259) strictly, from files that are not trusted.
--
-- Owns: `decode`, and the two marks that its values carry (null, array); json.lua hands them on. It
-- walks the bytes once: a tokenizer.json of several megabytes takes tens of milliseconds. It bounds
-- the nesting and the memory, and its errors name line and column. Numbers are doubles, so integers
-- beyond 2^53 lose digits. Leaves to others: writing (json.lua), opening files (file.lua).
local ffi = require("ffi")
local errors = require("fsam.errors")
local utf8 = require("fsam.base.utf8")

local M = {}

local MAX_DEPTH = 200
local LONGEST_NUMBER = 1000 -- bytes of its text

-- A few bytes of text may become a hundred of memory. What a text may use is counted in units of
-- about 16 bytes; the largest tokenizer.json that we know of takes half of them.
local ALL = 24 * 2 ^ 20
local VALUE, TABLE, MEMBER, STRING, ESCAPE = 1, 6, 5, 2, 4
local left = 0

--- Stands for `null` where nil cannot: inside arrays, and in objects when the caller keeps nulls.
M.null = setmetatable({}, { __tostring = function() return "null" end })

local Array = { __name = "json.array" }

--- Marks a table as an array, so that `encode` writes it with brackets even when it is empty.
-- Decoded arrays have the mark already.
-- @tparam[opt] table t a new table when it is left out
-- @treturn table t
function M.array(t)
  return setmetatable(t or {}, Array)
end

--- Does this table have the mark of an array?
-- @treturn boolean
function M.is_array(t)
  return getmetatable(t) == Array
end

local ESCAPES = {
  [34] = '"', [92] = "\\", [47] = "/",
  [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r", [116] = "\t",
}

local function fail(state, at, format, ...)
  local text = state.text
  local before = text:sub(1, at)
  local _, lines = before:gsub("\n", "")
  local column = at - #(before:match("^.*\n") or "") + 1
  errors.raise("%s", ("%s: line %d, column %d: %s"):format(
    state.name, lines + 1, column, format:format(...)))
end

local function spend(state, at, units)
  left = left - units
  if left < 0 then
    fail(state, at, "it holds too many values: they would take more than %d MB of memory",
      ALL * 16 / 2 ^ 20)
  end
end

local function describe(state, at)
  if at >= state.n then
    return "the end of the text"
  end
  local byte = state.p[at]
  if byte >= 33 and byte < 127 then
    return "'" .. string.char(byte) .. "'"
  end
  return ("byte 0x%02X"):format(byte)
end

local function skip_space(p, i)
  while true do
    local b = p[i]
    if b ~= 32 and b ~= 10 and b ~= 13 and b ~= 9 then
      return i
    end
    i = i + 1
  end
end

local function hex4(state, at)
  local digits = state.text:match("^%x%x%x%x", at + 1)
  if not digits then
    fail(state, at, "\\u needs four hexadecimal digits")
  end
  return tonumber(digits, 16)
end

--- Reads the escape whose backslash is at `i`; returns its text and the position after it.
local function read_escape(state, i)
  local kind = state.p[i + 1]
  if kind ~= 117 then
    local plain = ESCAPES[kind]
    if not plain then
      fail(state, i, "unknown escape: a backslash before %s", describe(state, i + 1))
    end
    return plain, i + 2
  end
  local code = hex4(state, i + 2)
  if code < 0xD800 or code > 0xDFFF then
    return utf8.char(code), i + 6
  end
  local low = state.text:find("^\\u[dD][c-fC-F]%x%x", i + 7) and hex4(state, i + 8)
  if code >= 0xDC00 or not low then
    fail(state, i, "half of a surrogate pair")
  end
  return utf8.char(0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)), i + 12
end

--- Reads the string whose opening quote is at `i`; returns it and the position after it.
local function read_string(state, i)
  local p, start, parts = state.p, i + 1, nil
  i = start
  while true do
    local b = p[i]
    if b == 34 then
      local tail = ffi.string(p + start, i - start)
      spend(state, i, STRING + (i - start) / 16)
      if parts then
        parts[#parts + 1] = tail
        tail = table.concat(parts)
      end
      return tail, i + 1
    elseif b == 92 then
      parts = parts or {}
      spend(state, i, ESCAPE + (i - start) / 8)
      parts[#parts + 1] = ffi.string(p + start, i - start)
      parts[#parts + 1], i = read_escape(state, i)
      start = i
    elseif b < 32 then
      if i >= state.n then
        fail(state, i, "the text ends inside a string")
      end
      fail(state, i, "a control character inside a string; write it as an escape")
    else
      i = i + 1
    end
  end
end

--- Reads a number. Most are short plain integers, which need no string of their own.
local function read_number(state, i)
  local p, at, value = state.p, i, 0
  while p[at] >= 48 and p[at] <= 57 and at - i < 15 do
    value = value * 10 + (p[at] - 48)
    at = at + 1
  end
  local b = p[at]
  if at > i and (b == 44 or b == 93 or b == 125 or b <= 32) and (p[i] ~= 48 or at == i + 1) then
    return value, at
  end
  local word = state.text:sub(i + 1, i + LONGEST_NUMBER + 1):match("^[-+.%deE]+") or ""
  if #word > LONGEST_NUMBER then
    fail(state, i, "a number of more than %d characters", LONGEST_NUMBER)
  end
  local integer, rest = word:match("^%-?(%d+)(.*)$")
  local fraction = rest and (rest:match("^%.%d+(.*)$") or rest)
  if not integer or (#integer > 1 and integer:byte() == 48)
      or not (fraction == "" or fraction:find("^[eE][-+]?%d+$")) then
    if state.python and state.text:find("^%-Infinity", i + 1) then
      return -math.huge, i + 9
    elseif word == "" then
      fail(state, i, "expected a value, got %s", describe(state, i))
    end
    fail(state, i, "%s is not a number", word)
  end
  return tonumber(word), i + #word
end

-- Python writes these into JSON, and reads them back.
local PYTHON = { [78] = { "NaN", 0 / 0 }, [73] = { "Infinity", math.huge } }

local LITERALS = {
  [116] = { "true", true }, [102] = { "false", false }, [110] = { "null", M.null },
}

local read_value

local function read_array(state, i, depth)
  local p, list, n = state.p, M.array(), 0
  i = skip_space(p, i + 1)
  if p[i] == 93 then
    return list, i + 1
  end
  while true do
    n = n + 1
    list[n], i = read_value(state, i, depth)
    i = skip_space(p, i)
    local b = p[i]
    if b == 93 then
      return list, i + 1
    elseif b ~= 44 then
      fail(state, i, "expected ',' or ']' in an array, got %s", describe(state, i))
    end
    i = skip_space(p, i + 1)
  end
end

local function read_object(state, i, depth)
  local p, object = state.p, {}
  local null = not state.keep_null and M.null or nil
  i = skip_space(p, i + 1)
  if p[i] == 125 then
    return object, i + 1
  end
  while true do
    local key, value
    spend(state, i, MEMBER)
    if p[i] ~= 34 then
      fail(state, i, "expected a key in quotes, got %s", describe(state, i))
    end
    key, i = read_string(state, i)
    i = skip_space(p, i)
    if p[i] ~= 58 then
      fail(state, i, "expected ':' after a key, got %s", describe(state, i))
    end
    value, i = read_value(state, skip_space(p, i + 1), depth)
    if value == null then
      value = nil
    end
    object[key] = value
    i = skip_space(p, i)
    local b = p[i]
    if b == 125 then
      return object, i + 1
    elseif b ~= 44 then
      fail(state, i, "expected ',' or '}' in an object, got %s", describe(state, i))
    end
    i = skip_space(p, i + 1)
  end
end

function read_value(state, i, depth)
  local b = state.p[i]
  spend(state, i, VALUE)
  if b == 34 then
    return read_string(state, i)
  elseif b == 123 or b == 91 then
    spend(state, i, TABLE)
    if depth >= MAX_DEPTH then
      fail(state, i, "nested deeper than %d levels", MAX_DEPTH)
    end
    return (b == 123 and read_object or read_array)(state, i, depth + 1)
  end
  local literal = LITERALS[b] or state.python and PYTHON[b]
  if literal then
    local word = literal[1]
    if state.text:sub(i + 1, i + #word) ~= word then
      fail(state, i, "expected a value, got %s", describe(state, i))
    end
    return literal[2], i + #word
  end
  return read_number(state, i)
end

--- Reads one JSON text.
--
-- A member that is `null` is left out of its object (so `config.x or default` works), unless
-- `keep_null`; in an array, and as the whole text, `null` is `json.null`. Of members with the same
-- name the last counts. Strings are not checked for well-formed UTF-8.
-- @tparam string text
-- @tparam[opt="json"] string name of the text in messages, such as its path
-- @tparam[opt=false] boolean keep_null keep members that are null, as `json.null`
-- @tparam[opt=false] boolean python take NaN, Infinity and -Infinity for numbers, as Python does
-- @return the value
-- @raise one line with name, line and column, also where the values would take more than about
--   400 MB of memory
function M.decode(text, name, keep_null, python)
  -- A Lua string ends in a NUL byte of its own, so p[n] may be read and stops every loop.
  local state = { text = text, p = ffi.cast("const uint8_t *", text), n = #text,
    name = name or "json", keep_null = keep_null, python = python }
  left = ALL
  local start = text:sub(1, 3) == "\239\187\191" and 3 or 0 -- a byte order mark
  local value, i = read_value(state, skip_space(state.p, start), 0)
  i = skip_space(state.p, i)
  if i < #text then
    fail(state, i, "expected the end of the text, got %s", describe(state, i))
  end
  return value
end

return M
