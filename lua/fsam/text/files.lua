--- The files of a tokenizer: the names and flags of its special tokens, and writing.
--
-- Owns: what tokenizer_config.json means, and what `save` writes. Leaves to others: what the
-- vocabulary files mean (init.lua, tokenizer_json.lua).
local file = require("fsam.base.file")
local json = require("fsam.base.json")

local M = {}

-- The role of each special token here, its key in tokenizer_config.json, its usual name by kind.
local ROLES = {
  { "pad", "pad_token", wordpiece = "[PAD]", bpe = "<pad>" },
  { "unk", "unk_token", wordpiece = "[UNK]", bpe = "<unk>" },
  { "cls", "cls_token", wordpiece = "[CLS]", bpe = "<s>" },
  { "sep", "sep_token", wordpiece = "[SEP]", bpe = "</s>" },
  { "mask", "mask_token", wordpiece = "[MASK]", bpe = "<mask>" },
}

local FLAGS = { "lstrip", "rstrip", "single_word", "normalized", "special" }

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

--- Copies the flags that a file gives for a token.
local function take_flags(token, given)
  for _, flag in ipairs(FLAGS) do
    if type(given) == "table" and type(given[flag]) == "boolean" then
      token[flag] = given[flag]
    end
  end
end

--- The added tokens of a tokenizer that has no tokenizer.json: the special ones that are in the
-- vocabulary, and those of tokenizer_config.json's `added_tokens_decoder`. Where both give a flag,
-- the decoder's counts. RoBERTa's <mask> takes the space before it unless a file gives its flag.
-- @tparam table config tokenizer_config.json
-- @tparam string kind "wordpiece" or "bpe"
-- @tparam table ids map from piece to id
-- @treturn {table,…} `{ content, id, special, normalized, lstrip, rstrip, single_word }`
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

-- -- writing --------------------------------------------------------------------------------------

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

--- vocab.json, with ids ascending, which is the usual order.
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

--- The content of tokenizer_config.json for a tokenizer that came without one.
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

--- Writes a tokenizer's files into an existing folder. The files that it was read from are written
-- unchanged; the others are made from it.
-- @tparam table tokenizer see tokenizer.lua
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
    file.write(path .. "/" .. name, bytes)
  end
end

return M
