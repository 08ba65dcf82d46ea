--- SentencePiece's unigram language model (Kudo 2018): the split of a text into the pieces whose
-- probabilities have the largest product.
--
-- Owns: the ids of a stretch of text between two special tokens. They equal those of Hugging Face's
-- Unigram, and with `narrow` those of SentencePiece, which sums in floats. Leaves to others: the
-- search (C), normalisation, spaces (metaspace.lua), files (sentencepiece.lua, tokenizer_json.lua),
-- special tokens (tokenizer.lua).
local C = require("fsam.C")
local errors = require("fsam.errors")
local metaspace = require("fsam.text.metaspace")
local utf8 = require("fsam.base.utf8")
local word_cache = require("fsam.text.word_cache")

local ffi = C.ffi

local M = {}

local UNKNOWN_PENALTY = 10 -- below the least score of a piece
local SMALLEST = 2 ^ -126 -- with it SentencePiece begins its search for the largest score

local Unigram = {}
Unigram.__index = Unigram

--- Scores of the pieces that can be found, for C.
local function score_range(pieces)
  local least, most = math.huge, SMALLEST
  for _, piece in ipairs(pieces) do
    if piece.kind == "normal" then
      least, most = math.min(least, piece.score), math.max(most, piece.score)
    end
  end
  return least, most
end

local FOUND = { normal = true, user = true }

local function to_float(value)
  return tonumber(ffi.new("float", value))
end

--- The C object of the pieces.
local function search_of(self, config)
  local texts, n = {}, #config.pieces
  local ends, scores = ffi.new("int64_t[?]", n), ffi.new("double[?]", n)
  local ids, whole = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
  local count, bytes = 0, 0
  for i, piece in ipairs(config.pieces) do
    if FOUND[piece.kind] then
      bytes = bytes + #piece.text
      ends[count], scores[count], ids[count] = bytes, piece.score, i - 1 + self.shift
      whole[count] = piece.kind == "user" and 1 or 0
      count = count + 1
      texts[count] = piece.text
    end
  end
  local least, most = score_range(config.pieces)
  local unknown = least - UNKNOWN_PENALTY
  local byte_ids
  if config.byte_ids then
    byte_ids = ffi.new("int32_t[256]")
    for byte = 0, 255 do
      byte_ids[byte] = config.byte_ids[byte] and config.byte_ids[byte] + self.shift or -1
    end
  end
  local joined = table.concat(texts)
  local pieces = ffi.new("fsam_pieces", { bytes = ffi.cast("const uint8_t *", joined), ends = ends,
    scores = scores, ids = ids, whole = whole, count = count,
    unknown = config.narrow and to_float(unknown) or unknown, whole_per_byte = most,
    unknown_id = self.unk_id, narrow = config.narrow and 1 or 0, bytes_ids = byte_ids })
  local out = ffi.new("fsam_unigram *[1]")
  C.check(C.lib.fsam_unigram_new(out, pieces), config.name)
  return ffi.gc(out[0], C.lib.fsam_unigram_free)
end

local capacity = 4096
local buffer = ffi.new("int32_t[?]", capacity)
local count = ffi.new("int64_t[1]")

--- Appends the ids of a text that the search takes as one.
-- @tparam table ids
-- @param text a string or bytes
-- @tparam int bytes
local function search(self, ids, text, bytes)
  if bytes > capacity then
    if bytes >= 2 ^ 31 then
      errors.raise("text: has %d bytes, which is too long for a tokenizer", bytes)
    end
    capacity = 2 * bytes
    buffer = ffi.new("int32_t[?]", capacity)
  end
  C.check(C.lib.fsam_unigram_encode(self.search, buffer, count, capacity, text, bytes,
    self.by_word))
  local n, out = #ids, buffer
  for i = 1, tonumber(count[0]) do
    ids[n + i] = out[i - 1]
  end
end

--- A unigram model.
-- @tparam table config
--   `pieces`: list of `{ text, score, kind }` (sentencepiece.lua), ids from 0; `shift` (0): added
--   to every id but the unknown one; `unk_id`; `ids`: map from piece to id, when other pieces have
--   ids too (default: those of `pieces`); `byte_ids`: byte → id for the bytes of unknown characters
--   (default: none); `narrow`; `normalizer`: an object with the method `normalize`; `words`:
--   function from normalised text, and whether it begins the whole text, to bytes that the search
--   takes as one and their number, or to a list of texts to search one by one (default: the text is
--   searched unchanged); `by_word`: each U+2581 begins a word; `name`: the file, for messages
-- @treturn table the model: kind, ids, unk_id, normalizer, and the methods below
-- @raise one line when there are too many bytes of pieces
function M.new(config)
  local self = setmetatable({
    kind = "unigram",
    shift = config.shift or 0,
    unk_id = config.unk_id,
    ids = config.ids,
    count = #config.pieces,
    normalizer = config.normalizer,
    words = config.words,
    by_word = config.by_word and 1 or 0,
    exceptions = config.exceptions,
    byte_of = {},
  }, Unigram)
  if not self.ids then
    self.ids = {}
    for i, piece in ipairs(config.pieces) do
      self.ids[piece.text] = i - 1 + self.shift
    end
  end
  for byte = 0, config.byte_ids and 255 or -1 do
    self.byte_of[("<0x%02X>"):format(byte)] = string.char(byte)
  end
  self.search = search_of(self, config)
  self.cache = word_cache.new(function(word)
    local ids = {}
    search(self, ids, word, #word)
    return ids
  end)
  return self
end

--- Normalised text.
-- @tparam string text any bytes
-- @treturn string valid UTF-8
function Unigram:normalize(text)
  text = utf8.clean(text)
  return self.normalizer and self.normalizer:normalize(text) or text
end

local function append_list(ids, list)
  local n = #ids
  for k = 1, #list do
    ids[n + k] = list[k]
  end
end

-- Puts other ids in the place of some.
local function replace_exceptions(self, ids, from)
  local exceptions, first = self.exceptions, from
  while ids[first] and not exceptions[ids[first]] do
    first = first + 1
  end
  local rest = {}
  for i = first, #ids do
    rest[i - first + 1], ids[i] = ids[i], nil
  end
  for _, id in ipairs(rest) do
    append_list(ids, exceptions[id] or { id })
  end
end

--- Appends the ids of normalised text to a list.
-- @tparam table ids
-- @tparam string text normalised
-- @tparam ?boolean first does this text begin the whole one?
function Unigram:append(ids, text, first)
  local from = #ids + 1
  local words, bytes = text, #text
  if self.words then
    words, bytes = self.words(text, first)
  end
  if bytes then
    search(self, ids, words, bytes)
  else
    for _, word in ipairs(words) do
      append_list(ids, self.cache:get(word))
    end
  end
  if self.exceptions then
    replace_exceptions(self, ids, from)
  end
end

--- Readable text of tokens.
-- @tparam {string,…} tokens as the vocabulary spells them
-- @treturn string valid UTF-8
function Unigram:join(tokens)
  local parts = {}
  for i, token in ipairs(tokens) do
    parts[i] = self.byte_of[token] or token
  end
  return utf8.clean(metaspace.join(parts))
end

return M
