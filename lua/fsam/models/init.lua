--- Models: loaded from a checkpoint or started from random weights, sealed into one vector.
--   model.params   fsam.vector.params: w, c, g, state  model.config   fsam.models.config
--   model.weights  fsam.pass.views over params         model.device   fsam_device
--   model.graph    graph:forward(tape) → logits [B,C]  model.count    how many weights
--   model.pad_id, position_offset (the position of a sample's first token), max_positions (tokens
--   of the longest sample), vocab_size
--   model.announcements  lines that a user should see  model:save(folder)
--   model.untrained  which parts started from random values, and why, or nil
--
-- Owns: putting configuration, parameters and graph together. Leaves to others: what a family is
-- (fsam.models.families; `define(name, family)` adds one), training (fsam.train), asking a model
-- about texts (fsam.models.predictor).
local architectures = require("fsam.models.architectures")
local arguments = require("fsam.base.arguments")
local config_of = require("fsam.models.config")
local declaration = require("fsam.models.declaration")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local file_set = require("fsam.formats.file_set")
local formats = require("fsam.formats")
local huggingface = require("fsam.formats.huggingface")
local initialize = require("fsam.models.initialize")
local matching = require("fsam.models.matching")
local numbers = require("fsam.base.numbers")
local params = require("fsam.vector.params")
local pieces = require("fsam.vector.pieces")
local ranks = require("fsam.ranks")
local registry = require("fsam.base.registry")
local run_folder = require("fsam.formats.run_folder")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")
local views = require("fsam.pass.views")

local M = { define = families.define }

local Model = {}
Model.__index = Model

-- What a model may have, beside its methods; what it lacks is nil.
local HAS = { "params", "weights", "graph", "count", "pad_id", "position_offset", "max_positions",
  "vocab_size", "config", "device", "announcements", "untrained", "tokenizer", "packing", "pass",
  "save", "predict", "gradient" }

-- A misspelt name is an error in its author's line; any other is nil, so that a recipe may ask for
-- a field of its own.
setmetatable(Model, { __index = function(_, name)
  local near = type(name) == "string" and not registry.contains(HAS, name)
    and errors.nearest(name, HAS)
  if near then
    source_line.fail_at(source_line.users(), "a model has no %s; did you mean %s?", name, near)
  end
end })

local function or_default(value, default)
  if value == nil then
    return default
  end
  return value
end

-- Marks the parameters that are frozen, and those without decay: the piece LayerNorm means all
-- layer norms there, whatever a family calls them (sa_layer_norm), as it does in Transformers.
-- Raises where a flag means none, or nothing is left to train.
local function mark(list, o)
  pieces.check("--freeze", o.freeze, list)
  if not o.no_decay_implied then
    pieces.check("--no-decay", o.no_decay, list)
  end
  local norms = registry.contains(o.no_decay or {}, "LayerNorm")
  local trains = false
  for _, parameter in ipairs(list) do
    parameter.frozen = pieces.match(parameter.name, o.freeze)
    parameter.decay = not (pieces.match(parameter.name, o.no_decay)
      or norms and parameter.kind == "norm")
    trains = trains or not parameter.frozen
  end
  if not trains then
    errors.raise("--freeze %s leaves no parameter to train", table.concat(o.freeze, ","))
  end
end

-- Seals the parameters of a configuration, as declared, and builds the graph over them. The
-- parameters have no values yet.
local function build(config, o, list)
  mark(list, o)
  local sealed = params.new(o.device, list, { compute = o.precision == "bf16" and "bf16" or "f32",
    share = o.share })
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
    vocab_size = config.vocab_size,
    announcements = {},
  }, Model)
end

-- The configuration for o's labels, or for regression; unchanged when o has neither.
local function with_task(config, o, source)
  if o.labels or o.regression then
    return config_of.with_labels(config, o.labels, o.problem_type)
  end
  config_of.check_head(config, source)
  return config
end

-- A line where the checkpoint's model was made without dropout and gets some, as --dropout has it
-- unless it is given.
local function announce_dropout(model, o)
  for _, names in ipairs({ { "dropout", "hidden_dropout_prob" },
    { "attention_dropout", "attention_probs_dropout_prob" } }) do
    local value = o[names[1]] or 0
    if value > 0 and model.config[names[2]] == 0 then
      table.insert(model.announcements, ("--%s is %g; the checkpoint's own is 0"):format(
        names[1]:gsub("_", "-"), value))
    end
  end
end

