--- The files of a tokenizer: reading them whole, the names of the special tokens, writing.
--
-- Owns what tokenizer_config.json says and what `save` writes. What the vocabulary files mean is
-- init.lua's and tokenizer_json.lua's.
local C = require("fsam.C")
local errors = require("fsam.errors")
local json = require("fsam.base.json")

local ffi = C.ffi

local M = {}

-- The role of each special token here, its key in tokenizer_config.json, its usual name.
local ROLES = {
  { "pad", "pad_token", wordpiece = "[PAD]", bpe = "<pad>" },
  { "unk", "unk_token", wordpiece = "[UNK]", bpe = "<unk>" },
  { "cls", "cls_token", wordpiece = "[CLS]", bpe = "<s>" },
  { "sep", "sep_token", wordpiece = "[SEP]", bpe = "</s>" },
  { "mask", "mask_token", wordpiece = "[MASK]", bpe = "<mask>" },
}

local FLAGS = { "lstrip", "rstrip", "single_word", "normalized", "special" }

--- The bytes of a file, or nil when there is none.
-- @raise when it is there but cannot be read
function M.read(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local bytes, reason = file:read("*a")
  file:close()
  if not bytes then
    errors.raise("cannot read %s: %s", path, reason)
  end
  return bytes
end

--- A JSON object from a file, or nil when there is none.
function M.read_object(path)
  local bytes = M.read(path)
  local object = bytes and json.decode(bytes, path)
  if bytes and (type(object) ~= "table" or json.is_array(object)) then
    errors.raise("%s: expected a JSON object", path)
  end
  return object, bytes
end

--- The names of the special tokens, by role.
-- @tparam table config tokenizer_config.json; a name is a string or a table with `content`
-- @tparam string kind "wordpiece" or "bpe"
-- @treturn table map from role (pad, unk, cls, sep, mask) to name
function M.names(config, kind)
  local names = {}
  for _, role in ipairs(ROLES) do
    local given = config[role[2]]
    if type(given) == "table" then
      given = given.content
    end
    names[role[1]] = type(given) == "string" and given or role[kind]
  end
  return names
end

--- Copies the flags that a file gives of a token.
local function take_flags(token, given)
  for _, flag in ipairs(FLAGS) do
    if type(given) == "table" and type(given[flag]) == "boolean" then
      token[flag] = given[flag]
    end
  end
end

--- The added tokens of a tokenizer that has no tokenizer.json: the special ones that are in the
-- vocabulary, and those of tokenizer_config.json's `added_tokens_decoder`, which has the last word
-- on flags. Unless it says otherwise, RoBERTa's <mask> takes the space before it.
-- @tparam table config
-- @tparam string kind
-- @tparam table ids map from piece to id
-- @treturn table list as tokenizer.lua wants it
function M.special_tokens(config, kind, ids)
  local list, by_id = {}, {}
  local names = M.names(config, kind)
  for _, role in ipairs(ROLES) do
    local content = names[role[1]]
    if ids[content] and not by_id[ids[content]] then
      local token = { content = content, id = ids[content], special = true }
      token.lstrip = kind == "bpe" and role[1] == "mask"
      take_flags(token, config[role[2]])
      list[#list + 1] = token
      by_id[token.id] = token
    end
  end
  local decoder = config.added_tokens_decoder
  for key, given in pairs(type(decoder) == "table" and decoder or {}) do
    local id = tonumber(key:match("^%d+$"))
    local content = type(given) == "table" and given.content
    if id and type(content) == "string" and (ids[content] or id) == id then
      local token = by_id[id]
      if not token then
        token = { content = content, id = id }
        list[#list + 1] = token
      end
      take_flags(token, given)
    end
  end
  return list
end

-- Writing -----------------------------------------------------------------------------------------

local function write(path, bytes)
  local out = ffi.new("fsam_writer *[1]")
  C.check(C.lib.fsam_writer_open(out, path))
  local rc = C.lib.fsam_writer_write(out[0], bytes, #bytes)
  if rc < 0 then
    C.lib.fsam_writer_abandon(out[0])
    C.check(rc)
  end
  C.check(C.lib.fsam_writer_close(out[0]))
end

--- vocab.txt, or nil when the ids have gaps, which that file cannot express.
local function vocab_txt(tokenizer)
  local lines = {}
  for id = 0, tokenizer.vocab_size - 1 do
    local token = tokenizer:token_of(id)
    if not token or token:find("[\r\n]") then
      return nil
    end
    lines[id + 1] = token .. "\n"
  end
  return table.concat(lines)
end

--- vocab.json, ids ascending as everybody writes it.
local function vocab_json(tokenizer)
  local order = {}
  for piece in pairs(tokenizer.model.ids) do
    order[#order + 1] = piece
  end
  local ids = tokenizer.model.ids
  table.sort(order, function(a, b)
    return ids[a] < ids[b]
  end)
  return json.encode(ids, { order = order })
end

local function merges_txt(tokenizer)
  local lines = { "#version: 0.2\n" }
  for i, merge in ipairs(tokenizer.model.merges) do
    lines[i + 1] = merge[1] .. " " .. merge[2] .. "\n"
  end
  return table.concat(lines)
end

--- What tokenizer_config.json says of a tokenizer that came without one.
local function config_of(tokenizer)
  local config, model = {}, tokenizer.model
  for _, role in ipairs(ROLES) do
    config[role[2]] = tokenizer.names[role[1]]
  end
  config.added_tokens_decoder = {}
  for _, token in ipairs(tokenizer.added) do
    local entry = { content = token.content }
    for _, flag in ipairs(FLAGS) do
      entry[flag] = token[flag] or false
    end
    config.added_tokens_decoder[tostring(token.id)] = entry
  end
  if tokenizer.kind == "bpe" then
    config.tokenizer_class = "RobertaTokenizer"
    config.add_prefix_space = model.add_prefix_space
    config.bos_token, config.eos_token = config.cls_token, config.sep_token
  else
    local normalizer = model.normalizer
    config.tokenizer_class = "BertTokenizer"
    config.do_lower_case = normalizer.lowercase
    config.strip_accents = normalizer.strip_accents
    config.tokenize_chinese_chars = normalizer.chinese
  end
  return config
end

--- Writes a tokenizer's files into an existing folder: those that it was read from as they were,
-- the others made from it.
-- @tparam table tokenizer
-- @tparam string path
-- @raise one line that names the file, when one cannot be written
function M.save(tokenizer, path)
  local files = {}
  local config = config_of(tokenizer)
  files["tokenizer_config.json"] = json.encode(config, { indent = true }) .. "\n"
  local map = { bos_token = config.bos_token, eos_token = config.eos_token }
  for _, role in ipairs(ROLES) do
    map[role[2]] = tokenizer.names[role[1]]
  end
  files["special_tokens_map.json"] = json.encode(map, { indent = true }) .. "\n"
  if tokenizer.kind == "bpe" then
    files["vocab.json"] = vocab_json(tokenizer)
    files["merges.txt"] = merges_txt(tokenizer)
  else
    files["vocab.txt"] = vocab_txt(tokenizer)
  end
  for name, bytes in pairs(tokenizer.files) do
    files[name] = bytes
  end
  for name, bytes in pairs(files) do
    write(path .. "/" .. name, bytes)
  end
end

return M
