--- The graph of BERT and RoBERTa with a classification head, as Transformers defines them (Devlin
-- et al. 2019; Liu et al. 2019): post-layer-norm encoder, first token, head. Owns: which op follows
-- which, and the numbers of the dropout sites. Leaves to others: parameters (fsam.pass.views),
-- kernels (fsam.pass.ops).
local ops = require("fsam.pass.ops")

local Encoder = {}
Encoder.__index = Encoder

-- Dropout sites, numbered by the model and not by the order of calls (D7): 0 after the embeddings,
-- 1 + 3i … for layer i (attention, its output, the feed-forward output), then the head's two.
local function layer_site(i, k)
  return 1 + 3 * i + k
end

--- @tparam table config normalised configuration (fsam.formats.huggingface)
-- @tparam table weights name → parameter (fsam.pass.views)
-- @tparam table dropout hidden, attention, pooler: probabilities
function Encoder.new(config, weights, dropout)
  local self = setmetatable({ config = config, p = dropout, layers = {} }, Encoder)
  local prefix = config.model_type .. "."
  local function get(name)
    return weights:get(name)
  end
  local function norm(name)
    local gamma, beta = get(name .. ".weight"), get(name .. ".bias")
    return { gamma = gamma, beta = beta, eps = config.layer_norm_eps }
  end
  local function dense(name)
    return { weight = get(name .. ".weight"), bias = get(name .. ".bias") }
  end
  local e = prefix .. "embeddings."
  self.tables = {
    word = get(e .. "word_embeddings.weight"),
    position = get(e .. "position_embeddings.weight"),
    token_type = get(e .. "token_type_embeddings.weight"),
  }
  self.norm = norm(e .. "LayerNorm")
  for i = 0, config.num_hidden_layers - 1 do
    local base = prefix .. "encoder.layer." .. i
    local attention = base .. ".attention.self."
    self.layers[i + 1] = {
      name = "layer " .. i,
      qkv = weights:group({ attention .. "query", attention .. "key", attention .. "value" }),
      projection = dense(base .. ".attention.output.dense"),
      attention_norm = norm(base .. ".attention.output.LayerNorm"),
      up = dense(base .. ".intermediate.dense"),
      down = dense(base .. ".output.dense"),
      output_norm = norm(base .. ".output.LayerNorm"),
    }
  end
  if config.model_type == "bert" then
    self.dense, self.out = dense(prefix .. "pooler.dense"), dense("classifier")
  else
    self.dense, self.out = dense("classifier.dense"), dense("classifier.out_proj")
  end
  return self
end

-- One layer: x[T,H] → [T,H].
local function layer_forward(self, tape, layer, i, x)
  local config, p, name = self.config, self.p, layer.name
  local qkv = ops.linear_group(tape, x, layer.qkv, name .. " qkv")
  local attended = ops.attention(tape, qkv, config.num_attention_heads,
    tape:dropout(p.attention, layer_site(i, 0)), name .. " attention")
  local projected = ops.linear(tape, attended, layer.projection.weight, nil, name .. " projection")
  x = ops.residual_layernorm(tape, projected, layer.projection.bias, x, layer.attention_norm,
    tape:dropout(p.hidden, layer_site(i, 1)), name .. " attention norm")
  local up = ops.linear(tape, x, layer.up.weight, nil, name .. " up")
  local active = ops.gelu(tape, up, layer.up.bias, config.gelu, name .. " gelu")
  local down = ops.linear(tape, active, layer.down.weight, nil, name .. " down")
  return ops.residual_layernorm(tape, down, layer.down.bias, x, layer.output_norm,
    tape:dropout(p.hidden, layer_site(i, 2)), name .. " output norm")
end

--- Hidden states of the last layer: [T,H].
function Encoder:hidden(tape)
  local x = ops.embedding(tape, self.tables, self.norm, tape:dropout(self.p.hidden, 0), "embedding")
  for i, layer in ipairs(self.layers) do
    x = layer_forward(self, tape, layer, i - 1, x)
  end
  return x
end

--- Logits of the tape's batch: [B,C] in f32.
-- BERT: dense, tanh (the pooler), dropout, classifier. RoBERTa: dropout, dense, tanh, dropout,
-- classifier; fairseq's head is the same with pooler dropout 0.
function Encoder:forward(tape)
  local site = layer_site(#self.layers, 0)
  local x = ops.gather(tape, self:hidden(tape), "first token")
  if self.config.model_type == "roberta" then
    x = ops.dropout(tape, x, tape:dropout(self.p.pooler, site), "head input")
  end
  x = ops.tanh(tape, ops.linear(tape, x, self.dense.weight, self.dense.bias, "pooler"), "pooled")
  x = ops.dropout(tape, x, tape:dropout(self.p.pooler, site + 1), "pooled, dropped")
  return ops.linear(tape, x, self.out.weight, self.out.bias, "logits")
end

return Encoder
