--- Models: loaded from a checkpoint or started from random weights, sealed into one vector.
--   model.params   fsam.vector.params: w, c, g, state  model.config   fsam.models.config
--   model.weights  fsam.pass.views over params         model.device   fsam_device
--   model.graph    graph:forward(tape) → logits [B,C]  model.count    how many weights
--   model.pad_id, position_offset (the position of a sample's first token), max_positions (tokens
--   of the longest sample)
--   model.announcements  lines that a user should see  model:save(folder)
--
-- Owns: putting configuration, parameters and graph together. Leaves to others: what a family is
-- (fsam.models.families; `define(name, family)` adds one), training (fsam.train), asking a model
-- about texts (fsam.models.predictor).
local architectures = require("fsam.models.architectures")
local config_of = require("fsam.models.config")
local declaration = require("fsam.models.declaration")
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local formats = require("fsam.formats")
local huggingface = require("fsam.formats.huggingface")
local initialize = require("fsam.models.initialize")
local matching = require("fsam.models.matching")
local numbers = require("fsam.base.numbers")
local params = require("fsam.vector.params")
local pieces = require("fsam.vector.pieces")
local views = require("fsam.pass.views")

local M = { define = families.define }

local Model = {}
Model.__index = Model

local function or_default(value, default)
  if value == nil then
    return default
  end
  return value
end

-- Marks the parameters that are frozen, and those without decay. Raises where a flag means none, or
-- nothing is left to train.
local function mark(list, o)
  pieces.check("--freeze", o.freeze, list)
  if not o.no_decay_implied then
    pieces.check("--no-decay", o.no_decay, list)
  end
  local trains = false
  for _, parameter in ipairs(list) do
    parameter.frozen = pieces.match(parameter.name, o.freeze)
    parameter.decay = not pieces.match(parameter.name, o.no_decay)
    trains = trains or not parameter.frozen
  end
  if not trains then
    errors.raise("--freeze %s leaves no parameter to train", table.concat(o.freeze, ","))
  end
end

-- Seals the parameters of a configuration and builds the graph over them. The parameters have no
-- values yet. Returns the model, and its parameters as declared.
local function build(config, o)
  local list = declaration.list(config)
  mark(list, o)
  local sealed = params.new(o.device, list, { compute = o.precision == "bf16" and "bf16" or "f32" })
  local weights = views.new(sealed)
  local offset = config.family.position_offset(config)
  return setmetatable({
    device = o.device,
    config = config,
    params = sealed,
    weights = weights,
    graph = declaration.graph(config, weights, {
      hidden = or_default(o.dropout, config.hidden_dropout_prob),
      attention = or_default(o.attention_dropout, config.attention_probs_dropout_prob),
      pooler = or_default(o.pooler_dropout, config.classifier_dropout),
    }),
    count = sealed.count,
    pad_id = config.pad_token_id,
    position_offset = offset,
    max_positions = config.max_position_embeddings - offset,
    announcements = {},
  }, Model), list
end

-- The configuration for o's labels, or for regression; unchanged when o has neither.
local function with_task(config, o)
  return (o.labels or o.regression) and config_of.with_labels(config, o.labels) or config
end

-- Adds lines about parts that the checkpoint lacks, and about its tensors that are not used.
local function announce(model, report, o)
  for _, reason in ipairs(report.reasons) do
    table.insert(model.announcements, reason .. "; it starts from random values (seed "
      .. (o.seed or 1) .. ", " .. (o.head_init or "fairseq") .. " initialisation)")
  end
  local unexpected = report.unexpected
  if #unexpected > 0 then
    table.insert(model.announcements, ("%d tensors of the file are not used: %s%s"):format(
      #unexpected, table.concat(unexpected, ", ", 1, math.min(3, #unexpected)),
      #unexpected > 3 and ", ..." or ""))
  end
end

--- A model with random weights.
-- @tparam table o device (fsam_device); arch (a name of fsam.models.architectures) with vocab_size,
--   pad_id and max_position_embeddings where they differ from its own, or config
--   (fsam.models.config); labels (names) or regression = true (default: the configuration's); seed
--   (default 1); precision, "fp32" (default) or "bf16"; head_init, "fairseq" (default) or "hf";
--   freeze, no_decay (lists of pieces of names, fsam.vector.pieces; no_decay_implied: no_decay is a
--   preset's, which may name what the model does not have); dropout, attention_dropout,
--   pooler_dropout (probabilities; default: the configuration's)
-- @treturn table the model
-- @raise one line for a configuration or an arch that does not exist, or a piece of a name that
--   matches nothing
function M.new(o)
  local config = o.config or architectures.config(o.arch, {
    vocab_size = o.vocab_size,
    pad_token_id = o.pad_id,
    max_position_embeddings = o.max_position_embeddings,
  })
  local model, list = build(with_task(config, o), o)
  initialize.fill(model.params, model.config, list, o)
  return model
end

--- A model from a checkpoint.
-- @tparam table o path (what fsam.formats opens), or source (already open; its tensors are closed
--   afterwards); the rest as for `new`, without arch and config
-- @treturn table the model
-- @raise one line that names what is missing, broken or does not fit
function M.load(o)
  local source = o.source or formats.open(o.path)
  local config = config_of.check(source.config, source.config_path)
  local model, list = build(with_task(config, o), o)
  local sealed = model.params
  local report = matching.assign(source.tensors, config, list, function(parameter, entry)
    entry:read_tensor(sealed:master(sealed.by_name[parameter.name]))
  end)
  source.tensors:close()
  initialize.fill(sealed, model.config, report.fresh, o)
  announce(model, report, o)
  return model
end

--- Writes config.json and model.safetensors (w, f32) into an existing folder.
-- @tparam string folder
-- @raise one line with the path when the disk is full or fails
function Model:save(folder)
  self.params.w:tensor() -- sets that wait run first
  local list = {}
  for i, parameter in ipairs(self.params.parameters) do
    list[i] = { name = parameter.name, shape = parameter.shape,
      data = self.params:master(parameter) }
  end
  huggingface.save(folder, config_of.encode(self.config), list)
end

function Model:__tostring()
  local config = self.config
  return ("%s, %d layers, %d wide, %s weights in %d parameters"):format(config.model_type,
    config.num_hidden_layers, config.hidden_size, numbers.millions(self.count),
    #self.params.parameters)
end

return M
