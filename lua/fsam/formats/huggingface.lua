--- Hugging Face folders: config.json, model.safetensors or pytorch_model.bin (whole or sharded), a
-- tokenizer's files.
--
-- Owns: which files such a folder has, and what each is for. Leaves to others: what a configuration
-- and the names of tensors mean (fsam.models), what a vocabulary means (fsam.text).
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local others = require("fsam.formats.others")
local pytorch = require("fsam.formats.pytorch")
local safetensors = require("fsam.formats.safetensors")

local M = {}

-- The files of a tokenizer by their role.
local VOCABULARY = {
  tokenizer = "tokenizer.json",
  config = "tokenizer_config.json",
  specials = "special_tokens_map.json",
  added = "added_tokens.json",
  model = "config.json",
  pieces = "vocab.txt",
  ids = "vocab.json",
  merges = "merges.txt",
  dictionary = "dict.txt", -- fairseq's, with GPT-2's two files
  encoder = "encoder.json",
  encoder_merges = "vocab.bpe",
  spiece = "spiece.model", -- SentencePiece's, under the two names that are in use
  sentencepiece_bpe = "sentencepiece.bpe.model",
}

local function weights_of(path)
  for _, name in ipairs({ "model.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json" }) do
    if file.kind(path .. "/" .. name) then
      return path .. "/" .. name
    end
  end
  errors.raise("%s %s", path, others.folder_hint(path)
    or "has neither model.safetensors nor pytorch_model.bin")
end

-- Opens weights by what their name says they are.
local function open_weights(path)
  local open = path:find("%.bin") and pytorch.open or safetensors.open
  return path:find("%.json$") and safetensors.open_index(path, open) or open(path)
end

--- Is this a folder? Of the formats after run_folder.lua no other is one. (The functions of a
-- format: fsam.formats.)
function M.recognises(_, kind)
  return kind == "directory"
end

-- A version as a number that orders it: 4.10.0 is above 4.9.0.
local function order(version)
  local value, place = 0, 1
  for part in version:gmatch("%d+") do
    value, place = value + tonumber(part) * place, place / 1000
  end
  return value
end

-- Where tokenizer_config.json lists files such as tokenizer.4.0.0.json, for Transformers of that
-- version or a later one, the last of them counts and tokenizer.json does not. nil where it lists
-- none.
local function versioned_tokenizer(path)
  local config = path .. "/" .. VOCABULARY.config
  local ok, document = pcall(function()
    return file.kind(config) and json.decode(file.read(config, file.VOCABULARY), config)
  end)
  local listed = ok and type(document) == "table" and document.fast_tokenizer_files
  local newest
  for _, name in ipairs(type(listed) == "table" and listed or {}) do
    local version = type(name) == "string" and name:match("^tokenizer%.([%d.]+)%.json$")
    if version and (not newest or order(version) > order(newest)) then
      newest = version
    end
  end
  local found = newest and ("%s/tokenizer.%s.json"):format(path, newest)
  if found and not file.kind(found) then
    errors.raise("%s lists %s, which is not there", config, found)
  end
  return found or nil
end

--- The files of a tokenizer.
-- @tparam string path a folder
-- @treturn table `where` (the folder) and `files`, role → path of each file that exists; the roles
--   are tokenizer, config, specials, added, model (config.json), pieces, ids, merges, dictionary,
--   encoder, encoder_merges, spiece and sentencepiece_bpe (SentencePiece's models)
-- @raise one line that names a file, when the system does not say whether it is there
function M.vocabulary(path)
  local files = {}
  for role, name in pairs(VOCABULARY) do
    files[role] = file.kind(path .. "/" .. name) and path .. "/" .. name
  end
  files.tokenizer = versioned_tokenizer(path) or files.tokenizer
  return { where = path, files = files }
end

--- Opens weights over a folder.
-- @tparam string path the folder
-- @tparam string weights a .safetensors or .bin file, or an index of shards
-- @tparam[opt] table tensors those of the file, when it is open already
-- @treturn table a source (fsam.formats)
-- @raise one line that names what is broken, or says that no config.json describes the model
function M.source(path, weights, tensors)
  local config_path = path .. "/config.json"
  if not file.kind(config_path) then
    errors.raise("%s has no config.json beside it, which describes its model", weights)
  end
  local config = json.decode(file.read(config_path), config_path, false, true)
  return { path = weights, where = path, config = config, config_path = config_path,
    tensors = tensors or open_weights(weights), vocabulary = M.vocabulary(path) }
end

--- Opens a folder.
-- @tparam string path
-- @treturn table a source (fsam.formats)
-- @raise one line that names what is missing or broken
function M.open(path)
  if not file.kind(path .. "/config.json") then
    errors.raise("%s %s", path, others.folder_hint(path)
      or "has no config.json: not a Hugging Face folder")
  end
  return M.source(path, weights_of(path))
end

--- Writes config.json and model.safetensors into an existing folder, and puts both on the disk.
-- @tparam string path
-- @tparam string config the text of config.json
-- @tparam {table,…} parameters name, shape, data (as for safetensors.write); all are f32
-- @raise one line with the path when the disk is full or fails
function M.save(path, config, parameters)
  file.write(path .. "/config.json", config)
  local tensors = {}
  for i, p in ipairs(parameters) do
    tensors[i] = { name = p.name, dtype = "F32", shape = p.shape, data = p.data }
  end
  safetensors.write(path .. "/model.safetensors", tensors)
end

return M
