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

-- hidden_act → the form of fsam.pass.ops.activation that it means.
local FORMS = { gelu = "gelu", gelu_python = "gelu", gelu_new = "gelu_tanh",
  gelu_pytorch_tanh = "gelu_tanh", gelu_python_tanh = "gelu_tanh", gelu_fast = "gelu_tanh",
  gelu_accurate = "gelu_tanh", relu = "relu", silu = "silu", swish = "silu", tanh = "tanh" }

-- A row as a family's `names`, `fixed` and `defaults` have it.
local function adapted(row, o)
  local name = row[1]
  local default, fixed = o.defaults[name], (o.fixed or {})[name]
  if fixed then
    return { name, fixed = fixed }
  elseif default then
    row[row.words and "default" or 4] = default
  end
  row.file = (o.names or {})[name]
  return row
end

--- Fields of config.json that every such family has, each a row for fsam.models.config.
--
-- The row of a number: { name, lowest, highest, default (nil: the field is required), whole (an
-- integer?), below (it must be less than this) }; a bound or a default may be a function of the
-- configuration so far. The row of a word: { name, words (word → its meaning), as (the field that
-- gets the meaning), default, supported (text for messages) }. Both have `file`, the field's name
-- in config.json, where it is another. The row of what the family does not let vary: { name, fixed
-- (its value) }; config.json has no such field.
-- @tparam table o by name of a field: defaults; names, those in config.json; fixed; and more, a
--   list of the family's own rows. All but `defaults` may be left out
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
    { "pad_token_id", 0, function(c) return c.vocab_size - 1 end, nil, whole = true },
    { "hidden_act", words = FORMS, as = "activation", default = "gelu",
      supported = "gelu, gelu_new, relu, silu and tanh" },
  }
  for i, field in ipairs(list) do
    list[i] = adapted(field, o)
  end
  for _, field in ipairs(o.more or {}) do
    table.insert(list, field)
  end
  return list
end

-- The name of a field in config.json.
local function name_of(config, name)
  for _, field in ipairs(config.family.fields) do
    if field[1] == name then
      return field.file or name
    end
  end
end

--- Checks what no single field shows.
-- @tparam table config fsam.models.config
-- @tparam string source its path, for messages
-- @raise one line that names the source and the field
function M.check(config, source)
  if config.hidden_size % config.num_attention_heads ~= 0 then
    errors.raise("%s: %s %d is not divisible by %s %d", source, name_of(config, "hidden_size"),
      config.hidden_size, name_of(config, "num_attention_heads"), config.num_attention_heads)
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
-- after the embeddings, 1 + 3i, 2 + 3i and 3 + 3i for the i-th layer that runs (attention, its
-- output, the feed-forward output), then the head's two, which count as those of one layer more.
local function site(layer, k)
  return 1 + 3 * layer + k
end

--- Word and position tables, a token-type table where type_vocab_size is not 0; layer norm,
-- dropout.
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
    token_type = config.type_vocab_size > 0 and d:embedding(base .. "token_type_embeddings.weight",
      config.type_vocab_size, width) or nil,
  }
  local norm = d:norm(base .. "LayerNorm", width, config.layer_norm_eps)
  return function(tape)
    return ops.embedding(tape, tables, norm, tape:dropout(dropout.hidden, 0), "embedding")
  end
end

-- What BERT calls the parts of a layer.
local BERT = {
  query = "attention.self.query", key = "attention.self.key", value = "attention.self.value",
  projection = "attention.output.dense", attention_norm = "attention.output.LayerNorm",
  up = "intermediate.dense", down = "output.dense", output_norm = "output.LayerNorm",
}

