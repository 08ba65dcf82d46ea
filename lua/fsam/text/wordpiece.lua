--- WordPiece: the longest piece that fits, again and again.
--
-- Owns: the ids of a stretch of text between two special tokens. They equal those of Hugging Face's
-- WordPiece. Leaves to others: normalisation and the split into words (bert.lua, components.lua),
-- remembering words (word_cache.lua), special tokens and the frame around a sequence
-- (tokenizer.lua).
local bert = require("fsam.text.bert")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")
local word_cache = require("fsam.text.word_cache")

local M = {}

local WordPiece = {}
WordPiece.__index = WordPiece

--- Positions at which a word may be cut: the first byte of each character, and the end.
local function boundaries(word)
  local cuts, n = {}, 0
  for i = 1, #word do
    local byte = word:byte(i)
    if byte < 0x80 or byte >= 0xC0 then
      n = n + 1
      cuts[n] = i
    end
  end
  cuts[n + 1] = #word + 1
  return cuts, n
end

--- The ids of one word. The word is unknown as a whole if at any place no piece fits. A piece has
-- at most as many characters as the longest has bytes, which bounds the search in a long word.
local function split_word(self, word)
  local whole = self.ids[word]
  if whole and #word <= self.max_characters then -- at most as many characters as bytes
    return { whole }
  end
  local cuts, n = boundaries(word)
  if n > self.max_characters then
    return { self.unk_id }
  end
  local pieces, first = {}, 1
  while first <= n do
    local id, last
    local lead = first > 1 and self.prefix or ""
    for try = math.min(n + 1, first + self.longest), first + 1, -1 do
      if cuts[try] - cuts[first] + #lead <= self.longest then
        id = self.ids[lead .. word:sub(cuts[first], cuts[try] - 1)]
        if id then
          last = try
          break
        end
      end
    end
    if not id then
      return { self.unk_id }
    end
    pieces[#pieces + 1] = id
    first = last
  end
  return pieces
end

--- A WordPiece model.
-- @tparam table config
--   `ids`: map from piece to id; `unk` (default "[UNK]"); `prefix` of pieces within a word (default
--   "##"); `max_characters` of a word (default 100; longer words are unknown); `normalizer`: an
--   object with the method `normalize` (default: bert.lua's with its defaults); `split`: function
--   from normalised text to the list of its words (default: BERT's words); `name` for messages
-- @treturn table the model: kind, ids, unk_id, normalizer, and the methods below
-- @raise one line when the unknown piece is not in the vocabulary
function M.new(config)
  local self = setmetatable({
    kind = "wordpiece",
    ids = config.ids,
    unk = config.unk or "[UNK]",
    prefix = config.prefix or "##",
    max_characters = config.max_characters or 100,
    normalizer = config.normalizer or bert.new({}),
    split = config.split,
    longest = 0, -- bytes of the longest piece
  }, WordPiece)
  for piece in pairs(self.ids) do
    self.longest = math.max(self.longest, #piece)
  end
  self.unk_id = self.ids[self.unk]
  if not self.unk_id then
    errors.raise("%s: the vocabulary has no %s", config.name or "wordpiece", schema.show(self.unk))
  end
  self.words = word_cache.new(function(word)
    return split_word(self, word)
  end)
  return self
end

--- Normalised text.
-- @tparam string text any bytes
-- @treturn string valid UTF-8
function WordPiece:normalize(text)
  return self.normalizer:normalize(text)
end

--- An iterator over the words of normalised text.
local function words_of(self, text)
  if not self.split then
    return bert.words(text)
  end
  local list, at = self.split(text), 0
  return function()
    at = at + 1
    return list[at]
  end
end

--- Appends the ids of normalised text to a list.
-- @tparam table ids
-- @tparam string text normalised
function WordPiece:append(ids, text)
  local n = #ids
  for word in words_of(self, text) do
    local pieces = self.words:get(word)
    for k = 1, #pieces do
      ids[n + k] = pieces[k]
    end
    n = n + #pieces
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
