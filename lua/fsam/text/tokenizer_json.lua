--- Hugging Face's tokenizer.json: one file that holds a whole tokenizer.
--
-- Owns: reading the two kinds that we have, BERT's WordPiece and GPT-2's byte-level BPE. A part
-- that would change ids and is not understood is an error. `padding` and `truncation` are passed
-- over, since the training decides how long a text may be.
local bpe = require("fsam.text.bpe")
local errors = require("fsam.errors")
local files = require("fsam.text.files")
local json = require("fsam.base.json")
local merging = require("fsam.text.merging")
local template = require("fsam.text.template")
local tokenizer = require("fsam.text.tokenizer")
local wordpiece = require("fsam.text.wordpiece")

local M = {}

local is_id = merging.is_id

--- A member of an object, which must be of a Lua type.
local function member(object, key, kind, where)
  local value = type(object) == "table" and object[key] or nil
  if type(value) ~= kind then
    errors.raise("%s: %s should be %s, got %s", where, key,
      kind == "table" and "an object or array" or "a " .. kind, type(value))
  end
  return value
end

local function type_of(component)
  return type(component) == "table" and tostring(component.type) or "null"
end

local function unsupported(where, part, component, supported)
  errors.raise("%s: %s of type %s is not supported (%s)", where, part, type_of(component),
    supported)
end

--- Checks that each of these members of the model has its plain value; nil counts as plain.
local function require_plain(where, model, plain)
  for key, value in pairs(plain) do
    if model[key] ~= nil and model[key] ~= value then
      errors.raise("%s: %s = %s is not supported", where, key, tostring(model[key]))
    end
  end
end

local function read_vocabulary(model, where)
  local ids = member(model, "vocab", "table", where)
  for piece, id in pairs(ids) do
    if type(piece) ~= "string" or not is_id(id) then
      errors.raise("%s: the vocabulary gives %s the id %s", where, tostring(piece), tostring(id))
    end
  end
  return ids
end

local function read_wordpiece(data, where)
  local model, normalizer = data.model, data.normalizer or {}
  if type_of(data.normalizer) ~= "BertNormalizer" and data.normalizer then
    unsupported(where, "a normalizer", data.normalizer, "BertNormalizer")
  elseif type_of(data.pre_tokenizer) ~= "BertPreTokenizer" then
    unsupported(where, "a pre_tokenizer", data.pre_tokenizer, "BertPreTokenizer")
  end
  return wordpiece.new({
    name = where,
    ids = read_vocabulary(model, where),
    unk = model.unk_token,
    prefix = model.continuing_subword_prefix,
    max_characters = model.max_input_chars_per_word,
    lowercase = normalizer.lowercase or false,
    clean_text = normalizer.clean_text or false,
    chinese = normalizer.handle_chinese_chars or false,
    strip_accents = normalizer.strip_accents,
  })
end

--- Merges are written "a b" or ["a", "b"].
local function read_merges(model, where)
  local merges = {}
  for i, merge in ipairs(member(model, "merges", "table", where)) do
    local pair = merge
    if type(merge) == "string" then
      pair = { merge:match("^([^ ]+) ([^ ]+)$") }
    end
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or type(pair[2]) ~= "string"
        or #pair ~= 2 then
      errors.raise("%s: merge %d is not a pair of pieces", where, i)
    end
    merges[i] = pair
  end
  return merges
end

local function read_bpe(data, where)
  local model, split = data.model, data.pre_tokenizer
  if data.normalizer then
    unsupported(where, "a normalizer", data.normalizer, "none, with BPE")
  elseif type_of(split) ~= "ByteLevel" or split.use_regex == false then
    unsupported(where, "a pre_tokenizer", split, "ByteLevel with its regular expression")
  end
  require_plain(where, model, { dropout = 0, continuing_subword_prefix = "",
    end_of_word_suffix = "", byte_fallback = false })
  return bpe.new({
    name = where,
    ids = read_vocabulary(model, where),
    merges = read_merges(model, where),
    add_prefix_space = split.add_prefix_space,
    ignore_merges = model.ignore_merges,
    unk = model.unk_token,
    fuse_unk = model.fuse_unk,
  })
