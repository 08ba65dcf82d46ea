--- Numbers and texts as PyTorch's files write them. Owns: these forms. Leaves to others: where they
-- stand (pickle.lua, legacy.lua, zip.lua).
local bit = require("bit")
local C = require("fsam.C")
local utf8 = require("fsam.base.utf8")
local ffi = C.ffi

local M = {}

--- An unsigned integer, the lowest byte first; exact to 2^53.
-- @tparam cdata data const uint8_t *
-- @tparam number at its first byte; the caller has checked that all are there
-- @tparam number width bytes, at most 8
-- @treturn number
function M.unsigned(data, at, width)
  local value = 0
  for i = width - 1, 0, -1 do
    value = value * 256 + data[at + i]
  end
  return value
end

--- A double from its eight bytes, the lowest first. Every NaN becomes the same one: LuaJIT takes
-- some for values of its own.
-- @tparam string text
function M.double(text)
  local value = ffi.new("double[1]")
  ffi.copy(value, text, 8)
  local high = bit.band(text:byte(8), 0x7f) * 256 + text:byte(7)
  return high >= 0x7ff0 and not text:find("^%z%z%z%z%z%z[\240]") and 0 / 0 or value[0]
end

--- A whole number in two's complement, the lowest byte first.
-- @tparam string text
-- @treturn number|table a number to 2^53, beyond it an integer of objects.lua
function M.integer(text)
  local value, negative = 0, #text > 0 and text:byte(-1) >= 128
  for i = #text, 1, -1 do
    value = value * 256 + (negative and 255 - text:byte(i) or text:byte(i))
  end
  value = negative and -1 - value or value
  if value >= -2 ^ 53 and value <= 2 ^ 53 then
    return value
  end
  return { is = "integer", bytes = text }
end

local ESCAPES = { n = "\n", t = "\t", r = "\r", a = "\a", b = "\b", f = "\f", v = "\v" }

--- A text that Python's repr has written, in its quotes.
-- @tparam string line
-- @treturn ?string nil when it has no quotes
function M.quoted(line)
  local text = line:match("^%s*([\"'].*)%s*$")
  if not text or #text < 2 or text:sub(1, 1) ~= text:sub(-1) then
    return nil
  end
  return (text:sub(2, -2):gsub("\\(x?)(.)(%x?)", function(x, first, second)
    if x == "x" and first:find("%x") and second ~= "" then
      return string.char(tonumber(first .. second, 16))
    end
    return (x == "x" and "\\x" or "") .. (ESCAPES[first] or first) .. second
  end))
end

--- A text in Latin-1 with \u and \U for all else, as UTF-8.
-- @tparam string line
-- @treturn string
function M.raw_unicode(line)
  local text = line:gsub("[\128-\255]", function(c)
    return utf8.char(c:byte())
  end)
  local function code(digits)
    local value = tonumber(digits, 16)
    return value <= 0x10ffff and utf8.char(value) or "?"
  end
  return (text:gsub("\\U(%x%x%x%x%x%x%x%x)", code):gsub("\\u(%x%x%x%x)", code))
end

return M
