--- Small SentencePiece models made in memory: what the specs and fuzz targets damage.

local ffi = require("ffi")

local M = {}

local function varint(value)
  local bytes = {}
  while value >= 128 do
    bytes[#bytes + 1] = string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  return table.concat(bytes) .. string.char(value)
end

--- A field that is an integer, or bytes after their length.
function M.field(number, value)
  if type(value) == "number" then
    return varint(number * 8) .. varint(value)
  end
  return varint(number * 8 + 2) .. varint(#value) .. value
end

--- A field that is a float.
function M.float(number, value)
  return varint(number * 8 + 5) .. ffi.string(ffi.new("float[1]", value), 4)
end

--- A piece of a model; `kind` is its number in the file.
function M.piece(text, score, kind)
  return M.field(1, M.field(1, text) .. M.float(2, score or 0)
    .. (kind and M.field(3, kind) or ""))
end

--- Units of a double array, as numbers, and replacements: a charsmap.
function M.charsmap(units, strings)
  local words = ffi.new("uint32_t[?]", #units + 1, #units * 4)
  for i, unit in ipairs(units) do
    words[i] = unit
  end
  return ffi.string(words, 4 * #units + 4) .. strings
end

--- The rules of one key, a byte, and its replacement: the root's unit leads by 256 to the byte's,
-- that by 512 to the value.
function M.one_rule(byte, replacement)
  local units = {}
  for i = 1, 1024 do
    units[i] = 0
  end
  units[1] = 256 * 1024
  units[1 + 256 + byte] = 512 * 1024 + 256 + byte
  units[1 + bit.bxor(256 + byte, 512)] = 2 ^ 31
  return M.charsmap(units, replacement .. "\0")
end

local SPACE = "\226\150\129"

--- ALBERT's special pieces and a few more.
M.PIECES = M.piece("<pad>", 0, 3) .. M.piece("<unk>", 0, 2) .. M.piece("[CLS]", 0, 3)
  .. M.piece("[SEP]", 0, 3) .. M.piece("[MASK]", 0, 3) .. M.piece("(", 0, 4)
  .. M.piece(SPACE, -2) .. M.piece("a", -3) .. M.piece("b", -4) .. M.piece(SPACE .. "ab", -4.5)
  .. M.piece("1", -5) .. M.piece("1,", -6) .. M.piece(",", -6.5)

--- A model with them.
function M.model()
  return M.PIECES .. M.field(2, M.field(3, 1)) .. M.field(3, M.field(2, M.one_rule(99, "ab")))
end

return M
