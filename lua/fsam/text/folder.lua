--- What a tokenizer's folder says: all files that Transformers reads, in its order of precedence.
--
-- Owns: reading the small files beside a vocabulary (tokenizer_config.json, added_tokens.json,
-- special_tokens_map.json, config.json's class), their shapes, and which of them counts where they
-- say different things. Leaves to others: the vocabulary itself (init.lua, tokenizer_json.lua), ids
-- of the tokens named here (tokens.lua).
local classes = require("fsam.text.classes")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")

local M = {}

--- The keys of special tokens, in the order in which Transformers adds them.
M.KEYS = { "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
  "mask_token" }

local IS_KEY = {}
for _, key in ipairs(M.KEYS) do
  IS_KEY[key] = true
end

local MAX_ID = 2 ^ 26 - 1

local optional, boolean = schema.optional, schema.boolean

-- A token as files write one: its text, or an object with its text and its flags.
local TOKEN_RECORD = schema.record({
  content = schema.string, lstrip = optional(boolean), rstrip = optional(boolean),
  single_word = optional(boolean), normalized = optional(boolean), special = optional(boolean),
})

--- The shape of an added token that is an object.
M.TOKEN = TOKEN_RECORD

local function token_shape(value, place)
  return (type(value) == "table" and TOKEN_RECORD or schema.string)(value, place)
end

-- `extra_special_tokens` is a list, or an object of names.
local function extra_shape(value, place)
  if type(value) == "table" and not json.is_array(value) then
    return schema.map(token_shape)(value, place)
  end
  return schema.list(token_shape)(value, place)
end

local function decoder_shape(value, place)
  local fault = schema.map(TOKEN_RECORD)(value, place)
  for key in pairs(fault and {} or value) do
    local id = key:match("^%d+$") and tonumber(key)
    if not (id and id <= MAX_ID) then
      return ("%s has the id %s, expected an integer from 0 to %d"):format(place,
        schema.show(key), MAX_ID)
    end
  end
  return fault
end

-- What tokenizer_config.json and special_tokens_map.json have in common.
local function with_tokens(fields)
  for _, key in ipairs(M.KEYS) do
    fields[key] = optional(token_shape)
  end
  fields.extra_special_tokens = optional(extra_shape)
  fields.additional_special_tokens = optional(schema.list(token_shape))
  return schema.record(fields)
end

local CONFIG = with_tokens({
  tokenizer_class = optional(schema.string),
  added_tokens_decoder = optional(decoder_shape),
  do_lower_case = optional(boolean),
  strip_accents = optional(boolean),
  tokenize_chinese_chars = optional(boolean),
  add_prefix_space = optional(boolean),
  keep_accents = optional(boolean),
  split_special_tokens = optional(boolean),
})
local MAP = with_tokens({})
local ADDED = schema.map(schema.integer(0, MAX_ID))
local MODEL = schema.record({ tokenizer_class = optional(schema.string),
  model_type = optional(schema.string),
  architectures = optional(schema.list(schema.string)) })

--- A JSON object of a file.
-- @tparam ?string path nil gives an empty table
-- @tparam function shape what it must look like (fsam.base.schema)
-- @treturn table
-- @treturn ?string the file's bytes
-- @raise one line that names the file and the member
function M.document(path, shape)
  if not path then
    return {}
  end
  local bytes = file.read(path, file.VOCABULARY)
  return schema.check(json.decode(bytes, path, false, true), shape, path, ""), bytes
end

-- Adds the keys whose special token a file says to be none: null is not the class's own one.
local function add_nulls(none, text, path)
  if text and text:find(":%s*null") then
    local all = json.decode(text, path, true, true)
    for _, key in ipairs(M.KEYS) do
      none[key] = none[key] or all[key] == json.null
    end
  end
end

--- A token with all of its flags. Those that are not given are false, but for `normalized`, which
-- is then the opposite of `special`.
-- @tparam string|table given
-- @tparam[opt] boolean special what the file's place says of it
-- @treturn table `{ content, special, normalized, lstrip, rstrip, single_word }`
function M.token(given, special)
  local token = type(given) == "table" and given or { content = given }
  if special == nil then
    special = token.special or false
  end
  local normalized = token.normalized
  if normalized == nil then
    normalized = not special
  end
  return { content = token.content, special = special, normalized = normalized,
    lstrip = token.lstrip or false, rstrip = token.rstrip or false,
    single_word = token.single_word or false }
end

local function content_of(given)
  return type(given) == "table" and given.content or given
end

-- Is this the value of a special token, under a key that ends as theirs do?
local function is_own_token(key, value)
  return key:find("_token$") and not IS_KEY[key]
    and (type(value) == "string" or type(value) == "table" and type(value.content) == "string")
end

-- An object of names goes to `own`, a list stays.
local function take_named(given, own)
  local extra = given.extra_special_tokens
  if type(extra) == "table" and not json.is_array(extra) and next(extra) ~= nil then
    for key, value in pairs(extra) do
      own[key] = value
    end
    given.extra_special_tokens = nil
  end
end

local function merge_map(given, map)
  local extra = given.extra_special_tokens
  for key, value in pairs(map) do
    if type(value) == "table" and type(value.content) == "string" then
      value = M.token(value, true)
    end
    given[key] = value
  end
  if json.is_array(map.extra_special_tokens) then
    given.extra_special_tokens = json.array()
    for _, token in ipairs(extra or {}) do
      table.insert(given.extra_special_tokens, token)
    end
    for _, token in ipairs(map.extra_special_tokens) do
      table.insert(given.extra_special_tokens, M.token(token, true))
    end
  end
end

-- The tokens of added_tokens.json, by id.
local function old_added(given, added, by_id)
  local special = {}
  for _, key in ipairs(M.KEYS) do
    special[content_of(given[key]) or 0] = true
  end
  for _, token in ipairs(given.extra_special_tokens or {}) do
    special[content_of(token)] = true
  end
  for content, id in pairs(added) do
    by_id[id] = M.token(content, special[content] or false)
  end
end

-- The tokens that were added to the vocabulary, in the order of their ids. tokenizer_config.json's
-- added_tokens_decoder is the whole truth; without it, it is in three older files.
local function added_tokens(given, map, added, whole)
  local by_id = {}
  if given.added_tokens_decoder then
    for key, token in pairs(given.added_tokens_decoder) do
      by_id[tonumber(key)] = M.token(token)
    end
  else
    merge_map(given, map)
    old_added(given, added, by_id)
    for _, token in ipairs(whole and whole.added_tokens or {}) do
      by_id[token.id] = M.token(token)
    end
  end
  local ids, list = {}, {}
  for id in pairs(by_id) do
    ids[#ids + 1] = id
  end
  table.sort(ids)
  for i, id in ipairs(ids) do
    list[i] = by_id[id]
  end
  return list
end

-- The class that the folder names, or that belongs to its model; nil when nothing tells.
local function class_of(config, model, found)
  if config.tokenizer_class then
    return classes.named(config.tokenizer_class, found.config)
  elseif model.tokenizer_class then
    return classes.named(model.tokenizer_class, found.model)
  elseif model.model_type then
    return classes.of_model(model.model_type, found.model)
  end
  local family = ((model.architectures or {})[1] or ""):match("^(%u%l+)For%u") -- BertForMaskedLM
  return family and classes.of_model(family:lower(), found.model)
end

-- The class by the vocabulary's files alone.
local function class_by_files(found)
  return found.tokenizer and classes.written or found.pieces and classes.bert
    or found.ids and found.merges and classes.roberta or found.sentencepiece_bpe
    and classes.xlm_roberta
end

-- The contents of files that a copy of this tokenizer needs, as they are.
local KEPT = { config = "tokenizer_config.json", specials = "special_tokens_map.json",
  added = "added_tokens.json", tokenizer = "tokenizer.json", pieces = "vocab.txt",
  ids = "vocab.json", merges = "merges.txt", spiece = "spiece.model",
  sentencepiece_bpe = "sentencepiece.bpe.model" }

local function kept_files(found)
  local kept = {}
  for role, name in pairs(KEPT) do
    local path = found[role] -- tokenizer.json may have a version in its name
    kept[path and path:match("[^/]*$") or name] = path and file.read(path, file.VOCABULARY)
  end
  return kept
end

-- The special tokens of the usual keys, with flags.
local function named_tokens(given, added, none)
  local by_content, named = {}, {}
  for _, token in ipairs(added) do
    by_content[token.content] = token
  end
  for _, key in ipairs(M.KEYS) do
    local name = not none[key] and given[key] or nil
    local token = name and (by_content[content_of(name)]
      or M.token(name, type(name) == "string" or nil))
    if token then
      token.special = true
    end
    named[key] = token
  end
  return named
end

-- Those of other keys: keys of the file first, then those of its `extra_special_tokens`, each in
-- the order of the file's text, which decides their ids.
local function own_tokens(given, own, text)
  local keys, place = {}, {}
  for key in pairs(own) do
    place[key] = #text + (text:find('"' .. key .. '"', 1, true) or 0)
  end
  for key, value in pairs(given) do
    if is_own_token(key, value) then
      own[key] = own[key] or value
      place[key] = place[key] or text:find('"' .. key .. '"', 1, true) or 0
    end
  end
  for key in pairs(own) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(x, y)
    if place[x] ~= place[y] then
      return place[x] < place[y]
    end
    return x < y
  end)
  local list = {}
  for i, key in ipairs(keys) do
    list[i] = M.token(own[key], true)
  end
  return list
end

local function extra_tokens(given)
  local list = {}
  for i, token in ipairs(given.extra_special_tokens or given.additional_special_tokens or {}) do
    list[i] = M.token(token, type(token) == "string" or nil)
  end
  return list
end

-- A copy of tokenizer_config.json to which the older files add, with the older key of the tokens
-- without names as the newer one.
local function start(config)
  local given = {}
  for key, value in pairs(config) do
    given[key] = value
  end
  if next(given.extra_special_tokens or {}) == nil and given.additional_special_tokens then
    given.extra_special_tokens = given.additional_special_tokens
    given.additional_special_tokens = nil
  end
  return given
end

--- Reads what a folder says about its tokenizer.
-- @tparam table vocabulary `where` (the folder) and `files`, role → path (fsam.formats)
-- @tparam ?table whole tokenizer.json, checked; nil where there is none
-- @treturn table
--   `class` (classes.lua); `config`: tokenizer_config.json; `named`: key → token with flags, of the
--   special tokens that files name; `none`: key → true where one says null; `own`: list of those
--   with keys of their own; `added`: list of tokens in the order of their ids; `extra`: list of
--   special tokens without names; `kept`: file name → bytes, of what a copy of the tokenizer needs
-- @raise one line that names the file, when one cannot be read or a class is not supported
function M.read(vocabulary, whole)
  local found = vocabulary.files
  local config, text = M.document(found.config, CONFIG)
  local class = class_of(config, M.document(found.model, MODEL), found) or class_by_files(found)
  if not class and found.spiece then
    errors.raise("%s: nothing tells which class reads spiece.model; name it as tokenizer_class in "
      .. "tokenizer_config.json (AlbertTokenizer)", vocabulary.where)
  elseif not class then
    errors.raise("%s: no tokenizer in this folder (looked for tokenizer.json, vocab.txt, "
      .. "vocab.json with merges.txt, sentencepiece.bpe.model, dict.txt with encoder.json and "
      .. "vocab.bpe); --tokenizer takes one from another folder", vocabulary.where)
  end
  local given, own, none = start(config), {}, {}
  take_named(given, own)
  local map, map_text = M.document(found.specials, MAP)
  local added = added_tokens(given, map, M.document(found.added, ADDED), whole)
  take_named(given, own)
  add_nulls(none, text, found.config)
  if not given.added_tokens_decoder then -- with it the older file does not count
    for key in pairs(map) do
      none[key] = nil
    end
    add_nulls(none, map_text, found.specials)
  end
  return { class = class, config = config, kept = kept_files(found), added = added,
    named = named_tokens(given, added, none), none = none, own = own_tokens(given, own, text or ""),
    extra = extra_tokens(given) }
end

return M
