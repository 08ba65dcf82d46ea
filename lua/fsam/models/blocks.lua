--- What families of BERT's kind share: configuration fields, the embedding block, the encoder with
-- layer norm after each residual (Devlin et al. 2019, §3; Vaswani et al. 2017, §3.1) and a
-- classification head. A block declares its parameters on `d` (fsam.models.declaration) and returns
-- a function that runs them on a tape. `dropout` has the probabilities hidden, attention and
-- pooler.
--
-- Owns: which op follows which inside a block, and the numbers of the dropout sites. Leaves to
-- others: how a family puts blocks together (families/NAME.lua), ops (fsam.pass.ops).
--
-- Letters: T tokens, B samples, H hidden_size, C labels, L layers.
local errors = require("fsam.errors")
local ops = require("fsam.pass.ops")

local M = {}

-- -- configuration --------------------------------------------------------------------------------

-- hidden_act → the form of GELU that it means.
local GELU = { gelu = "erf", gelu_python = "erf", gelu_new = "tanh", gelu_pytorch_tanh = "tanh",
  gelu_python_tanh = "tanh", gelu_fast = "tanh", gelu_accurate = "tanh" }

--- Fields of config.json that every such family has, each a row for fsam.models.config.
--
-- The row of a number: { name, lowest, highest, default (nil: the field is required), whole (an
-- integer?), below (it must be less than this) }; a bound or a default may be a function of the
-- configuration so far. The row of a word: { name, words (word → its meaning), as (the field that
-- gets the meaning), default, supported (text for messages) }.
-- @tparam table o pad_token_id, the default; more: a list of the family's own rows
-- @treturn {table,…}
function M.fields(o)
  local list = {
    { "vocab_size", 1, 2 ^ 24, whole = true },
    { "hidden_size", 1, 2 ^ 16, whole = true },
    { "num_hidden_layers", 1, 1000, whole = true },
    { "num_attention_heads", 1, 2 ^ 16, whole = true },
    { "intermediate_size", 1, 2 ^ 20, whole = true },
    { "max_position_embeddings", 1, 2 ^ 24, 512, whole = true },
    { "type_vocab_size", 1, 2 ^ 16, 2, whole = true },
    { "layer_norm_eps", 0, 1, 1e-12 },
    { "initializer_range", 0, 10, 0.02 },
    { "hidden_dropout_prob", 0, 1, 0.1, below = 1 },
    { "attention_probs_dropout_prob", 0, 1, 0.1, below = 1 },
    { "classifier_dropout", 0, 1, function(c) return c.hidden_dropout_prob end, below = 1 },
    { "pad_token_id", 0, function(c) return c.vocab_size - 1 end, o.pad_token_id, whole = true },
    { "hidden_act", words = GELU, as = "gelu", default = "gelu",
      supported = "gelu and gelu_new" },
  }
  for _, field in ipairs(o.more or {}) do
    table.insert(list, field)
  end
  return list
end

--- Checks what no single field shows.
-- @tparam table config fsam.models.config
-- @tparam string source its path, for messages
-- @raise one line that names the source and the field
function M.check(config, source)
  if config.hidden_size % config.num_attention_heads ~= 0 then
    errors.raise("%s: hidden_size %d is not divisible by num_attention_heads %d", source,
      config.hidden_size, config.num_attention_heads)
  elseif config.layer_norm_eps == 0 then
    errors.raise("%s: layer_norm_eps is 0", source)
  end
end

--- Refuses a configuration whose embeddings have a width of their own. Arguments as for `check`.
function M.check_one_width(config, source)
  local width = config.raw.embedding_size
  if width ~= nil and width ~= config.hidden_size then
    errors.raise("%s: embedding_size is %s; it must equal hidden_size", source, tostring(width))
  end
end

--- Patterns of names in files that no classifier uses: those of constant buffers, and more.
-- @tparam {string,…} more
-- @treturn {string,…}
function M.ignored(more)
  local list = { "position_ids$", "embeddings%.token_type_ids$" }
  for _, pattern in ipairs(more) do
    table.insert(list, pattern)
  end
  return list
end

-- -- blocks ---------------------------------------------------------------------------------------

-- The number of a dropout site. Sites are numbered by the model and not by the order of calls: 0
-- after the embeddings, 1 + 3i, 2 + 3i and 3 + 3i for layer i (attention, its output, the
-- feed-forward output), then the head's two, which count as those of layer L.
local function site(layer, k)
  return 1 + 3 * layer + k
