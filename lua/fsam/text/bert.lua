--- BERT's normalisation of text and its split into words.
--
-- Owns: exactly what Hugging Face calls BertNormalizer and BertPreTokenizer, on any input. Bytes
-- that are not UTF-8 count as U+FFFD, which clean_text removes. ASCII takes a shorter path. Leaves
-- to others: classes of code points (unicode.lua).
local ffi = require("ffi")
local new_buffer = require("fsam.text.buffer")
local unicode = require("fsam.text.unicode")
local utf8 = require("fsam.base.utf8")

local M = {}

local Normalizer = {}
Normalizer.__index = Normalizer

local BITS = unicode.BITS

--- A normaliser.
-- @tparam table config booleans: `lowercase`, `clean_text` (drop controls, unify spaces), `chinese`
--   (set Chinese characters apart), all true by default; `strip_accents` (default: as `lowercase`)
-- @treturn table with the method `normalize`
function M.new(config)
  local function flag(name, default)
    if config[name] == nil then
      return default
    end
    return config[name]
  end
  local lowercase = flag("lowercase", true)
  return setmetatable({
    lowercase = lowercase,
    clean_text = flag("clean_text", true),
    chinese = flag("chinese", true),
    strip_accents = flag("strip_accents", lowercase),
  }, Normalizer)
end

local reserve = new_buffer()

--- First half: drop controls, unify spaces, set Chinese characters apart.
local function clean(self, text)
  local bits, codes, n = unicode.classes(), utf8.decode(text)
  local out, at = reserve(6 * n), 0
  for i = 0, n - 1 do
    local code = codes[i]
    local class = bits[code]
    if not self.clean_text or bit.band(class, BITS.DROPPED) == 0 then
      if self.clean_text and bit.band(class, BITS.SPACE) ~= 0 then
        code = 32
      end
      if self.chinese and bit.band(class, BITS.CHINESE) ~= 0 then
        out[at] = 32
        at = utf8.put(out, at + 1, code)
        out[at] = 32
        at = at + 1
      else
        at = utf8.put(out, at, code)
      end
    end
  end
  return ffi.string(out, at)
end

--- Second half: drop the marks of decomposed text, lower the case.
local function simplify(self, text)
  local bits, codes, n = unicode.classes(), utf8.decode(text)
  local out, at = reserve(4 * n), 0
  for i = 0, n - 1 do
    local code = codes[i]
    if not self.strip_accents or bit.band(bits[code], BITS.MARK) == 0 then
      if not self.lowercase then
        at = utf8.put(out, at, code)
      else
        at = utf8.put(out, at, unicode.lower(code))
        if code == 0x130 then -- the one code point whose lower case is two
          at = utf8.put(out, at, 0x307)
        end
      end
    end
  end
  return ffi.string(out, at)
end

--- Normalised text.
-- @tparam string text any bytes
-- @treturn string valid UTF-8
function Normalizer:normalize(text)
  if text:find("[\128-\255]") then
    text = clean(self, text)
    if self.strip_accents then
      text = unicode.decompose(text)
    end
    return simplify(self, text)
  end
  if self.clean_text then
    text = text:gsub("[%z\1-\8\11\12\14-\31\127]", ""):gsub("[\t\n\r]", " ")
  end
  return self.lowercase and text:lower() or text
end

--- A copy with spaces wherever words and punctuation part, and nowhere else.
local function spaced(text)
  if not text:find("[\128-\255]") then
    return (text:gsub("%p", " %0 "))
  end
  local bits, codes, n = unicode.classes(), utf8.decode(text)
  local out, at = reserve(6 * n), 0
  for i = 0, n - 1 do
    local code = codes[i]
    local class = bits[code]
    if bit.band(class, BITS.SPACE) ~= 0 then
      code = 32
    end
    if bit.band(class, BITS.PUNCTUATION) ~= 0 then
      out[at] = 32
      at = utf8.put(out, at + 1, code)
      out[at] = 32
      at = at + 1
    else
      at = utf8.put(out, at, code)
    end
  end
  return ffi.string(out, at)
end

--- The words of normalised text: spaces are dropped, each punctuation character is a word.
-- @tparam string text normalised
-- @treturn function an iterator for `for word in …`
function M.words(text)
  return spaced(text):gmatch("[^ \t-\r]+")
end

return M
