--- SentencePiece's compiled rules of normalisation ("precompiled_charsmap"): which characters
-- become which.
--
-- Owns: reading the rules from bytes of unknown origin, and applying them in the way of
-- Hugging Face's normalizer Precompiled. The rules are a double array (Aoe 1989, as Darts-clone
-- lays it out): a trie whose units hold a label, an offset to the children, and for a complete key
-- the place of its replacement. Leaves to others: graphemes (graphemes.lua), SentencePiece's own
-- way (sentencepiece_normalizer.lua).
local errors = require("fsam.errors")
local ffi = require("ffi")
local graphemes = require("fsam.text.graphemes")
local utf8 = require("fsam.base.utf8")

local M = {}

local LONGEST = 1024 -- bytes of a replacement; compatibility forms need 33

local Charsmap = {}
Charsmap.__index = Charsmap

local band, bxor, lshift, rshift = bit.band, bit.bxor, bit.lshift, bit.rshift

local function offset_of(unit)
  return lshift(rshift(unit, 10), rshift(band(unit, 0x200), 6))
end

--- The node that a byte leads to, or nil. A node is the place from which its children are counted.
-- @treturn ?int the node
-- @treturn ?boolean is a key complete here?
local function child(self, node, byte)
  local at = bxor(node, byte)
  if at < 0 or at >= self.count then
    return nil
  end
  local unit = self.units[at]
  if band(unit, 0x800000FF) ~= byte then -- a value, which has the top bit, is no child
    return nil
  end
  return bxor(at, offset_of(unit)), band(unit, 0x100) ~= 0
end

--- Where the replacement of a complete key stands, or nil where that is nowhere.
local function value_at(self, node)
  local value = node >= 0 and node < self.count and band(self.units[node], 0x7FFFFFFF)
  return value and value < self.size and value or nil
end

--- The rule whose key begins a text.
-- @tparam cdata p const uint8_t, the text
-- @tparam int first the place where the key begins
-- @tparam int last the place after the last byte that may be of it
-- @tparam boolean longest the longest key? else the shortest
-- @treturn int bytes of the key; 0 where there is none
-- @treturn ?int the rule's value, for `replacement`
function Charsmap:find(p, first, last, longest)
  local node, length, value = self.root, 0, nil
  for i = first, last - 1 do
    if p[i] == 0 then
      break
    end
    local after, complete = child(self, node, p[i])
    if not after then
      break
    end
    node = after
    local found = complete and value_at(self, node)
    if found then
      length, value = i + 1 - first, found
      if not longest then
        break
      end
    end
  end
  return length, value
end

--- The text that a rule puts in place of its key.
-- @tparam int value of `find`
-- @treturn string
function Charsmap:replacement(value)
  local known = self.known[value]
  if not known then
    known = ffi.string(self.strings + value)
    self.known[value] = known
  end
  return known
end

-- The bytes at which a rule may begin: those past ASCII, and ASCII characters that begin a rule of
-- ASCII alone. Most text has none.
local function odd_bytes(self)
  local odd = ffi.new("bool[256]")
  for byte = 0, 255 do
    local node, complete = nil, byte > 127
    if byte > 0 and not complete then
      node, complete = child(self, self.root, byte)
    end
    for second = 1, node and 127 or 0 do
      complete = complete or child(self, node, second) ~= nil
    end
    odd[byte] = complete or false
  end
  return odd
end

--- Does no rule change this text, by a look at its bytes alone?
-- @tparam string text
-- @treturn boolean
function Charsmap:is_plain(text)
  local p, odd = ffi.cast("const uint8_t *", text), self.odd
  for i = 0, #text - 1 do
    if odd[p[i]] then
      return false
    end
  end
  return true
end

local function longest_replacement(strings, size)
  local longest, start = 0, 0
  for i = 0, size - 1 do
    if strings[i] == 0 then
      longest = math.max(longest, i - start)
      start = i + 1
    end
  end
  return math.max(longest, size - start)
end

--- Rules from their bytes.
-- @tparam string blob
-- @tparam string where for messages
-- @treturn table with the methods below
-- @raise one line, when these bytes are not such rules
function M.new(blob, where)
  local function fail(reason)
    errors.raise("%s: its precompiled_charsmap is damaged: %s", where, reason)
  end
  local a, b, c, d = blob:byte(1, 4)
  local units = d and (a + 256 * (b + 256 * (c + 256 * d))) or fail("it has no size")
  if units == 0 or units % 4 ~= 0 or units > #blob - 4 then
    fail(("it has %d bytes of units after its size, expected %d, a multiple of 4 that is not 0")
      :format(#blob - 4, units))
  elseif utf8.fault(blob:sub(5 + units)) then
    fail("its replacements are not UTF-8")
  end
  local self = setmetatable({ count = units / 4, size = #blob - 4 - units, known = {} }, Charsmap)
  self.units = ffi.new("uint32_t[?]", self.count)
  ffi.copy(self.units, blob:sub(5, 4 + units), units)
  self.strings = ffi.new("uint8_t[?]", self.size + 1) -- and a zero byte
  ffi.copy(self.strings, blob:sub(5 + units), self.size)
  if longest_replacement(self.strings, self.size) > LONGEST then
    fail(("a replacement has more than %d bytes"):format(LONGEST))
  end
  self.root = offset_of(self.units[0])
  self.odd = odd_bytes(self)
  return self
end

local capacity = 16384
local buffer = ffi.new("uint8_t[?]", capacity)

-- Makes room for a piece after what is written.
local function reserve(at, bytes)
  if at + bytes > capacity then
    local larger = ffi.new("uint8_t[?]", 2 * (at + bytes))
    ffi.copy(larger, buffer, at)
    buffer, capacity = larger, 2 * (at + bytes)
  end
end

--- Writes one piece of a text, replaced by the rule of its shortest key where there is one. Returns
-- the next free place, and whether there was such a rule.
local function put(self, at, p, first, last)
  local length, value = self:find(p, first, last, false)
  reserve(at, LONGEST)
  if length == 0 then
    return at, false
  end
  local text = self:replacement(value)
  ffi.copy(buffer + at, text, #text)
  return at + #text, true
end

local function width(code)
  return code < 0x80 and 1 or code < 0x800 and 2 or code < 0x10000 and 3 or 4
end

--- Text with the rules applied as Hugging Face applies them: to a grapheme of less than 6 bytes as
-- one, all of which the shortest key at its beginning replaces, else to each of its characters.
-- @tparam string text valid UTF-8
-- @treturn string
function Charsmap:normalize(text)
  if self:is_plain(text) then
    return text
  end
  local codes, n = utf8.decode(text)
  local p, at, first, i = ffi.cast("const uint8_t *", text), 0, 0, 0
  while i < n do
    local after, last = graphemes.after(codes, n, i), first
    for k = i, after - 1 do
      last = last + width(codes[k])
    end
    local done = false
    if last - first < 6 then
      at, done = put(self, at, p, first, last)
    end
    for k = done and after or i, after - 1 do
      local bytes = width(codes[k])
      at, done = put(self, at, p, first, first + bytes)
      if not done then
        ffi.copy(buffer + at, p + first, bytes)
        at = at + bytes
      end
      first = first + bytes
    end
    first, i = last, after
  end
  return ffi.string(buffer, at)
end

return M
