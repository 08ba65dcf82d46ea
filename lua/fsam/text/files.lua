--- Writing a tokenizer's files.
--
-- Owns: what `save` writes, so that Transformers reads the same ids from it. Leaves to others: what
-- the files mean (folder.lua, tokenizer_json.lua).
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local tokens = require("fsam.text.tokens")

local M = {}

local FLAGS = { "lstrip", "rstrip", "single_word", "normalized", "special" }

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

--- The content of tokenizer_config.json for a tokenizer made in memory.
local function config_of(tokenizer)
  local config, model = {}, tokenizer.model
  for _, role in ipairs(tokens.ROLES) do
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

--- The files of a tokenizer made in memory.
local function files_in_memory(tokenizer)
  local files, config = {}, config_of(tokenizer)
  files["tokenizer_config.json"] = json.encode(config, { indent = true }) .. "\n"
  local map = { bos_token = config.bos_token, eos_token = config.eos_token }
  for _, role in ipairs(tokens.ROLES) do
    map[role[2]] = tokenizer.names[role[1]]
  end
  files["special_tokens_map.json"] = json.encode(map, { indent = true }) .. "\n"
  if tokenizer.kind == "bpe" then
    files["vocab.json"] = vocab_json(tokenizer)
    files["merges.txt"] = merges_txt(tokenizer)
  else
    files["vocab.txt"] = vocab_txt(tokenizer)
  end
  return files
end

--- The names of special tokens that a tokenizer.json has among its added tokens, for a folder
-- without tokenizer_config.json: naming these there changes no id.
local function known_names(tokenizer)
  local config = {}
  for _, role in ipairs(tokens.ROLES) do
    for _, token in ipairs(tokenizer.added) do
      if token.content == tokenizer.names[role[1]] then
        config[role[2]] = token.content
      end
    end
  end
  return config
end

--- tokenizer_config.json of a tokenizer from a folder: its own, with the class where it names none,
-- since the class may have come from a config.json that the new folder does not get. The order of
-- its members decides ids, so the text behind the class is unchanged.
local function named_class(tokenizer)
  local bytes = tokenizer.files["tokenizer_config.json"]
  if not bytes then
    local config = tokenizer.class.written and known_names(tokenizer) or {}
    config.tokenizer_class = tokenizer.class.name
    return json.encode(config, { indent = true }) .. "\n"
  end
  local config = json.decode(bytes, "tokenizer_config.json", true)
  if type(config.tokenizer_class) == "string" then
    return bytes
  elseif config.tokenizer_class == json.null then
    config.tokenizer_class = tokenizer.class.name
    return json.encode(config, { indent = true }) .. "\n"
  end
  local comma = next(config) ~= nil and "," or ""
  return (bytes:gsub("{", ('{\n  "tokenizer_class": "%s"%s'):format(tokenizer.class.name, comma),
    1))
end

--- Writes a tokenizer's files into an existing folder. The files that it was read from are written
-- unchanged, but that tokenizer_config.json names the class; for a tokenizer made in memory they
-- are made from it.
-- @tparam table tokenizer see tokenizer.lua
-- @tparam string path
-- @raise one line that names the file, when one cannot be written
function M.save(tokenizer, path)
  local files = tokenizer.class and {} or files_in_memory(tokenizer)
  for name, bytes in pairs(tokenizer.files or {}) do
    files[name] = bytes
  end
  if tokenizer.class then
    files["tokenizer_config.json"] = named_class(tokenizer)
  end
  for name, bytes in pairs(files) do
    file.write(path .. "/" .. name, bytes)
  end
end

return M
