--- config.json of a Hugging Face model: read into a checked table, and written back.
--
-- Owns which models and values we support, their defaults, and the labels. Fields that we do not
-- know are kept for saving. A config is a plain table:
--   model_type ("bert", "roberta"), vocab_size, hidden_size, num_hidden_layers,
--   num_attention_heads, intermediate_size, max_position_embeddings, type_vocab_size, pad_token_id,
--   hidden_act and gelu ("erf", "tanh"), layer_norm_eps, initializer_range,
--   hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout (a number always),
--   labels (list of names: labels[1] is class 0), num_labels, problem_type (or nil),
--   prefix ("bert."), architecture (what the file named, or nil), raw (the fields as they were).
--
-- Defaults are those of Transformers' configuration classes.
local errors = require("fsam.errors")
local json = require("fsam.base.json")

local M = {}

--- Supported model types: the prefix of their tensors, the class that they are saved under.
M.MODELS = {
  bert = { prefix = "bert.", class = "BertForSequenceClassification", pad_token_id = 0 },
  roberta = { prefix = "roberta.", class = "RobertaForSequenceClassification", pad_token_id = 1 },
}
local SUPPORTED = "bert, roberta"

-- hidden_act by name: the form of GELU that it means.
local GELU = { gelu = "erf", gelu_python = "erf", gelu_new = "tanh", gelu_pytorch_tanh = "tanh",
  gelu_fast = "tanh" }

-- Name, lowest, highest, default (none: required).
local INTEGERS = {
  { "vocab_size", 1, 2 ^ 24 },
  { "hidden_size", 1, 2 ^ 16 },
  { "num_hidden_layers", 1, 1000 },
  { "num_attention_heads", 1, 2 ^ 16 },
  { "intermediate_size", 1, 2 ^ 20 },
  { "max_position_embeddings", 1, 2 ^ 24 },
  { "type_vocab_size", 1, 2 ^ 16, 2 },
}
local NUMBERS = {
  { "layer_norm_eps", 0, 1, 1e-12 },
  { "initializer_range", 0, 10, 0.02 },
  { "hidden_dropout_prob", 0, 1, 0.1 },
  { "attention_probs_dropout_prob", 0, 1, 0.1 },
}

local PROBLEM_TYPES = { regression = true, single_label_classification = true }

local function show(value)
  if type(value) == "string" then
    return '"' .. value:sub(1, 60):gsub("%c", "?") .. '"'
  end
  return type(value) == "table" and "a table" or tostring(value)
end

--- A number of raw within its bounds; `integer` asks for a whole one.
local function number(raw, source, field, low, high, default, integer)
  local value = raw[field]
  if value == nil then
    value = default
  end
  if value == nil then
    errors.raise("%s has no %s", source, field)
  elseif type(value) ~= "number" or not (value >= low and value <= high)
      or (integer and value % 1 ~= 0) then
    errors.raise("%s: %s is %s, expected %s from %.17g to %.17g", source, field, show(value),
      integer and "an integer" or "a number", low, high)
  end
  return value
end

local function check_dropout(config, source, field)
  if config[field] >= 1 then
    errors.raise("%s: %s is %g, expected less than 1", source, field, config[field])
  end
end

--- The label names in order of their ids.
local function labels_of(raw, source)
  local names = raw.id2label
  if names == nil then
    local count = number(raw, source, "num_labels", 1, 2 ^ 16, 2, true)
    local list = {}
    for i = 1, count do
      list[i] = "LABEL_" .. (i - 1)
    end
    return list
  end
  if type(names) ~= "table" or json.is_array(names) or next(names) == nil then
    errors.raise("%s: id2label is not an object of label names", source)
  end
  local list, count = {}, 0
  for id, name in pairs(names) do
    local index = type(id) == "string" and id:match("^%d+$") and tonumber(id)
    if not index or type(name) ~= "string" then
      errors.raise("%s: id2label has %s: %s, expected an id and a name", source, show(id),
        show(name))
    end
    list[index + 1] = name
    count = count + 1
  end
  if #list ~= count then
    errors.raise("%s: the ids of id2label are not 0 to %d", source, count - 1)
  elseif raw.num_labels ~= nil and raw.num_labels ~= count then
    errors.raise("%s: num_labels is %s, id2label has %d names", source, show(raw.num_labels), count)
  end
  return list
end

local function check_unsupported(raw, source)
  local kind = raw.position_embedding_type
  if kind ~= nil and kind ~= "absolute" then
    errors.raise("%s: position_embedding_type is %s; only absolute is supported", source,
      show(kind))
  elseif raw.is_decoder == true or raw.add_cross_attention == true then
    errors.raise("%s describes a decoder; only encoders are supported", source)
  elseif raw.embedding_size ~= nil and raw.embedding_size ~= raw.hidden_size then
    errors.raise("%s: embedding_size is %s; it must equal hidden_size", source,
      show(raw.embedding_size))
  end
