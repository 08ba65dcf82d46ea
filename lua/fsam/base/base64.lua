--- Base64 (RFC 4648): text to bytes. Owns: the alphabet and the rules of padding.
local ffi = require("ffi")

local M = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local VALUE = ffi.new("uint8_t[256]")
for i = 1, #ALPHABET do
  VALUE[ALPHABET:byte(i)] = i - 1
end

--- The bytes that a text stands for.
-- @param text
-- @treturn ?string nil when it is no string in base64, padded with "=" to a multiple of 4
function M.decode(text)
  if type(text) ~= "string" or #text % 4 ~= 0 or not text:find("^[%w+/]*=?=?$") then
    return nil
  end
  local p, out, at = ffi.cast("const uint8_t *", text), ffi.new("uint8_t[?]", #text / 4 * 3 + 1), 0
  for i = 0, #text - 1, 4 do
    local bits = VALUE[p[i]] * 262144 + VALUE[p[i + 1]] * 4096 + VALUE[p[i + 2]] * 64
      + VALUE[p[i + 3]]
    out[at] = bit.rshift(bits, 16)
    out[at + 1] = bit.band(bit.rshift(bits, 8), 255)
    out[at + 2] = bit.band(bits, 255)
    at = at + 3
  end
  return ffi.string(out, at - #text:match("=*$"))
end

return M
