--- A tokenizer: text to ids and back.
--
-- Owns: the order of the steps. Added tokens are found first, the model (wordpiece.lua, bpe.lua,
-- unigram.lua) takes the text between them, a template puts the special ids around. There is no
-- padding, since batches are packed. Leaves to others: reading files (init.lua), writing them
-- (files.lua).
local added = require("fsam.text.added")
local errors = require("fsam.errors")
local files = require("fsam.text.files")
local schema = require("fsam.base.schema")
local template = require("fsam.text.template")
local utf8 = require("fsam.base.utf8")

local M = {}

local Tokenizer = {}
Tokenizer.__index = Tokenizer

--- The tokens that are found in normalised text, or the others.
local function list_of(tokens, normalized)
  local list = {}
  for _, token in ipairs(tokens) do
    if (token.normalized or false) == normalized then
      list[#list + 1] = token
    end
  end
  return list
end

--- The tokens that are found in normalised text, themselves normalised.
local function normalized_tokens(model, tokens)
  local list = {}
  for i, token in ipairs(list_of(tokens, true)) do
    list[i] = setmetatable({ content = model:normalize(token.content) }, { __index = token })
  end
  return list
end

--- The added tokens that are looked for in text.
local function found_tokens(config)
  local list = {}
  for _, token in ipairs(config.added) do
    if not (config.split_special and token.special) then
      list[#list + 1] = token
    end
  end
  return list
end

-- Refuses a frame that puts ids around a text which no token has.
local function check_frame(self, config)
  for _, items in pairs(config.template) do
    for _, item in ipairs(items) do
      if item.id and item.id >= self.vocab_size and not self.tokens[item.id] then
        errors.raise("%s: the special tokens around a text have the id %d, which no token of the "
          .. "vocabulary has", config.name or "tokenizer", item.id)
      end
    end
  end
end

--- A tokenizer.
-- @tparam table config
--   `model` (wordpiece.lua, bpe.lua, unigram.lua); `template` (template.lua); `added`: list of
--   tokens (tokens.lua); `names`: the contents of the `pad`, `unk`, `cls`, `sep` and `mask` tokens;
--   `files`: map from file name to bytes, which `save` writes; `class` of the folder (classes.lua),
--   for `save`; `split_special`: leave special tokens that stand in a text to the model; `name` for
--   messages
-- @treturn table with `kind` ("wordpiece", "bpe" or "unigram"), `vocab_size` (the largest id plus
--   one, of the tokens that the vocabulary or a file has) and `pad_id`, `unk_id`, `cls_id`,
--   `sep_id`, `mask_id` (nil where there is no such token)
-- @raise one line when there is no padding token, or the template has an id that no token has
function M.new(config)
  local model = config.model
  local self = setmetatable({
    kind = model.kind,
    model = model,
    template = config.template,
    added = config.added,
    names = config.names,
    files = config.files,
    class = config.class,
    tokens = {},
    special = {},
    vocab_size = 0,
  }, Tokenizer)
  for piece, id in pairs(model.ids) do
    self.tokens[id] = piece
    self.vocab_size = math.max(self.vocab_size, id + 1)
  end
  for _, token in ipairs(config.added) do
    self.tokens[token.id] = token.normalized and model:normalize(token.content) or token.content
    self.special[token.id] = token.special or nil
    self.vocab_size = math.max(self.vocab_size, token.implied and 0 or token.id + 1)
  end
  check_frame(self, config)
  local found = found_tokens(config)
  self.raw = added.new(list_of(found, false))
  self.normalized = added.new(normalized_tokens(model, found))
  for role, content in pairs(config.names) do
    self[role .. "_id"] = self:id_of(content)
  end
  if not self.pad_id then
    errors.raise("%s: there is no padding token%s", config.name or "tokenizer",
      config.names.pad and " " .. schema.show(config.names.pad) or "; name one as pad_token in "
      .. "tokenizer_config.json")
  end
  return self
end

--- The id of a token (a piece as the vocabulary spells it), or nil; also nil for one that no file
-- has, since no model has learned it.
function Tokenizer:id_of(token)
  for _, other in ipairs(self.added) do
    if other.content == token and not other.implied then
      return other.id
    end
  end
  return self.model.ids[token]
end

--- The token of an id, or nil.
function Tokenizer:token_of(id)
  return self.tokens[id]
end

--- Ids of one sequence, without a frame.
local function sequence_ids(self, text)
  if type(text) ~= "string" then
    errors.raise("text: expected a string, got %s", type(text))
  end
  local ids, model = {}, self.model
  text = utf8.clean(text)
  for i, part in ipairs(self.raw and self.raw:split(text) or { text }) do
    if type(part) == "number" then
      ids[#ids + 1] = part
    else
      local plain = model:normalize(part)
      for k, piece in ipairs(self.normalized and self.normalized:split(plain) or { plain }) do
        if type(piece) == "number" then
          ids[#ids + 1] = piece
        elseif piece ~= "" then
          model:append(ids, piece, i == 1 and k == 1)
        end
      end
    end
  end
  return ids
end

--- Ids of a text or a pair of texts, with the special ones.
-- @tparam string text any bytes
-- @tparam ?string pair the second text
-- @tparam ?int max_tokens cut the texts, the longer one first, so that there are at most so many
--   ids
-- @treturn table ids
-- @treturn table token types, 0 or 1, one for each id
-- @raise one line when a text is no string, or max_tokens has no room for the special ids
function Tokenizer:encode(text, pair, max_tokens)
  local first = sequence_ids(self, text)
  local second = pair and sequence_ids(self, pair)
  return template.apply(self.template, first, second, max_tokens)
end

--- Ids of a text for what puts the frame around later: without special ids, and special tokens in
-- the text are text like any other.
-- @tparam string text any bytes
-- @treturn table ids
-- @raise one line when the text is no string
function Tokenizer:plain(text)
  if type(text) ~= "string" then
    errors.raise("text: expected a string, got %s", type(text))
  end
  local ids = {}
  self.model:append(ids, self.model:normalize(text))
  return ids
end

--- Readable text of ids. An id without a token is skipped.
-- @tparam table ids
-- @tparam[opt=false] boolean specials include the special tokens
-- @treturn string
-- @raise one line when ids is no list
function Tokenizer:decode(ids, specials)
  if type(ids) ~= "table" then
    errors.raise("ids: expected a list, got %s", type(ids))
  end
  local tokens = {}
  for _, id in ipairs(ids) do
    if self.tokens[id] and (specials or not self.special[id]) then
      tokens[#tokens + 1] = self.tokens[id]
    end
  end
  return self.model:join(tokens)
end

--- Writes the files that Transformers, and `text.load`, read this tokenizer from.
-- @tparam string path an existing folder
-- @raise one line that names the file, when one cannot be written
function Tokenizer:save(path)
  files.save(self, path)
end

function Tokenizer:__tostring()
  return ("%s tokenizer, %d ids"):format(self.kind, self.vocab_size)
end

return M
