--- Model families by name, which is config.json's model_type.
--
-- Owns: the register, and checking that a family has its parts. A built-in family has a file of its
-- name here, which is loaded when a configuration first names it; the file calls `define`, as a
-- user's recipe does. Leaves to others: blocks to build families of (fsam.models.blocks).
--
-- A family is a table:
--   class            the class that Transformers loads it with ("BertForSequenceClassification")
--   fields           configuration fields with bounds and defaults (see fsam.models.blocks.fields);
--                    those in NEEDED must be among them
--   check            optional, (config, source): refuses what no single field shows
--   build            (d, config, dropout) → graph: declares the parameters and returns a table with
--                    forward(self, tape) → logits [B,C] in f32 (see fsam.models.declaration)
--   position_offset  (config) → the row of a sample's first token in the table of positions
--   prefix           of its names in files ("bert.")
--   bare             patterns of names that lack the prefix in files of the model without a head
--   ignored          patterns of names in files that no classifier uses
--   output           the matrix whose rows are the labels ("classifier.weight")
--   fresh            fields of every new configuration, by our names and not config.json's
--   presets          --arch NAME → { layers, width, feed-forward width, heads, vocabulary size
--                    (nil: the corpus decides), and by name further fields of its own }
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

local PARTS = { class = "string", fields = "table", build = "function",
  position_offset = "function", prefix = "string", bare = "table", ignored = "table",
  output = "string", fresh = "table", presets = "table" }

local NEEDED = { "vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings",
  "pad_token_id", "initializer_range", "hidden_dropout_prob", "attention_probs_dropout_prob",
  "classifier_dropout" }

local register = registry.new("fsam.models.families.",
  { "albert", "bert", "distilbert", "electra", "roberta", "xlm-roberta" })

--- Adds a family, or replaces one.
-- @tparam string name its model_type
-- @tparam table family see the head of this file
-- @raise one line that names the part that is missing, unknown or of another type
function M.define(name, family)
  if type(name) ~= "string" or type(family) ~= "table" then
    errors.raise("models.define: a name and a table are needed, got %s and %s", type(name),
      type(family))
  end
  for _, part in ipairs(registry.sorted(PARTS)) do
    if type(family[part]) ~= PARTS[part] then
      errors.raise("models.define(%q): %s is %s, expected a %s", name, part, type(family[part]),
        PARTS[part])
    end
  end
  local what = ("models.define(%q)"):format(name)
  for part in pairs(family) do
    if not PARTS[part] and part ~= "check" then
      errors.unknown(what .. ": part", part, registry.sorted(PARTS))
    end
  end
  local fields = {}
  for _, field in ipairs(family.fields) do
    fields[field[1]] = true
  end
  for _, field in ipairs(NEEDED) do
    if not fields[field] then
      errors.raise("%s: its fields lack %s", what, field)
    end
  end
  register:define(name, family)
end

--- The family of a model_type, or nil.
-- @tparam string name
-- @treturn ?table
function M.get(name)
  return register:get(name)
end

--- All names, sorted.
-- @treturn {string,…}
function M.names()
  return register:names()
end
M.define = arguments.declare("fsam.models.define", { arguments.arg("name", schema.string),
  arguments.arg("family", arguments.table) }, M.define)

return M
