--- Hugging Face folders: config.json and model.safetensors, whole or sharded.
--
-- Owns the way from a path to a model's parameters and back: which files a folder must have, how
-- tensor names vary between versions, which tensors belong to other heads, and what may be missing.
-- The model says which parameters it wants and copies them (`assign`); tokenizer files are the
-- tokenizers'.
local config_json = require("fsam.formats.config")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local folder = require("fsam.formats.atomic_folder")
local header = require("fsam.formats.safetensors.header")
local json = require("fsam.base.json")
local safetensors = require("fsam.formats.safetensors")

local M = {}

-- Parts that a wanted tensor may lack as a whole and then starts new, by the start of their names
-- after the model's prefix is taken away.
local HEAD, POOLER = "classifier.", "pooler."

-- Tensors of pre-training heads and constant buffers, which no classifier uses.
local IGNORED = { "^cls%.", "^lm_head%.", "position_ids$", "embeddings%.token_type_ids$" }

local function weights_of(path)
  for _, name in ipairs({ "model.safetensors", "model.safetensors.index.json" }) do
    if file.kind(path .. "/" .. name) then
      return path .. "/" .. name
    end
  end
  if file.kind(path .. "/pytorch_model.bin") then
    errors.raise("%s has its weights in pytorch_model.bin only; save them as model.safetensors",
      path)
  end
  errors.raise("%s has no model.safetensors", path)
end

--- The folder and the weights' file that a path means.
local function locate(path)
  path = #path > 1 and path:gsub("/+$", "") or path
  local kind = file.kind(path)
  if not kind then
    path = folder.resolve(path) -- a crash while saving may have left only its neighbour
      or errors.raise("%s does not exist; give a Hugging Face folder or a .safetensors file", path)
    kind = "directory"
  end
  if kind == "directory" then
    if not file.kind(path .. "/config.json") then
      errors.raise("%s has no config.json: not a Hugging Face folder", path)
    end
    return path, weights_of(path)
  elseif not (path:find("%.safetensors$") or path:find("%.safetensors%.index%.json$")) then
    errors.raise("%s is neither a Hugging Face folder nor a .safetensors file", path)
  end
  local parent = file.parent(path)
  if not file.kind(parent .. "/config.json") then
    errors.raise("%s has no config.json beside it, which describes its model", path)
  end
  return parent, path
end

--- Opens a model; reads the configuration and the header, no weights yet.
-- @tparam string path a folder, or a .safetensors file with config.json beside it
-- @treturn table path, folder, config (see config.lua), tensors (see safetensors.lua; close it when
--   done)
-- @raise one line that names what is missing, broken or not supported
function M.load(path)
  local where, weights = locate(path)
  local config_path = where .. "/config.json"
  local config = config_json.check(json.decode(file.read(config_path), config_path), config_path)
  local open = weights:find("%.json$") and safetensors.open_index or safetensors.open
  return { path = weights, folder = where, config = config, tensors = open(weights) }
end

--- Our name for a tensor: with the model's prefix, and `weight`/`bias` where old files have
-- `gamma`/`beta`.
local function canonical(name, prefix)
  name = name:gsub("LayerNorm%.gamma$", "LayerNorm.weight"):gsub("LayerNorm%.beta$",
    "LayerNorm.bias")
  if name:find("^embeddings%.") or name:find("^encoder%.") or name:find("^pooler%.") then
    return prefix .. name
  end
  return name
end

local function is_ignored(name, config)
  for _, pattern in ipairs(IGNORED) do
    if name:find(pattern) then
      return true
    end
  end
  -- RoBERTa's classifier reads the first token as it is; some files carry a pooler all the same.
  return config.model_type == "roberta" and name:find("^roberta%.pooler%.") ~= nil
end

