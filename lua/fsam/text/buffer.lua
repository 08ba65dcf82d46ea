--- Memory for a text under way, which is used again from text to text. Owns: its growth.
local ffi = require("fsam.C").ffi

--- A buffer of bytes.
-- @treturn function reserve(bytes) → uint8_t[] with room for so many; what it held is gone, and
--   the next call may give other memory
return function()
  local capacity = 16384
  local buffer = ffi.new("uint8_t[?]", capacity)
  return function(bytes)
    if bytes > capacity then
      capacity = 2 * bytes
      buffer = ffi.new("uint8_t[?]", capacity)
    end
    return buffer
  end
end
