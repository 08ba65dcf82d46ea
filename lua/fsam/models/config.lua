--- A model's configuration: the fields of config.json, checked, and written back.
--
-- Owns: reading and checking the fields that a family declares (families/NAME.lua), and the labels.
-- Fields that no family declares are kept for saving. A configuration is a plain table:
--   model_type, family (fsam.models.families), the family's fields, labels (list of names:
--   labels[1] is class 0), num_labels, problem_type (or nil), head_fault (why the file's own head
--   cannot be used, or nil), architecture (the class that the file names, or nil), raw (the fields
--   of the file).
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local json = require("fsam.base.json")
local problems = require("fsam.data.problems")
local registry = require("fsam.base.registry")

local M = {}

local function show(value)
  if type(value) == "string" then
    return '"' .. value:sub(1, 60):gsub("%c", "?") .. '"'
  end
  return type(value) == "table" and "a table" or tostring(value)
end

-- A number of raw within its bounds; `whole` asks for an integer.
local function number(raw, source, field, low, high, default, whole)
  local value = raw[field]
  if value == nil then
    value = default
  end
  if value == nil then
    errors.raise("%s has no %s", source, field)
  elseif type(value) ~= "number" or not (value >= low and value <= high)
      or (whole and value % 1 ~= 0) then
    errors.raise("%s: %s is %s, expected %s from %.17g to %.17g", source, field, show(value),
      whole and "an integer" or "a number", low, high)
  end
  return value
end

-- A bound or a default, which may be a function of the fields before it.
local function given(value, config)
  if type(value) == "function" then
    return value(config)
  end
  return value
end

-- A field's name in config.json.
local function name_of(f)
  return f.file or f[1]
end

-- Reads a field that is one of a few words, and sets the field `as` to what the word means.
local function read_word(config, raw, source, f)
  local value = raw[name_of(f)] or f.default
  config[f[1]], config[f.as] = value, f.words[value]
  if not f.words[value] then
    errors.raise("%s: %s is %s; supported are %s", source, name_of(f), show(value), f.supported)
  end
end

local function read_number(config, raw, source, f)
  local name = name_of(f)
  local value = number(raw, source, name, f[2], given(f[3], config), given(f[4], config), f.whole)
  if f.below and value >= f.below then
    errors.raise("%s: %s is %g, expected less than %g", source, name, value, f.below)
  end
  config[f[1]] = value
end

local function read_field(config, raw, source, f)
  if f.fixed then
    config[f[1]] = f.fixed
  elseif f.words then
    read_word(config, raw, source, f)
  else
    read_number(config, raw, source, f)
  end
end

-- The names LABEL_0, LABEL_1, …, which Transformers gives to labels without a name.
local function numbered(count)
  local list = {}
  for i = 1, count do
    list[i] = "LABEL_" .. (i - 1)
  end
  return list
end

-- An entry of id2label as an id and a name. Numbers are names too: people write { 0 = 0, 1 = 1 }.
local function read_label(id, name, source)
  local index = type(id) == "string" and id:match("^%d+$") and tonumber(id)
  if type(name) == "number" then
    name = ("%.14g"):format(name)
  end
  if not index or type(name) ~= "string" then
    errors.raise("%s: id2label has %s: %s, expected an id and a name", source, show(id), show(name))
  end
  return index, name
end