--- A layer: attention, then the feed-forward part, each with its residual and a layer norm after
-- it. Query, key and value are declared one after another, so that one [3H,H] product reads all
-- three. The function may run several times in a pass: then its weights are shared, and each run
-- has a number of its own.
-- @tparam string base prefix of the names: "bert.encoder.layer.0."
-- @tparam table names of its parts, as BERT has them above
-- @tparam table p probabilities of dropout: attention; projection, of attention's output, and
--   output, of the feed-forward part's, which are `hidden` where they are left out
-- @treturn function (tape, x[T,H], i, reads) → [T,H]; i: how many layers have run before it; reads:
--   "first" where only the first row of each sample is read after it; then the result is these
--   rows, [B,H], and what follows attention is computed for them alone
function M.layer(d, config, base, names, p)
  local h, f, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
  local qkv = d:group({ base .. names.query, base .. names.key, base .. names.value }, h, h)
  local projection = d:linear("matrix", base .. names.projection, h, h)
  local attention_norm = d:norm(base .. names.attention_norm, h, eps)
  local up = d:linear("matrix", base .. names.up, f, h)
  local down = d:linear("matrix", base .. names.down, h, f)
  local output_norm = d:norm(base .. names.output_norm, h, eps)
  local after_projection, after_output = p.projection or p.hidden, p.output or p.hidden
  return function(tape, x, i, reads)
    local name = "layer " .. i
    local y = ops.linear_group(tape, x, qkv, name .. " qkv")
    y = ops.attention(tape, y, config.num_attention_heads,
      tape:dropout(p.attention, site(i, 0)), name .. " attention")
    if reads == "first" then
      y = ops.first_rows(tape, y, name .. " attention, first rows")
      x = ops.first_rows(tape, x, name .. " first rows")
    end
    y = ops.linear(tape, y, projection.weight, nil, name .. " projection")
    x = ops.residual_layernorm(tape, y, projection.bias, x, attention_norm,
      tape:dropout(after_projection, site(i, 1)), name .. " attention norm")
    y = ops.linear(tape, x, up.weight, nil, name .. " up")
    y = ops.activation(tape, y, up.bias, config.activation, name .. " activation")
    y = ops.linear(tape, y, down.weight, nil, name .. " down")
    return ops.residual_layernorm(tape, y, down.bias, x, output_norm,
      tape:dropout(after_output, site(i, 2)), name .. " output norm")
  end
end

--- The layers, one after another.
-- @tparam string base prefix of the names: "bert.encoder.layer."
-- @tparam table dropout as for `layer`
-- @tparam[opt] table names as for `layer`; default: BERT's
-- @treturn function (tape, x[T,H], reads) → [T,H], or [B,H]: reads as for `layer`, of the last one
function M.encoder(d, config, base, dropout, names)
  local layers = {}
  for i = 0, config.num_hidden_layers - 1 do
    d:at(i)
    layers[i + 1] = M.layer(d, config, base .. i .. ".", names or BERT, dropout)
  end
  return function(tape, x, reads)
    for i, run in ipairs(layers) do
      x = run(tape, x, i - 1, i == #layers and reads or nil)
    end
    return x
  end
end

--- Dropout in the head.
-- @tparam number depth how many layers run before the head
-- @tparam number k 0 for the head's input, 1 for the output of its dense layer
-- @tparam table x [B,H], on the tape
-- @tparam string name of the result, for messages
-- @treturn table [B,H]
function M.head_dropout(tape, depth, dropout, k, x, name)
  return ops.dropout(tape, x, tape:dropout(dropout.pooler, site(depth, k)), name)
end

--- A head of two linear maps over the first token: dropout, dense, activation, dropout, out_proj.
-- @tparam function activation (tape, x[B,H]) → [B,H]
-- @treturn function (tape, x) → logits [B,C] in f32; x: [T,H], or the samples' first rows [B,H]
function M.classification_head(d, config, dropout, activation)
  local h, depth = config.hidden_size, config.num_hidden_layers
  d:at(depth, "head")
  local dense = d:linear("head", "classifier.dense", h, h)
  local out = d:linear("head", "classifier.out_proj", config.num_labels, h)
  return function(tape, x)
    x = ops.gather(tape, x, "first token")
    x = M.head_dropout(tape, depth, dropout, 0, x, "head input")
    x = activation(tape, ops.linear(tape, x, dense.weight, dense.bias, "pooler"))
    x = M.head_dropout(tape, depth, dropout, 1, x, "pooled, dropped")
    return ops.linear(tape, x, out.weight, out.bias, "logits")
  end
end

return M
