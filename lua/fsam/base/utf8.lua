--- UTF-8: bytes to code points and back.
--
-- Owns: decoding with replacement, as Python's errors="replace" and Rust's from_utf8_lossy do it.
-- Each longest prefix of a well-formed sequence that cannot be continued becomes one U+FFFD, and so
-- does each byte that can start no sequence. Leaves to others: what a code point means
-- (text/unicode.lua).
local ffi = require("ffi")

local M = {}

local REPLACEMENT = 0xFFFD

-- Length of the sequence that a lead byte starts; 0 for bytes that start none.
local LENGTH = ffi.new("uint8_t[256]")
-- Bounds of the second byte; they exclude overlong forms, surrogates and what lies past U+10FFFF.
local SECOND_MIN = ffi.new("uint8_t[256]")
local SECOND_MAX = ffi.new("uint8_t[256]")
for byte = 0, 255 do
  LENGTH[byte] = byte < 0x80 and 1 or byte < 0xC2 and 0 or byte < 0xE0 and 2
    or byte < 0xF0 and 3 or byte < 0xF5 and 4 or 0
  SECOND_MIN[byte] = byte == 0xE0 and 0xA0 or byte == 0xF0 and 0x90 or 0x80
  SECOND_MAX[byte] = byte == 0xED and 0x9F or byte == 0xF4 and 0x8F or 0xBF
end

local LEAD_BITS = ffi.new("uint8_t[5]", { 0, 0x7F, 0x1F, 0x0F, 0x07 })

--- Decodes the sequence that starts at byte i of p[0 … n-1].
-- @treturn int code point, or -1 when it is ill-formed
-- @treturn int number of bytes it covers
local function next_codepoint(p, n, i)
  local lead = p[i]
  local length = LENGTH[lead]
  if length <= 1 then
    if length == 1 then
      return lead, 1
    end
    return -1, 1
  end
  local code = bit.band(lead, LEAD_BITS[length])
  for k = 1, length - 1 do
    local byte = i + k < n and p[i + k] or 0
    local low, high = 0x80, 0xBF
    if k == 1 then
      low, high = SECOND_MIN[lead], SECOND_MAX[lead]
    end
    if byte < low or byte > high then
      return -1, k
    end
    code = bit.bor(bit.lshift(code, 6), bit.band(byte, 0x3F))
  end
  return code, length
end

local capacity = 4096
local buffer = ffi.new("int32_t[?]", capacity)

--- The code points of a string.
-- @tparam string s any bytes
-- @treturn cdata int32_t array, from 0; the next call overwrites it
-- @treturn int how many code points it holds
function M.decode(s)
  local n = #s
  if n > capacity then
    capacity = 2 * n
    buffer = ffi.new("int32_t[?]", capacity)
  end
  local out, p = buffer, ffi.cast("const uint8_t *", s)
  local i, count = 0, 0
  while i < n do
    local code, length = next_codepoint(p, n, i)
    if code < 0 then
      code = REPLACEMENT
    end
    out[count] = code
    count = count + 1
    i = i + length
  end
  return out, count
end

--- Writes a code point's UTF-8 form, 1 to 4 bytes, to p[at …].
-- @tparam cdata p uint8_t memory with room for them
-- @tparam int at
-- @tparam int code 0 … 0x10FFFF
-- @treturn int the next free position
function M.put(p, at, code)
  if code < 0x80 then
    p[at] = code
    return at + 1
  elseif code < 0x800 then
    p[at] = 0xC0 + bit.rshift(code, 6)
    p[at + 1] = 0x80 + bit.band(code, 0x3F)
    return at + 2
  elseif code < 0x10000 then
    p[at] = 0xE0 + bit.rshift(code, 12)
    p[at + 1] = 0x80 + bit.band(bit.rshift(code, 6), 0x3F)
    p[at + 2] = 0x80 + bit.band(code, 0x3F)
    return at + 3
  end
  p[at] = 0xF0 + bit.rshift(code, 18)
  p[at + 1] = 0x80 + bit.band(bit.rshift(code, 12), 0x3F)
  p[at + 2] = 0x80 + bit.band(bit.rshift(code, 6), 0x3F)
  p[at + 3] = 0x80 + bit.band(code, 0x3F)
  return at + 4
end

local one = ffi.new("uint8_t[4]")

--- The UTF-8 form of one code point, as a string.
-- @tparam int code 0 … 0x10FFFF
-- @treturn string
function M.char(code)
  return ffi.string(one, M.put(one, 0, code))
end

--- Where a string stops being well-formed UTF-8.
-- @tparam string s any bytes
-- @treturn ?integer the place of the first ill-formed byte, from 1; nil where all is well
function M.fault(s)
  local i = s:find("[\128-\255]")
  if not i then
    return nil
  end
  local p, n = ffi.cast("const uint8_t *", s), #s
  i = i - 1
  while i < n do
    local code, length = next_codepoint(p, n, i)
    if code < 0 then
      return i + 1
    end
    i = i + length
  end
end

--- The string itself when it is well-formed UTF-8, else a copy with U+FFFD for each ill-formed
-- part.
-- @tparam string s any bytes
-- @treturn string well-formed UTF-8
function M.clean(s)
  if not M.fault(s) then
    return s
  end
  local codes, count = M.decode(s)
  local out, at = ffi.new("uint8_t[?]", 4 * count), 0
  for k = 0, count - 1 do
    at = M.put(out, at, codes[k])
  end
  return ffi.string(out, at)
end

return M
