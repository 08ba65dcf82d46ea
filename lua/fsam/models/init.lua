--- Models: loaded from a Hugging Face folder or started from random weights, sealed into one
-- vector. A model owns its configuration, parameters and graph; it knows nothing of training.
--   model.params   fsam.params: w, c, g and state      model.config   fsam.formats.config
--   model.graph    forward(tape) → logits              model.count    parameters
--   model.announcements  lines a user should see       model:save(folder), model:predict(text)
local Encoder = require("fsam.models.encoder")
local Weights = require("fsam.pass.views")
local architectures = require("fsam.models.architectures")
local config_json = require("fsam.formats.config")
local huggingface = require("fsam.formats.huggingface")
local layout = require("fsam.models.layout")
local params = require("fsam.vector.params")
local starting = require("fsam.models.initialize")

local M = {}

local Model = {}
Model.__index = Model

local function or_default(value, default)
  if value == nil then
    return default
  end
  return value
end

-- Seals the parameters of a configuration and builds the graph over them; no values yet.
local function build(config, o)
  local list = layout.parameters(config, config.num_labels)
  for _, parameter in ipairs(list) do
    parameter.frozen = params.matches(parameter.name, o.freeze)
    parameter.decay = not params.matches(parameter.name, o.no_decay)
  end
  local sealed = params.new(o.device, list, { compute = o.precision == "bf16" and "bf16" or "f32" })
  local weights = Weights.new(sealed)
  local graph = Encoder.new(config, weights, {
    hidden = or_default(o.dropout, config.hidden_dropout_prob),
    attention = or_default(o.attention_dropout, config.attention_probs_dropout_prob),
    pooler = or_default(o.pooler_dropout, config.classifier_dropout),
  })
  local roberta = config.model_type == "roberta"
  return setmetatable({
    device = o.device,
    config = config,
    params = sealed,
    weights = weights,
    graph = graph,
    count = sealed.count,
    pad_id = config.pad_token_id,
    position_offset = roberta and config.pad_token_id + 1 or 0,
    max_positions = config.max_position_embeddings - (roberta and config.pad_token_id + 1 or 0),
    announcements = {},
  }, Model)
end

-- The configuration for the labels, or for regression; as it is when o says neither.
local function with_task(config, o)
  return (o.labels or o.regression) and config_json.with_labels(config, o.labels) or config
end

--- A model with random weights.
-- @tparam table o device; arch (fsam.models.architectures) and config overrides, or config;
--   labels (names) or regression = true (default: the configuration's); seed; precision = "fp32" |
-- "bf16"; head_init = "fairseq" | "hf";
--   freeze, no_decay (lists of plain text that a parameter's name contains); dropout,
--   attention_dropout, pooler_dropout (default: the configuration's)
function M.new(o)
  local config = o.config or architectures.config(o.arch, {
    vocab_size = o.vocab_size,
    pad_token_id = o.pad_id,
    max_position_embeddings = o.max_position_embeddings,
  })
  local model = build(with_task(config, o), o)
  starting.fill(model.params, model.config, model.params.parameters, o)
  return model
end

--- A model from a Hugging Face folder or a .safetensors file.
-- @tparam table o path; the rest as for new
-- @raise one line that names what is missing, broken or does not fit
function M.load(o)
  local source = huggingface.load(o.path)
  local model = build(with_task(source.config, o), o)
  local sealed = model.params
  local report = huggingface.assign(source, sealed.parameters, function(parameter, entry)
    entry:read_tensor(sealed:master(parameter))
  end)
  source.tensors:close()
  starting.fill(sealed, model.config, report.fresh, o)
  for _, reason in ipairs(report.reasons) do
    table.insert(model.announcements, reason .. "; it starts from random values (seed "
      .. (o.seed or 1) .. ", " .. (o.head_init or "fairseq") .. " initialisation)")
  end
  if #report.unexpected > 0 then
    table.insert(model.announcements, ("%d tensors of the file are not used: %s%s"):format(
      #report.unexpected, table.concat(report.unexpected, ", ", 1, math.min(3, #report.unexpected)),
      #report.unexpected > 3 and ", ..." or ""))
  end
  return model
end

--- Writes config.json and model.safetensors (w, f32) into an existing folder.
function Model:save(folder)
  local list = {}
  for i, parameter in ipairs(self.params.parameters) do
    list[i] = { name = parameter.name, shape = parameter.shape,
      data = self.params:master(parameter) }
  end
  huggingface.save(folder, self.config, list)
end

function Model:__tostring()
  local config = self.config
  return ("%s, %d layers, %d wide, %.1f M weights in %d parameters"):format(config.model_type,
    config.num_hidden_layers, config.hidden_size, self.count / 1e6, #self.params.parameters)
end

return M