end

--- Word, position and token-type tables, layer norm, dropout.
-- @tparam string base prefix of the names: "bert.embeddings."
-- @tparam number width of the tables
-- @treturn function (tape) → [T, width]
function M.embeddings(d, config, base, width, dropout)
  d:at(-1)
  local tables = {
    word = d:embedding(base .. "word_embeddings.weight", config.vocab_size, width,
      config.pad_token_id),
    position = d:embedding(base .. "position_embeddings.weight", config.max_position_embeddings,
      width),
    token_type = d:embedding(base .. "token_type_embeddings.weight", config.type_vocab_size, width),
  }
  local norm = d:norm(base .. "LayerNorm", width, config.layer_norm_eps)
  return function(tape)
    return ops.embedding(tape, tables, norm, tape:dropout(dropout.hidden, 0), "embedding")
  end
end

-- Layer i of the encoder; returns a function (tape, x[T,H]) → [T,H]. Query, key and value are
-- declared one after another, so that one [3H,H] product reads all three.
local function layer(d, config, base, i, p)
  d:at(i)
  local h, f, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
  local own, name = base .. i, "layer " .. i
  local attention = own .. ".attention.self."
  local qkv = d:group({ attention .. "query", attention .. "key", attention .. "value" }, h, h)
  local projection = d:linear("matrix", own .. ".attention.output.dense", h, h)
  local attention_norm = d:norm(own .. ".attention.output.LayerNorm", h, eps)
  local up = d:linear("matrix", own .. ".intermediate.dense", f, h)
  local down = d:linear("matrix", own .. ".output.dense", h, f)
  local output_norm = d:norm(own .. ".output.LayerNorm", h, eps)
  return function(tape, x)
    local y = ops.linear_group(tape, x, qkv, name .. " qkv")
    y = ops.attention(tape, y, config.num_attention_heads,
      tape:dropout(p.attention, site(i, 0)), name .. " attention")
    y = ops.linear(tape, y, projection.weight, nil, name .. " projection")
    x = ops.residual_layernorm(tape, y, projection.bias, x, attention_norm,
      tape:dropout(p.hidden, site(i, 1)), name .. " attention norm")
    y = ops.linear(tape, x, up.weight, nil, name .. " up")
    y = ops.gelu(tape, y, up.bias, config.gelu, name .. " gelu")
    y = ops.linear(tape, y, down.weight, nil, name .. " down")
    return ops.residual_layernorm(tape, y, down.bias, x, output_norm,
      tape:dropout(p.hidden, site(i, 2)), name .. " output norm")
  end
end

--- The layers, one after another.
-- @tparam string base prefix of the names: "bert.encoder.layer."
-- @treturn function (tape, x[T,H]) → [T,H]
function M.encoder(d, config, base, dropout)
  local layers = {}
  for i = 0, config.num_hidden_layers - 1 do
    layers[i + 1] = layer(d, config, base, i, dropout)
  end
  return function(tape, x)
    for _, run in ipairs(layers) do
      x = run(tape, x)
    end
    return x
  end
end

--- Dropout in the head.
-- @tparam number k 0 for the head's input, 1 for the output of its dense layer
-- @tparam table x [B,H], on the tape
-- @tparam string name of the result, for messages
-- @treturn table [B,H]
function M.head_dropout(tape, config, dropout, k, x, name)
  return ops.dropout(tape, x, tape:dropout(dropout.pooler, site(config.num_hidden_layers, k)), name)
end

--- A head of two linear maps over the first token: dropout, dense, activation, dropout, out_proj.
-- @tparam function activation (tape, x[B,H]) → [B,H]
-- @treturn function (tape, x[T,H]) → logits [B,C] in f32
function M.classification_head(d, config, dropout, activation)
  local h = config.hidden_size
  d:at(config.num_hidden_layers, "head")
  local dense = d:linear("head", "classifier.dense", h, h)
  local out = d:linear("head", "classifier.out_proj", config.num_labels, h)
  return function(tape, x)
    x = ops.gather(tape, x, "first token")
    x = M.head_dropout(tape, config, dropout, 0, x, "head input")
    x = activation(tape, ops.linear(tape, x, dense.weight, dense.bias, "pooler"))
    x = M.head_dropout(tape, config, dropout, 1, x, "pooled, dropped")
    return ops.linear(tape, x, out.weight, out.bias, "logits")
  end
end

return M
