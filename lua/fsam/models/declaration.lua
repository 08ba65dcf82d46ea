--- Which parameters a model of a configuration has: names (Transformers'), shapes, kinds, in the
-- order in which they lie in the model's vector. Owns: the list. Leaves to others: memory
-- (fsam.params), the graph (fsam.models.encoder), values (fsam.models.initialize).
local M = {}

-- Adds parameter `name` of a shape; kind decides its compute type (fsam.params) and how it starts.
local function add(list, layer, kind, name, ...)
  list[#list + 1] = { name = name, shape = { ... }, kind = kind, layer = layer }
end

local function linear(list, layer, kind, name, out, inn)
  add(list, layer, kind, name .. ".weight", out, inn)
  add(list, layer, kind == "head" and "head" or "bias", name .. ".bias", out)
end

local function norm(list, layer, name, width)
  add(list, layer, "norm", name .. ".weight", width)
  add(list, layer, "norm", name .. ".bias", width)
end

-- Query, key and value lie one after another: one [3H,H] product reads all three.
local function attention(list, layer, base, h)
  for _, part in ipairs({ "query", "key", "value" }) do
    linear(list, layer, "matrix", base .. ".attention.self." .. part, h, h)
  end
  linear(list, layer, "matrix", base .. ".attention.output.dense", h, h)
  norm(list, layer, base .. ".attention.output.LayerNorm", h)
end

--- The parameters of `config` with a classification head of num_labels outputs.
-- Layers are numbered -1 (embeddings), 0 … L - 1, L (pooler and head).
-- @treturn table list of { name, shape, kind, layer }
function M.parameters(config, num_labels)
  local list, prefix = {}, config.model_type .. "."
  local h, f, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
  local e = prefix .. "embeddings."
  add(list, -1, "embedding", e .. "word_embeddings.weight", config.vocab_size, h)
  add(list, -1, "embedding", e .. "position_embeddings.weight", config.max_position_embeddings, h)
  add(list, -1, "embedding", e .. "token_type_embeddings.weight", config.type_vocab_size, h)
  norm(list, -1, e .. "LayerNorm", h)
  for i = 0, layers - 1 do
    local base = prefix .. "encoder.layer." .. i
    attention(list, i, base, h)
    linear(list, i, "matrix", base .. ".intermediate.dense", f, h)
    linear(list, i, "matrix", base .. ".output.dense", h, f)
    norm(list, i, base .. ".output.LayerNorm", h)
  end
  if config.model_type == "bert" then
    linear(list, layers, "head", prefix .. "pooler.dense", h, h)
    linear(list, layers, "head", "classifier", num_labels, h)
  else
    linear(list, layers, "head", "classifier.dense", h, h)
    linear(list, layers, "head", "classifier.out_proj", num_labels, h)
  end
  return list
end

return M
