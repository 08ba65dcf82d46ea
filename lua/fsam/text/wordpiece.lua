--- WordPiece: the longest piece that fits, again and again.
--
-- Owns: the ids of a stretch of text between two special tokens. They equal those of Hugging Face's
-- WordPiece. Leaves to others: the search (C), normalisation and the split into words (bert.lua,
-- components.lua), special tokens and the frame around a sequence (tokenizer.lua).
local C = require("fsam.C")
local bert = require("fsam.text.bert")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")
local unicode = require("fsam.text.unicode")

local ffi = C.ffi

local M = {}

local WordPiece = {}
WordPiece.__index = WordPiece

--- The C object of the pieces.
local function search_of(self, config)
  local texts, count, bytes = {}, 0, 0
  for piece in pairs(self.ids) do
    count = count + 1
    texts[count] = piece
  end
  local ends, ids = ffi.new("int64_t[?]", count), ffi.new("int32_t[?]", count)
  for i = 1, count do
    bytes = bytes + #texts[i]
    ends[i - 1], ids[i - 1] = bytes, self.ids[texts[i]]
  end
  local joined = table.concat(texts)
  local pieces = ffi.new("fsam_word_pieces", { bytes = ffi.cast("const uint8_t *", joined),
    ends = ends, ids = ids, count = count, prefix = ffi.cast("const uint8_t *", self.prefix),
    prefix_bytes = #self.prefix, unknown_id = self.unk_id,
    max_characters = self.max_characters })
  local out = ffi.new("fsam_wordpiece *[1]")
  C.check(C.lib.fsam_wordpiece_new(out, pieces), config.name)
  return ffi.gc(out[0], C.lib.fsam_wordpiece_free)
end

--- A WordPiece model.
-- @tparam table config
--   `ids`: map from piece to id; `unk` (default "[UNK]"); `prefix` of pieces within a word (default
--   "##"); `max_characters` of a word (default 100; longer words are unknown); `normalizer`: an
--   object with the method `normalize` (default: bert.lua's with its defaults); `split`: function
--   from normalised text to the list of its words (default: BERT's words); `name` for messages
-- @treturn table the model: kind, ids, unk_id, normalizer, and the methods below
-- @raise one line when the unknown piece is not in the vocabulary, or there are too many bytes of
--   pieces
function M.new(config)
  local self = setmetatable({
    kind = "wordpiece",
    ids = config.ids,
    unk = config.unk or "[UNK]",
    prefix = config.prefix or "##",
    max_characters = config.max_characters or 100,
    normalizer = config.normalizer or bert.new({}),
    split = config.split,
  }, WordPiece)
  self.unk_id = self.ids[self.unk]
  if not self.unk_id then
    errors.raise("%s: the vocabulary has no %s", config.name or "wordpiece", schema.show(self.unk))
  end
  self.search = search_of(self, config)
  return self
end

--- Normalised text.
-- @tparam string text any bytes
-- @treturn string valid UTF-8
function WordPiece:normalize(text)
  return self.normalizer:normalize(text)
end

local capacity = 4096
local buffer = ffi.new("int32_t[?]", capacity)
local found = ffi.new("int64_t[1]")

--- Appends the ids of the words that `classes` part, or of one word without it.
local function append_words(self, ids, text, classes)
  if #text > capacity then
    capacity = 2 * #text
    buffer = ffi.new("int32_t[?]", capacity)
  end
  C.check(C.lib.fsam_wordpiece_encode(self.search, buffer, found, capacity, text, #text, classes))
  local n, out = #ids, buffer
  for i = 1, tonumber(found[0]) do
    ids[n + i] = out[i - 1]
  end
end

--- Appends the ids of normalised text to a list.
-- @tparam table ids
-- @tparam string text normalised
function WordPiece:append(ids, text)
  if not self.split then
    append_words(self, ids, text, unicode.classes())
    return
  end
  for _, word in ipairs(self.split(text)) do
    append_words(self, ids, word, nil)
  end
end

-- Which of the spaces between words the decoder takes back, one word at a time (Transformers'
-- clean_up_tokenization).
local CLEANUP = {
  { " %.", "." }, { " %?", "?" }, { " !", "!" }, { " ,", "," }, { " ' ", "'" }, { " n't", "n't" },
  { " 'm", "'m" }, { " do not", " don't" }, { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
}
local MAY_CLEAN = " [.?!,'nd]" -- how every rule begins

--- Readable text of tokens.
-- @tparam {string,…} tokens as the vocabulary spells them
-- @treturn string
function WordPiece:join(tokens)
  local parts = {}
  for i, token in ipairs(tokens) do
    if i > 1 then
      if token:sub(1, #self.prefix) == self.prefix then
        token = token:sub(#self.prefix + 1)
      else
        token = " " .. token
      end
    end
    if token:find(MAY_CLEAN) then
      for _, rule in ipairs(CLEANUP) do
        token = token:gsub(rule[1], rule[2])
      end
    end
    parts[i] = token
  end
  return table.concat(parts)
end

return M
