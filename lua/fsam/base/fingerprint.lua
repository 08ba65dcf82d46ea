--- FNV-1a: a number of 32 bits that stands for a list of others; equal for equal lists, and almost
-- surely another for another. It shows that something differs, and proves nothing against intent.
local bit = require("bit")
local bxor, tobit = bit.bxor, bit.tobit

local M = {}

--- Of an empty list.
M.EMPTY = tobit(0x811c9dc5)

--- Of a list and one more number.
-- @tparam number hash of the list
-- @tparam number value a whole number
-- @treturn number
function M.add(hash, value)
  -- hash · 16777619 mod 2^32; the factor is 2^24 + 403, so no product exceeds 2^53.
  local x = bxor(hash, value) % 2 ^ 32
  return tobit((x * 403 + (x % 256) * 2 ^ 24) % 2 ^ 32)
end

--- Of a list and the bytes of a text.
function M.add_text(hash, text)
  local add, byte = M.add, string.byte
  for i = 1, #text do
    hash = add(hash, byte(text, i))
  end
  return add(hash, #text)
end

--- As people compare it: eight hexadecimal digits.
M.show = bit.tohex

return M
