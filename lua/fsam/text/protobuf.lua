--- Protocol Buffers' wire format: the fields of a message.
--
-- Owns: the bounds. No length is believed before it is seen to fit. Leaves to others: what the
-- fields mean (sentencepiece.lua).
local errors = require("fsam.errors")
local ffi = require("ffi")

local M = {}

-- The names of wire types, for messages. Groups (3 and 4) are long out of use.
local TYPES = { [0] = "an integer", "8 bytes", "a length and bytes", nil, nil, "4 bytes" }

local function fail(self, at, reason)
  errors.raise("%s: %s at byte %d", self.where, reason, at)
end

--- An integer of 7 bits a byte, low ones first. Of those past 2^53, none of which means anything
-- here, the low digits are lost.
local function varint(self, at, last)
  local value, scale = 0, 1
  for i = at, at + 9 do
    if i >= last then
      fail(self, at, "an integer is cut off")
    end
    local byte = self.p[i]
    value = value + byte % 128 * scale
    if byte < 128 then
      return value, i + 1
    end
    scale = scale * 128
  end
  fail(self, at, "an integer has more than 10 bytes")
end

local float = ffi.new("union { uint8_t bytes[4]; uint32_t bits; float value; }")

-- LuaJIT takes some NaNs for values of other types, so none leaves as it came.
local function float_value()
  return bit.band(float.bits, 0x7F800000) == 0x7F800000 and bit.band(float.bits, 0x7FFFFF) ~= 0
    and 0 / 0 or tonumber(float.value)
end

--- The value of a field of a wire type, and the place after it.
local function value_of(self, kind, at, last)
  if kind == 0 then
    return varint(self, at, last)
  end
  local size = kind == 1 and 8 or 4
  if kind == 2 then
    size, at = varint(self, at, last)
  end
  if size > last - at then
    fail(self, at, ("a field of %.0f bytes is cut off after %d"):format(size, last - at))
  elseif kind == 2 then
    return at, at + size
  elseif kind == 5 then
    ffi.copy(float.bytes, self.p + at, 4)
  end
  return kind == 5 and float_value() or nil, at + size
end

--- Calls visit for each field of a message whose number is expected.
-- @tparam table message of `open`, or of a field
-- @tparam {[int]=string,…} expected number → "integer", "float" or "bytes"; other fields are passed
--   over
-- @tparam function visit (number, value): a number, or for bytes a message, which `text` turns into
--   a string
-- @raise one line, for bytes that are no message and a field of another type
function M.fields(message, expected, visit)
  local at, last = message.first, message.last
  while at < last do
    local start = at
    local tag, after = varint(message, at, last)
    local kind, number = tag % 8, math.floor(tag / 8)
    if not TYPES[kind] or number == 0 then
      fail(message, start, ("a field has the number %.0f and the type %d"):format(number, kind))
    end
    local want = expected[number]
    local wanted = want == "integer" and 0 or want == "float" and 5 or want and 2 or kind
    if kind ~= wanted then
      fail(message, start, ("field %d is %s, expected %s"):format(number, TYPES[kind],
        TYPES[wanted]))
    end
    local value
    value, at = value_of(message, kind, after, last)
    if want == "bytes" then
      value = { p = message.p, where = message.where, owner = message.owner, first = value,
        last = at }
    end
    if want then
      visit(number, value)
    end
  end
end

--- The bytes of a message, as a string.
-- @tparam table message
-- @treturn string
function M.text(message)
  return ffi.string(message.p + message.first, message.last - message.first)
end

--- A message.
-- @tparam string bytes
-- @tparam string where for messages of errors
-- @treturn table
function M.open(bytes, where)
  return { p = ffi.cast("const uint8_t *", bytes), owner = bytes, where = where, first = 0,
    last = #bytes }
end

return M