--- Sorts the file's tensors: those by canonical name, and the names of those that do not matter.
local function survey(source)
  local found, ignored = {}, {}
  for _, name in ipairs(source.tensors.names) do
    local ours = canonical(name, source.config.prefix)
    if is_ignored(ours, source.config) then
      ignored[#ignored + 1] = header.printable(name)
    elseif found[ours] then
      errors.raise("%s holds tensor %s twice, as %s and as %s", source.path, ours,
        found[ours].name, header.printable(name))
    else
      found[ours] = source.tensors:get(name)
    end
  end
  return found, ignored
end

local function same_shape(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then
      return false
    end
  end
  return true
end

--- Is the file's head, as its configuration has it, for another number of labels?
local function other_labels(source, found, part)
  for _, parameter in ipairs(part) do
    if parameter.name == "classifier.weight" or parameter.name == "classifier.out_proj.weight" then
      local rows = found[parameter.name].shape[1]
      return rows == source.config.num_labels and rows ~= parameter.shape[1]
    end
  end
  return false
end

--- Why a part of the model starts new, or nil when the file has it whole.
local function why_fresh(source, found, part, is_head)
  local missing, present
  for _, parameter in ipairs(part) do
    if found[parameter.name] then
      present = true
    else
      missing = missing or parameter.name
    end
  end
  local class = source.config.architecture
  if not present then
    return "the file has none"
  elseif is_head and class and not class:find("ForSequenceClassification$") then
    return "the file's is for another task (" .. header.printable(class) .. ")"
  elseif missing then
    errors.raise("%s: tensor %s is missing, though others of its part are there", source.path,
      missing)
  elseif is_head and other_labels(source, found, part) then
    return ("the file's is for %d label%s"):format(source.config.num_labels,
      source.config.num_labels == 1 and "" or "s")
  end
  return nil
end

--- Fails unless everything wanted is there, of a float type and of the shape the model has.
local function check_all(source, found, wanted)
  local missing = {}
  for _, parameter in ipairs(wanted) do
    if not found[parameter.name] then
      missing[#missing + 1] = parameter.name
    end
  end
  if #missing > 0 then
    errors.raise("%s lacks %d tensor%s: %s%s", source.path, #missing, #missing == 1 and "" or "s",
      table.concat(missing, ", ", 1, math.min(#missing, 5)), #missing > 5 and ", ..." or "")
  end
  for _, parameter in ipairs(wanted) do
    local entry = found[parameter.name]
    if not same_shape(entry.shape, parameter.shape) then
      errors.raise("%s: tensor %s is %s, config.json asks for %s", source.path,
        header.printable(entry.name), header.shape_text(entry.shape),
        header.shape_text(parameter.shape))
    elseif not entry:is_float() then
      errors.raise("%s: tensor %s is %s, expected F32, F16, BF16 or F64", source.path,
        header.printable(entry.name), entry.dtype)
    end
  end
end

--- The wanted parameters by part: the head, the pooler, and the rest.
local function split(parameters, prefix)
  local parts = { head = {}, pooler = {}, body = {} }
  for _, parameter in ipairs(parameters) do
    local name = parameter.name
    local part = name:sub(1, #HEAD) == HEAD and parts.head
      or name:sub(1, #prefix + #POOLER) == prefix .. POOLER and parts.pooler or parts.body
    part[#part + 1] = parameter
  end
  return parts
end

local function append(list, more)
  for _, item in ipairs(more) do
    list[#list + 1] = item
  end
end

--- Gives a model its parameters from a file. Everything is checked before the first is copied.
--
-- The head (`classifier.*`) starts new when the file has none, or one for another task or number of
-- labels; BERT's pooler when the file has none. Whatever else is missing is an error.
-- @tparam table source from `load`
-- @tparam {table,…} parameters name (as Transformers' class for sequence classification has it,
--   "bert.embeddings.word_embeddings.weight") and shape, of all parameters of the model
-- @tparam function copy called as copy(parameter, entry), entry as in safetensors.lua
-- @treturn table `fresh` (list of parameters that were not copied), `reasons` (list of texts, one
--   for each part that starts new), `unexpected` and `ignored` (lists of names in the file)
-- @raise one line that names the tensors that are missing or do not fit
function M.assign(source, parameters, copy)
  local found, ignored = survey(source)
  local parts = split(parameters, source.config.prefix)
  local report = { fresh = {}, reasons = {}, unexpected = {}, ignored = ignored }
  local wanted = {}
  append(wanted, parts.body)
  for _, part in ipairs({ "pooler", "head" }) do
    local list = parts[part]
    local reason = #list > 0 and why_fresh(source, found, list, part == "head")
    append(reason and report.fresh or wanted, list)
    if reason then
      report.reasons[#report.reasons + 1] = ("new %s: %s"):format(part, reason)
    end
  end
  check_all(source, found, wanted)
  for _, parameter in ipairs(wanted) do
    copy(parameter, found[parameter.name])
  end
  for _, parameter in ipairs(parameters) do
    found[parameter.name] = nil
  end
  for _, entry in pairs(found) do
    report.unexpected[#report.unexpected + 1] = header.printable(entry.name)
  end
  table.sort(report.unexpected)
  return report
end

--- Writes config.json and model.safetensors into an existing folder, all on the disk afterwards.
-- @tparam string path
-- @tparam table config
-- @tparam {table,…} parameters name, shape, data (as for safetensors.write); all are f32
-- @raise naming the path when the disk is full or fails
function M.save(path, config, parameters)
  file.write(path .. "/config.json", config_json.encode(config))
  local tensors = {}
  for i, p in ipairs(parameters) do
    tensors[i] = { name = p.name, dtype = "F32", shape = p.shape, data = p.data }
  end
  safetensors.write(path .. "/model.safetensors", tensors)
end

return M
