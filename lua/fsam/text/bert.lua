--- BERT's normalisation of text and its split into words.
--
-- Owns: what Hugging Face calls BertNormalizer and BertPreTokenizer, on any input. Bytes that are
-- not UTF-8 count as U+FFFD, which clean_text removes. Leaves to others: the passes over the text
-- (C), classes of code points (unicode.lua).
local C = require("fsam.C")
local new_buffer = require("fsam.text.buffer")
local unicode = require("fsam.text.unicode")

local ffi = C.ffi

local M = {}

local Normalizer = {}
Normalizer.__index = Normalizer

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
  local self = setmetatable({
    lowercase = lowercase,
    clean_text = flag("clean_text", true),
    chinese = flag("chinese", true),
    strip_accents = flag("strip_accents", lowercase),
  }, Normalizer)
  local lower, count = unicode.newer_lower()
  self.rules = ffi.new("fsam_bert", { classes = unicode.classes(), lower = lower,
    lower_count = count })
  for _, name in ipairs({ "lowercase", "clean_text", "chinese", "strip_accents" }) do
    self.rules[name] = self[name] and 1 or 0
  end
  return self
end

local reserve = new_buffer()
local size = ffi.new("int64_t[1]")

local function normalize_into(self, room, text)
  local out = reserve(room)
  C.check(C.lib.fsam_bert_normalize(out, size, room, text, #text, self.rules))
  return out, tonumber(size[0])
end

--- Normalised text.
-- @tparam string text any bytes
-- @treturn string valid UTF-8
function Normalizer:normalize(text)
  local room = 2 * #text -- enough for nearly all texts
  local out, bytes = normalize_into(self, room, text)
  if bytes > room then
    out, bytes = normalize_into(self, bytes, text)
  end
  return ffi.string(out, bytes)
end

local reserve_bounds = new_buffer()

--- The words of normalised text: spaces are dropped, each punctuation character is a word.
-- @tparam string text normalised
-- @treturn {string,…}
function M.words(text)
  local bounds = ffi.cast("int64_t *", reserve_bounds(16 * #text))
  C.check(C.lib.fsam_bert_words(bounds, size, #text, text, #text, unicode.classes()))
  local words = {}
  for i = 1, tonumber(size[0]) do
    words[i] = text:sub(tonumber(bounds[2 * i - 2]) + 1, tonumber(bounds[2 * i - 1]))
  end
  return words
end

return M
