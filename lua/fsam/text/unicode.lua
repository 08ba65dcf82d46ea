--- What a code point means to a tokenizer: classes, lower case, canonical decomposition.
--
-- Owns: the lookups. Leaves to others: the lists behind them (unicode_tables.lua), the general
-- algorithms (utf8proc, in C), and which classes a tokenizer drops or sets apart (bert.lua).
local C = require("fsam.C")
local tables = require("fsam.text.unicode_tables")
local utf8 = require("fsam.base.utf8")

local ffi = C.ffi

local M = {}

--- The bits of `classes()`, named after the lists of unicode_tables.lua.
M.BITS = { SPACE = C.lib.FSAM_CLASS_SPACE, DROPPED = C.lib.FSAM_CLASS_DROPPED,
  CHINESE = C.lib.FSAM_CLASS_CHINESE, MARK = C.lib.FSAM_CLASS_MARK,
  PUNCTUATION = C.lib.FSAM_CLASS_PUNCTUATION, INERT = C.lib.FSAM_CLASS_INERT,
  WORD = 64, COMBINING = 128 }

--- Calls f(first, last) for each range of a list.
local function each_range(list, f)
  for first, last in list:gmatch("(%x+)%-?(%x*)") do
    local a = tonumber(first, 16)
    f(a, last == "" and a or tonumber(last, 16))
  end
end

local classes

--- The classes of all code points, as bits. Built at the first call (about 2 ms, 1 MB), since not
-- every tokenizer needs it. The memory stays for good.
-- @treturn cdata uint8_t[0x110000]
function M.classes()
  if classes then
    return classes
  end
  local table_of_bits = ffi.new("uint8_t[?]", 0x110000)
  for name, value in pairs(M.BITS) do
    each_range(tables[name], function(first, last)
      for code = first, last do
        table_of_bits[code] = table_of_bits[code] + value
      end
    end)
  end
  classes = table_of_bits
  return classes
end

