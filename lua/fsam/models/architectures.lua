--- Configurations for a start from random weights: `--arch NAME`. Owns: making a configuration from
-- a family's preset. Leaves to others: the presets (families/NAME.lua), fields that a preset does
-- not give, which have Transformers' defaults for the model type (config.lua).
local config_of = require("fsam.models.config")
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local json = require("fsam.base.json")
local registry = require("fsam.base.registry")

local M = {}

-- Fields of every configuration, unless a family or a preset has its own.
local COMMON = {
  hidden_act = "gelu",
  hidden_dropout_prob = 0.1,
  attention_probs_dropout_prob = 0.1,
  initializer_range = 0.02,
  position_embedding_type = "absolute",
}

-- The fields of a preset's numbered entries, in order.
local SIZES = { "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
  "vocab_size" }

-- Sizes that may be other than a preset's in a model of its architecture.
local FREE = { vocab_size = true, max_position_embeddings = true, type_vocab_size = true,
  pad_token_id = true }

-- Returns a table: preset name → name of its family.
local function presets()
  local owners = {}
  for _, name in ipairs(families.names()) do
    for preset in pairs(families.get(name).presets) do
      owners[preset] = name
    end
  end
  return owners
end

--- The names of all presets, sorted.
-- @treturn {string,…}
function M.names()
  return registry.sorted(presets())
end

--- A fresh configuration.
-- @tparam string name one of names()
-- @tparam[opt] table overrides fields to set (vocab_size is needed where the preset has none)
-- @treturn table fsam.models.config
-- @raise one line with the nearest name, or with the field that is missing or out of range
function M.config(name, overrides)
  local model_type = presets()[name]
  if not model_type then
    errors.unknown("--arch", name, M.names())
  end
  local family = families.get(model_type)
  local raw = { model_type = model_type, architectures = json.array({ family.class }) }
  local names = {}
  for _, field in ipairs(family.fields) do
    names[field[1]] = field.file
  end
  for _, fields in ipairs({ COMMON, family.fresh, family.presets[name], overrides or {} }) do
    for key, value in pairs(fields) do
      key = SIZES[key] or key
      raw[names[key] or key] = value
    end
  end
  if not raw.vocab_size then
    errors.raise("--arch %s has no vocabulary of its own: give vocab_size", name)
  end
  return config_of.check(raw, "--arch " .. name)
end

-- The first field in which a configuration is not of an architecture: its name in config.json, and
-- what the architecture has there; nil when it is.
local function difference(name, config)
  local model_type = presets()[name]
  if model_type ~= config.model_type then
    return "model_type", model_type, config.model_type
  end
  local own_vocabulary = families.get(model_type).presets[name][5]
  local wanted = M.config(name, { vocab_size = not own_vocabulary and config.vocab_size or nil })
  for _, field in ipairs(config.family.fields) do
    local key = field[1]
    if field.whole and not FREE[key] and wanted[key] ~= config[key] then
      return field.file or key, wanted[key], config[key]
    end
  end
end

--- Refuses a configuration that is not of an architecture: other sizes, or another family. The
-- vocabulary and the number of positions may be others.
-- @tparam string name one of names()
-- @tparam table config fsam.models.config
-- @tparam string source its path, for messages
-- @raise one line with the field, and with the architecture that it is
function M.check(name, config, source)
  if not presets()[name] then
    errors.unknown("--arch", name, M.names())
  end
  local field, wanted, got = difference(name, config)
  if not field then
    return
  end
  local same = {}
  for _, other in ipairs(M.names()) do
    if not difference(other, config) then
      same[#same + 1] = other
    end
  end
  errors.raise("--arch %s has %s %s, %s has %s; %s", name, field, wanted, source, got,
    #same > 0 and "it is " .. table.concat(same, " or ") or "leave --arch out")
end

return M
