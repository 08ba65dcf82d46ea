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

return M