-- The label names in order of their ids; and why a head with these labels cannot be used, or nil.
-- A head for another task is replaced, whatever its labels are.
local function labels_of(raw, source)
  local names = raw.id2label
  if names == nil then
    return numbered(number(raw, source, "num_labels", 1, 2 ^ 16, 2, true))
  elseif type(names) ~= "table" or json.is_array(names) or next(names) == nil then
    errors.raise("%s: id2label is not an object of label names", source)
  end
  local ids, by_id = {}, {}
  for id, name in pairs(names) do
    local index, text = read_label(id, name, source)
    ids[#ids + 1], by_id[index] = index, text
  end
  table.sort(ids)
  local list, fault = {}, nil
  for i, id in ipairs(ids) do
    list[i] = by_id[id]
    if id ~= i - 1 then -- "0" and "00" are one id
      fault = ("the ids of id2label are not 0 to %d"):format(#ids - 1)
    end
  end
  if not fault and raw.num_labels ~= nil and raw.num_labels ~= #ids then
    fault = ("num_labels is %s, id2label has %d names"):format(show(raw.num_labels), #ids)
  end
  return list, fault
end

-- Refuses what no family computes.
local function check_unsupported(raw, source)
  local kind = raw.position_embedding_type
  if kind ~= nil and kind ~= "absolute" then
    errors.raise("%s: position_embedding_type is %s; only absolute is supported", source,
      show(kind))
  elseif raw.is_decoder == true or raw.add_cross_attention == true then
    errors.raise("%s describes a decoder; only encoders are supported", source)
  end
end

local function read_task(config, raw, source)
  config.problem_type = raw.problem_type
  config.labels, config.head_fault = labels_of(raw, source)
  config.num_labels = #config.labels
  if config.problem_type ~= nil and not registry.contains(problems.NAMES, config.problem_type) then
    config.head_fault = ("problem_type is %s; supported are %s"):format(show(config.problem_type),
      table.concat(problems.NAMES, ", "))
  end
  if config.problem_type == "regression" and config.num_labels > 1 then
    config.head_fault = ("problem_type is regression, which has one number here, but there are %d "
      .. "labels"):format(config.num_labels)
  end
  local class = type(raw.architectures) == "table" and raw.architectures[1]
  config.architecture = type(class) == "string" and class or nil
end

-- The family of a file: by its model_type, or, as files of 2018 to 2020 have none, by the model's
-- class in `architectures`: BertForMaskedLM, RobertaModel.
local function family_of(raw, source)
  local class = type(raw.architectures) == "table" and raw.architectures[1]
  if raw.model_type == nil and type(class) == "string" then
    for _, name in ipairs(families.names()) do
      local stem = families.get(name).class:match("^(%u%w-)For%u")
      if stem and (class:find("^" .. stem .. "For%u") or class == stem .. "Model") then
        return name
      end
    end
  elseif raw.model_type == nil then
    errors.raise("%s has neither model_type nor architectures, so what model it is is not known; "
      .. "add \"model_type\", one of %s", source, table.concat(families.names(), ", "))
  end
  return raw.model_type
end

--- Checks the fields of a configuration. Defaults are those of Transformers' configuration classes.
-- @tparam table raw as decoded from config.json, or written by hand
-- @tparam string source its path, or another name for messages
-- @treturn table the configuration (see the head of this file)
-- @raise one line that names the source, the field, its value and the valid values
function M.check(raw, source)
  if type(raw) ~= "table" or json.is_array(raw) then
    errors.raise("%s is not a JSON object", source)
  end
  local model_type = family_of(raw, source)
  local family = type(model_type) == "string" and families.get(model_type)
  if not family then
    errors.raise("%s: model_type is %s; supported are %s", source,
      model_type == nil and "missing" or show(model_type),
      table.concat(families.names(), ", "))
  end
  local config = { model_type = model_type, family = family, raw = raw }
  check_unsupported(raw, source)
  for _, field in ipairs(family.fields) do
    read_field(config, raw, source, field)
  end
  read_task(config, raw, source)
  if family.check then
    family.check(config, source)
  end
  return config
end

--- Refuses a configuration whose own labels do not say what its head computes.
-- @tparam table config
-- @tparam string source its path, for messages
-- @raise one line
function M.check_head(config, source)
  if config.head_fault then
    errors.raise("%s: %s", source, config.head_fault)
  end
end

--- The same model for another task: returns a new table and leaves the given one unchanged.
-- @tparam table config
-- @tparam ?{string,…} labels names in order of their ids; nil: regression, one number
-- @tparam[opt] string problem_type of fsam.data.problems; default: by the labels
-- @treturn table config
function M.with_labels(config, labels, problem_type)
  local copy = {}
  for key, value in pairs(config) do
    copy[key] = value
  end
  copy.labels = labels or { "LABEL_0" }
  copy.num_labels = #copy.labels
  copy.problem_type = problem_type or labels and "single_label_classification" or "regression"
  copy.head_fault = nil
  return copy
end

-- A field of a file, where JSON has no number for infinities and NaN: these become null.
local function writable(value)
  if type(value) == "number" and value - value ~= 0 then
    return json.null
  elseif type(value) ~= "table" or value == json.null then
    return value
  end
  local copy = json.is_array(value) and json.array() or {}
  for key, item in pairs(value) do
    copy[key] = writable(item)
  end
  return copy
end

--- The text of config.json: unknown fields unchanged, ours with their present values, the labels,
-- and the class with which Transformers loads the model.
-- @tparam table config
-- @treturn string
function M.encode(config)
  local out = {}
  for key, value in pairs(config.raw) do
    out[key] = writable(value)
  end
  for _, field in ipairs(config.family.fields) do
    if not field.fixed then
      out[name_of(field)] = config[field[1]]
    end
  end
  out.model_type, out.problem_type = config.model_type, config.problem_type
  out.num_labels, out._num_labels = nil, nil -- Transformers counts id2label
  out.id2label, out.label2id = {}, {}
  for i, name in ipairs(config.labels) do
    out.id2label[tostring(i - 1)] = name
    out.label2id[name] = i - 1
  end
  out.architectures = json.array({ config.family.class })
  out.dtype, out.torch_dtype = nil, "float32" -- the name that every version reads
  return json.encode(out, { indent = true }) .. "\n"
end

return M