end

--- One side of a TemplateProcessing: its items.
local function read_items(processor, key, where)
  local items = {}
  local specials = processor.special_tokens or {}
  for _, item in ipairs(member(processor, key, "table", where)) do
    local sequence, special = item.Sequence, item.SpecialToken
    local piece = sequence or special or {}
    local ids = special and type(specials[special.id]) == "table" and specials[special.id].ids
    if not (piece.type_id == 0 or piece.type_id == 1) or (special and type(ids) ~= "table")
        or (sequence and sequence.id ~= "A" and sequence.id ~= "B") then
      errors.raise("%s: post_processor: item %d of %s is not understood", where, #items + 1, key)
    end
    if sequence then
      items[#items + 1] = { sequence = sequence.id == "A" and 1 or 2, token_type = piece.type_id }
    else
      for _, id in ipairs(ids) do
        items[#items + 1] = { id = id, token_type = piece.type_id }
      end
    end
  end
  return items
end

local function read_template(processor, where)
  local kind = type_of(processor)
  if kind == "TemplateProcessing" then
    return {
      single = read_items(processor, "single", where),
      pair = read_items(processor, "pair", where),
    }
  elseif kind == "BertProcessing" or kind == "RobertaProcessing" then
    local cls = member(processor, "cls", "table", where)
    local sep = member(processor, "sep", "table", where)
    if not (is_id(cls[2]) and is_id(sep[2])) then
      errors.raise("%s: post_processor: cls and sep should be pairs of a token and its id", where)
    end
    return template[kind == "BertProcessing" and "bert" or "roberta"](cls[2], sep[2])
  elseif kind == "null" or kind == "ByteLevel" then -- ByteLevel concerns offsets only
    return template.bare()
  end
  return unsupported(where, "a post_processor", processor,
    "TemplateProcessing, BertProcessing, RobertaProcessing")
end

local function read_added(data, where, ids)
  local list = data.added_tokens or {}
  for i, token in ipairs(list) do
    if type(token) ~= "table" or type(token.content) ~= "string" or not is_id(token.id) then
      errors.raise("%s: added token %d has no content or no id", where, i)
    elseif (ids[token.content] or token.id) ~= token.id then
      errors.raise("%s: %s is %d among the added tokens, but %d in the vocabulary", where,
        token.content, token.id, ids[token.content])
    end
  end
  return list
end

--- Makes a tokenizer from the text of a tokenizer.json.
-- @tparam string text
-- @tparam string where its path, for messages
-- @tparam[opt] table config tokenizer_config.json, for the names of the special tokens
-- @tparam[opt] table kept map from file name to bytes, which `save` writes unchanged
-- @treturn table tokenizer, see tokenizer.lua
-- @raise one line, when something in it is not supported
function M.read(text, where, config, kept)
  local data = json.decode(text, where)
  local model = member(data, "model", "table", where)
  -- Old files leave the type out. Only BPE has merges.
  local kind = model.type or (model.merges and "BPE") or "WordPiece"
  if kind ~= "WordPiece" and kind ~= "BPE" then
    unsupported(where, "a model", { type = kind }, "WordPiece, BPE")
  end
  local made = kind == "BPE" and read_bpe(data, where) or read_wordpiece(data, where)
  local names = files.names(config or {}, made.kind)
  local added = read_added(data, where, made.ids)
  local padding = data.padding
  if type(padding) == "table" and not (config and config.pad_token) then
    names.pad = padding.pad_token or names.pad
  end
  return tokenizer.new({
    model = made,
    template = read_template(data.post_processor, where),
    added = added,
    names = names,
    files = kept,
    name = where,
  })
end

return M