end

local function check_fits(config, source)
  if config.hidden_size % config.num_attention_heads ~= 0 then
    errors.raise("%s: hidden_size %d is not divisible by num_attention_heads %d", source,
      config.hidden_size, config.num_attention_heads)
  elseif config.model_type == "roberta"
      and config.max_position_embeddings <= config.pad_token_id + 1 then
    errors.raise("%s: max_position_embeddings %d leaves no position after the padding's %d", source,
      config.max_position_embeddings, config.pad_token_id)
  elseif config.layer_norm_eps == 0 then
    errors.raise("%s: layer_norm_eps is 0", source)
  end
end

--- Checks the fields of a configuration.
-- @tparam table raw as decoded from config.json, or written by hand
-- @tparam string source its path, or what else to call it in messages
-- @treturn table the config (see the head of this file)
-- @raise one line that names the source, the field, what it is and what it may be
function M.check(raw, source)
  if type(raw) ~= "table" or json.is_array(raw) then
    errors.raise("%s is not a JSON object", source)
  end
  local model = M.MODELS[raw.model_type]
  if not model then
    errors.raise("%s: model_type is %s; supported are %s", source, show(raw.model_type), SUPPORTED)
  end
  local config = { model_type = raw.model_type, prefix = model.prefix, raw = raw,
    problem_type = raw.problem_type, hidden_act = raw.hidden_act or "gelu" }
  check_unsupported(raw, source)
  for _, f in ipairs(INTEGERS) do
    config[f[1]] = number(raw, source, f[1], f[2], f[3], f[4], true)
  end
  for _, f in ipairs(NUMBERS) do
    config[f[1]] = number(raw, source, f[1], f[2], f[3], f[4])
  end
  config.pad_token_id = number(raw, source, "pad_token_id", 0, config.vocab_size - 1,
    model.pad_token_id, true)
  config.classifier_dropout = number(raw, source, "classifier_dropout", 0, 1,
    config.hidden_dropout_prob)
  for _, field in ipairs({ "hidden_dropout_prob", "attention_probs_dropout_prob",
    "classifier_dropout" }) do
    check_dropout(config, source, field)
  end
  config.gelu = GELU[config.hidden_act]
  if not config.gelu then
    errors.raise("%s: hidden_act is %s; supported are gelu and gelu_new", source,
      show(config.hidden_act))
  end
  if config.problem_type ~= nil and not PROBLEM_TYPES[config.problem_type] then
    errors.raise("%s: problem_type is %s; supported are single_label_classification and regression",
      source, show(config.problem_type))
  end
  config.labels = labels_of(raw, source)
  config.num_labels = #config.labels
  local class = type(raw.architectures) == "table" and raw.architectures[1]
  config.architecture = type(class) == "string" and class or nil
  check_fits(config, source)
  return config
end

--- The same model for another task: a new table, the given one is left as it is.
-- @tparam table config
-- @tparam ?{string,…} labels names in order of their ids; nil: regression, one number
-- @treturn table config
function M.with_labels(config, labels)
  local copy = {}
  for key, value in pairs(config) do
    copy[key] = value
  end
  copy.labels = labels or { "LABEL_0" }
  copy.num_labels = #copy.labels
  copy.problem_type = labels and "single_label_classification" or "regression"
  return copy
end

--- The text of config.json: unknown fields as they were, ours as they are now, the labels, and the
-- class that Transformers is to load.
-- @tparam table config
-- @treturn string
function M.encode(config)
  local out = {}
  for key, value in pairs(config.raw) do
    out[key] = value
  end
  for _, list in ipairs({ INTEGERS, NUMBERS }) do
    for _, f in ipairs(list) do
      out[f[1]] = config[f[1]]
    end
  end
  for _, field in ipairs({ "model_type", "pad_token_id", "hidden_act", "classifier_dropout",
    "problem_type" }) do
    out[field] = config[field]
  end
  out.num_labels, out._num_labels = nil, nil -- Transformers counts id2label
  out.id2label, out.label2id = {}, {}
  for i, name in ipairs(config.labels) do
    out.id2label[tostring(i - 1)] = name
    out.label2id[name] = i - 1
  end
  out.architectures = json.array({ M.MODELS[config.model_type].class })
  out.dtype, out.torch_dtype = nil, "float32" -- the name that every version reads
  return json.encode(out, { indent = true }) .. "\n"
end

return M