local newer_lower, newer_pairs = {}, {}
each_range(tables.LOWER, function(code, lower)
  newer_lower[code] = lower
  newer_pairs[#newer_pairs + 1], newer_pairs[#newer_pairs + 2] = code, lower
end)
local newer_array = ffi.new("int32_t[?]", #newer_pairs, newer_pairs)

--- The lower case of code points that the C side does not know.
-- @treturn cdata int32_t[2n], pairs of a code point and its lower case, ascending; the memory stays
--   for good
-- @treturn int n
function M.newer_lower()
  return newer_array, #newer_pairs / 2
end

--- Lower case of one code point. U+0130, whose full mapping is two code points, gives the first.
-- @tparam int code
-- @treturn int
function M.lower(code)
  return newer_lower[code] or C.lib.fsam_unicode_lower(code)
end

--- The full lower case of one code point.
-- @tparam int code
-- @treturn int
-- @treturn ?int the second code point, of the one that has two
function M.lower_codes(code)
  return M.lower(code), code == 0x130 and 0x307 or nil
end

local function width(code)
  return code < 0x80 and 1 or code < 0x800 and 2 or code < 0x10000 and 3 or 4
end

--- A text without space at its ends.
-- @tparam string text valid UTF-8
-- @tparam boolean left drop it at the beginning?
-- @tparam boolean right drop it at the end?
-- @treturn string
function M.trim(text, left, right)
  local codes, n = utf8.decode(text)
  local bits, first, last = M.classes(), 0, n - 1
  local from, to = 1, #text
  while left and first <= last and bit.band(bits[codes[first]], M.BITS.SPACE) ~= 0 do
    from = from + width(codes[first])
    first = first + 1
  end
  while right and last >= first and bit.band(bits[codes[last]], M.BITS.SPACE) ~= 0 do
    to = to - width(codes[last])
    last = last - 1
  end
  return text:sub(from, to)
end

--- A list of unicode_tables.lua as the inside of a bracket expression of PCRE2.
-- @tparam string name
-- @treturn string such as `\x{1C89}-\x{1C8A}`
function M.regex_class(name)
  local parts = {}
  each_range(tables[name], function(first, last)
    parts[#parts + 1] = ("\\x{%X}-\\x{%X}"):format(first, last)
  end)
  return table.concat(parts)
end

--- Is a code point part of a word, by the `\w` of Rust's regular expressions?
-- @tparam int code
-- @treturn boolean
function M.is_word(code)
  local category = ffi.string(C.lib.fsam_unicode_category(code))
  return category:find("^[LM]") ~= nil or category == "Nd" or category == "Nl"
    or category == "Pc" or bit.band(M.classes()[code], M.BITS.WORD) ~= 0
end

local capacity = 4096
local buffer = ffi.new("uint8_t[?]", capacity)
local size = ffi.new("int64_t[1]")

local newer_compatible

--- Does a form leave this code point alone, though utf8proc would not? Sets of code points that are
-- few and asked for by two forms only need no bit.
local function is_inert(bits, code, form)
  if form >= 2 and not newer_compatible then
    newer_compatible = {}
    each_range(tables.COMPATIBLE, function(first, last)
      for inert = first, last do
        newer_compatible[inert] = true
      end
    end)
  end
  return bit.band(bits[code], M.BITS.INERT) ~= 0 or form >= 2 and newer_compatible[code]
end

local FORMS = { NFD = 0, NFC = 1, NFKD = 2, NFKC = 3 }

--- A normal form of text that holds no INERT code point.
local function normalize_run(text, form)
  local function attempt()
    C.check(C.lib.fsam_unicode_normalize(buffer, size, capacity, text, #text, form))
    return tonumber(size[0])
  end
  local n = attempt()
  if n > capacity then
    capacity = 2 * n
    buffer = ffi.new("uint8_t[?]", capacity)
    attempt()
  end
  return ffi.string(buffer, n)
end

--- A normal form. A code point that is INERT neither decomposes nor changes places with marks
-- around it, so the text between such code points is normalised run by run.
-- @tparam string text valid UTF-8
-- @tparam string name NFD, NFC, NFKD or NFKC
-- @treturn string
function M.normal_form(text, name)
  if not text:find("[\128-\255]") then
    return text -- ASCII is in every form
  end
  local form = FORMS[name]
  local bits, codes, n = M.classes(), utf8.decode(text)
  local parts, start, at = {}, 1, 1
  for i = 0, n - 1 do
    local code = codes[i]
    local after = at + width(code)
    if is_inert(bits, code, form) then
      parts[#parts + 1] = normalize_run(text:sub(start, at - 1), form)
      parts[#parts + 1] = text:sub(at, after - 1)
      start = after
    end
    at = after
  end
  if start == 1 then
    return normalize_run(text, form)
  end
  parts[#parts + 1] = normalize_run(text:sub(start), form)
  return table.concat(parts)
end

--- A normal form by the newest Unicode that utf8proc knows.
-- @tparam string text valid UTF-8
-- @tparam string name NFD, NFC, NFKD or NFKC
-- @treturn string
function M.newest_form(text, name)
  return normalize_run(text, FORMS[name])
end

local marks = {} -- code point → boolean

local BELOW, ABOVE = "\204\180", "\204\129" -- marks of the first class and of one of the last

--- Does a code point have a place among marks (a combining class that is not 0)? Then it changes
-- places with one of two others.
-- @tparam int code that no normal form replaces
-- @treturn boolean
function M.is_mark(code)
  if marks[code] == nil then
    local text = utf8.char(code)
    marks[code] = ffi.string(C.lib.fsam_unicode_category(code)):find("^M") ~= nil
      and (text == BELOW or normalize_run(text .. BELOW, 0) == BELOW .. text
        or normalize_run(ABOVE .. text, 0) == text .. ABOVE)
  end
  return marks[code]
end

--- A text with a space for each character that is one.
-- @tparam string text valid UTF-8
-- @treturn string
function M.spaces(text)
  local bits = M.classes()
  return (text:gsub("[\194\225-\227][\128-\191]+", function(character)
    return bit.band(bits[utf8.decode(character)[0]], M.BITS.SPACE) ~= 0 and " " or nil
  end))
end

--- Canonical decomposition (NFD).
-- @tparam string text valid UTF-8
-- @treturn string
function M.decompose(text)
  return M.normal_form(text, "NFD")
end

return M
