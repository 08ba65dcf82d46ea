--- GPT-2's byte-level BPE (Radford et al. 2019), as RoBERTa uses it.
--
-- Owns: the ids of a stretch of text between two special tokens, by the split of GPT-2's regular
-- expression and the byte alphabet. They equal those of Hugging Face's ByteLevel and BPE. Bytes
-- that are not UTF-8 count as U+FFFD. Leaves to others: the merges (merging.lua), remembering words
-- (word_cache.lua), special tokens (tokenizer.lua).
local C = require("fsam.C")
local errors = require("fsam.errors")
local merging = require("fsam.text.merging")
local schema = require("fsam.base.schema")
local unicode = require("fsam.text.unicode")
local utf8 = require("fsam.base.utf8")
local word_cache = require("fsam.text.word_cache")

local ffi = C.ffi

local M = {}

local BPE = {}
BPE.__index = BPE

--- GPT-2's expression with its classes spelled out. The letters and numbers are those of a newer
-- Unicode than PCRE2's. The spaces leave out U+180E, which PCRE2 counts among them.
local function pattern()
  local letter = "\\p{L}" .. unicode.regex_class("LETTER")
  local number = "\\p{N}" .. unicode.regex_class("NUMBER")
  local space = unicode.regex_class("SPACE")
  local text = "'s|'t|'re|'ve|'m|'ll|'d| ?[L]+| ?[N]+| ?[^SLN]+|[S]+(?![^S])|[S]+"
  return (text:gsub("[LNS]", { L = letter, N = number, S = space }))
end

--- The character that stands for each byte in the vocabulary: printable Latin-1 for itself, the
-- other 68 in order from U+0100.
-- @treturn table from byte (a number) to character
-- @treturn table from character to byte (a string of length 1)
local function byte_alphabet()
  local character, byte_of, extra = {}, {}, 256
  for byte = 0, 255 do
    local code = byte
    if byte < 33 or (byte > 126 and byte < 161) or byte == 173 then
      code, extra = extra, extra + 1
    end
    character[byte] = utf8.char(code)
    byte_of[character[byte]] = string.char(byte)
  end
  return character, byte_of
end

--- The ids of a word's single bytes.
local function byte_ids(self, word)
  local symbols, n = {}, 0
  for i = 1, #word do
    local id = self.ids[self.character[word:byte(i)]] or self.unk_id
    local fused = id == self.unk_id and self.fuse_unk and symbols[n] == id
    if id and not fused then
      n = n + 1
      symbols[n] = id
    end
  end
  return symbols
end

--- The ids of one word.
local function split_word(self, word)
  local whole = self.ignore_merges and self.ids[word:gsub(".", function(c)
    return self.character[c:byte()]
  end)]
  return whole and { whole } or self.merging:apply(byte_ids(self, word))
end

--- A byte-level BPE model.
-- @tparam table config
--   `ids`: map from piece to id; `merges`: list of pairs of pieces, best first; `add_prefix_space`
--   (default false); `ignore_merges` (default false: a word that is a piece is still merged step by
--   step); `unk`, the piece for bytes without one (default nil: they are dropped); `fuse_unk`
--   (default false: each such byte has an id, else neighbours share one); `normalizer`: an object
--   with the method `normalize` (default: none); `split`: function from normalised text to the list
--   of stretches that are split on by themselves (default: the text is one); `use_regex` (default
--   true; false: a stretch is one word); `name` for messages
-- @treturn table the model: kind, ids, merges, unk_id (or nil), and the methods below
-- @raise when a merge names a piece that the vocabulary lacks
function M.new(config)
  local name = config.name or "bpe"
  local self = setmetatable({
    kind = "bpe",
    ids = config.ids,
    merges = config.merges,
    add_prefix_space = config.add_prefix_space or false,
    ignore_merges = config.ignore_merges or false,
    unk_id = config.unk and config.ids[config.unk],
    fuse_unk = config.fuse_unk or false,
    normalizer = config.normalizer,
    split = config.split,
    use_regex = config.use_regex ~= false,
  }, BPE)
  self.words = word_cache.new(function(word)
    return split_word(self, word)
  end)
  if config.unk and not self.unk_id then
    errors.raise("%s: the vocabulary has no %s", name, schema.show(config.unk))
  end
  self.character, self.byte_of = byte_alphabet()
  self.merging = merging.new(config.ids, config.merges, name)
  local out = ffi.new("fsam_regex *[1]")
  C.check(C.lib.fsam_regex_new(out, pattern()))
  self.regex = ffi.gc(out[0], C.lib.fsam_regex_free)
  return self
end

--- Normalised text. BPE itself asks only that it is UTF-8.
-- @tparam string text any bytes
-- @treturn string valid UTF-8
function BPE:normalize(text)
  if self.normalizer then
    return self.normalizer:normalize(text)
  end
  return utf8.clean(text)
end

local capacity = 1024
local bounds = ffi.new("int64_t[?]", 2 * capacity)
local count = ffi.new("int64_t[1]")

--- Calls visit(word) for each match of GPT-2's expression; the words together are the whole text.
-- @tparam string text valid UTF-8
-- @tparam function visit
function BPE:each_word(text, visit)
  if #text >= capacity then
    capacity = 2 * #text
    bounds = ffi.new("int64_t[?]", 2 * capacity)
  end
  C.check(C.lib.fsam_regex_find_all(self.regex, count, bounds, capacity, text, #text))
  for i = 0, tonumber(count[0]) - 1 do
    visit(text:sub(tonumber(bounds[2 * i]) + 1, tonumber(bounds[2 * i + 1])))
  end
end

--- Appends the ids of a stretch of text.
local function append_stretch(self, ids, text)
  if self.add_prefix_space and text:byte() ~= 32 then
    text = " " .. text
  end
  local n = #ids
  local function visit(word)
    local pieces = self.words:get(word)
    for i = 1, #pieces do
      ids[n + i] = pieces[i]
    end
    n = n + #pieces
  end
  if self.use_regex then
    self:each_word(text, visit)
  else
    visit(text)
  end
end

--- Appends the ids of normalised text to a list.
-- @tparam table ids
-- @tparam string text normalised
function BPE:append(ids, text)
  for _, stretch in ipairs(self.split and self.split(text) or { text }) do
    append_stretch(self, ids, stretch)
  end
end

--- Readable text of tokens.
-- @tparam {string,…} tokens as the vocabulary spells them
-- @treturn string valid UTF-8
function BPE:join(tokens)
  local parts = {}
  for i, token in ipairs(tokens) do
    local foreign = false
    local bytes = token:gsub("[%z\1-\127\194-\244][\128-\191]*", function(character)
      local byte = self.byte_of[character]
      foreign = foreign or not byte
      return byte
    end)
    parts[i] = foreign and token or bytes
  end
  return utf8.clean(table.concat(parts))
end

return M