-- Adds lines about parts that the checkpoint lacks, and about its tensors that are not used.
local function announce(model, report, o)
  for _, reason in ipairs(report.reasons) do
    table.insert(model.announcements, reason .. "; it starts from random values (seed "
      .. (o.seed or 1) .. ", " .. (o.head_init or "fairseq") .. " initialisation)")
  end
  table.insert(model.announcements, report.remark)
  local unexpected = report.unexpected
  if #unexpected > 0 then
    local count = #unexpected == 1 and "1 tensor of the file is" or #unexpected
      .. " tensors of the file are"
    table.insert(model.announcements, ("%s not used: %s%s"):format(count,
      table.concat(unexpected, ", ", 1, math.min(3, #unexpected)), #unexpected > 3 and ", ..."
      or ""))
  end
end

--- A model with random weights.
-- @tparam table o device (fsam_device); arch (a name of fsam.models.architectures) with vocab_size,
--   pad_id and max_position_embeddings where they differ from its own, or config
--   (fsam.models.config); labels (names) or regression = true (default: the configuration's);
--   problem_type (fsam.data.problems; default: one label for each text); seed (default 1);
--   precision, "fp32" (default) or "bf16"; head_init, "fairseq" (default) or "hf"; freeze, no_decay
--   (lists of pieces of names, fsam.vector.pieces; no_decay_implied: no_decay is a preset's, which
--   may name what the model does not have); share (fsam.ranks, each of which holds a part of the
--   weights; default: this process holds all); dropout, attention_dropout,
--   pooler_dropout (probabilities; default: the configuration's)
-- @treturn table the model
-- @raise one line for a configuration or an arch that does not exist, or a piece of a name that
--   matches nothing
function M.new(o)
  if not (o.config or o.arch) then
    source_line.fail_at(source_line.users(), "fsam.models.new: arch or config is missing (%s)",
      table.concat(architectures.names(), ", "))
  end
  local config = o.config or architectures.config(o.arch, {
    vocab_size = o.vocab_size,
    pad_token_id = o.pad_id,
    max_position_embeddings = o.max_position_embeddings,
  })
  config = with_task(config, o, "the configuration")
  local list = declaration.list(config)
  local model = build(config, o, list)
  initialize.fill(model.params, config, list, o)
  return model
end

--- A model from a checkpoint.
-- @tparam table o path (what fsam.formats opens), or source (already open; its tensors are closed
--   afterwards); arch, what the checkpoint must be (a name of fsam.models.architectures); the rest
--   as for `new`, without config
-- @treturn table the model
-- @raise one line that names what is missing, broken or does not fit
function M.load(o)
  if not (o.source or o.path) then
    source_line.fail_at(source_line.users(), "fsam.models.load: path or source is missing")
  end
  local source = o.source or formats.open(o.path)
  local file_config = config_of.check(source.config, source.config_path)
  if o.arch then
    architectures.agree(o.arch, file_config, source.path)
  end
  local config = with_task(file_config, o, source.config_path)
  local list = declaration.list(config)
  -- Before memory is taken, which a broken configuration may ask for without end.
  local plan = matching.plan(source.tensors, file_config, list, o.labels)
  local model = build(config, o, list)
  local sealed = model.params
  plan:copy(function(parameter)
    return sealed:master(sealed.by_name[parameter.name])
  end)
  source.tensors:close()
  initialize.fill(sealed, config, plan.fresh, o)
  model.untrained = plan.reasons[1] and table.concat(plan.reasons, "; ")
  announce(model, plan, o)
  announce_dropout(model, o)
  return model
end

--- Writes config.json and model.safetensors (w, f32) into a folder; with the files of the tokenizer
-- where the model has one (fsam.load), so that the folder can be loaded again.
-- @tparam string folder made where there is none
-- @raise one line with the path when the folder is a run's or a checkpoint, or the disk fails
function Model:save(folder)
  run_folder.check_free(folder)
  self.params.w:tensor() -- sets that wait run first
  local list = {}
  for i, parameter in ipairs(self.params.parameters) do
    list[i] = { name = parameter.name, shape = parameter.shape,
      data = self.params:master(parameter) }
  end
  file_set.write(folder, function(fresh)
    huggingface.save(fresh, config_of.encode(self.config), list)
    if self.tokenizer then
      self.tokenizer:save(fresh)
    end
  end)
end

function Model:__tostring()
  local config = self.config
  return ("%s, %d layers, %d wide, %s weights in %d parameters"):format(config.model_type,
    config.num_hidden_layers, config.hidden_size, numbers.millions(self.count),
    #self.params.parameters)
end

local optional, probability = arguments.optional, arguments.optional(schema.number(0, 1))
local names = optional(schema.list(schema.string))
local COMMON = { device = devices.shape, labels = names, regression = optional(schema.boolean),
  problem_type = optional(schema.string), seed = optional(schema.integer(0, 2 ^ 32 - 1)),
  precision = optional(schema.one_of({ "fp32", "bf16" })),
  head_init = optional(schema.one_of({ "fairseq", "hf" })), freeze = names, no_decay = names,
  share = optional(ranks.shape), no_decay_implied = optional(schema.boolean), dropout = probability,
  attention_dropout = probability, pooler_dropout = probability }

local function common_and(more)
  local all = {}
  for _, from in ipairs({ COMMON, more }) do
    for key, shape in pairs(from) do
      all[key] = shape
    end
  end
  return arguments.fields(all)
end

local MODEL = arguments.object("a model, of fsam.models.new or fsam.models.load",
  { params = "table", config = "table", weights = "table" })
local size = optional(schema.integer(0))

arguments.guard("fsam.models", M, {
  new = { common_and({ arch = optional(schema.string), vocab_size = size, pad_id = size,
    max_position_embeddings = size, config = optional(arguments.object(
      "a configuration (fsam.models.config)", { family = "table", model_type = "string" })) }) },
  load = { common_and({ arch = optional(schema.string), path = optional(schema.path),
    source = optional(arguments.object("a source, of fsam.formats.open",
      { config = "table", tensors = "table" })) }) },
})
arguments.guard("model:", Model, {
  save = { self = MODEL, arguments.arg("folder", schema.path) },
})

return M
