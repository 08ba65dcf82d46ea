--- ALBERT (Lan et al. 2020) with the classifier of Transformers' AlbertForSequenceClassification:
-- embeddings of their own width, a linear map to the encoder's width, layers that share their
-- weights in groups, pooler (first token, dense, tanh), dropout, linear map to the labels.
local blocks = require("fsam.models.blocks")
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local ops = require("fsam.pass.ops")

-- What ALBERT calls the parts of a layer.
local NAMES = {
  query = "attention.query", key = "attention.key", value = "attention.value",
  projection = "attention.dense", attention_norm = "attention.LayerNorm",
  up = "ffn", down = "ffn_output", output_norm = "full_layer_layer_norm",
}

-- The layers. Those of one group have the same weights, which are `inner_group_num` layers that run
-- one after another; the first groups serve the first layers. There is no dropout after the
-- feed-forward part. Returns a function (tape, x[T,H]) → [B,H], of the samples' first rows.
local function encoder(d, config, dropout)
  local inner, groups = config.inner_group_num, {}
  local p = { hidden = dropout.hidden, attention = dropout.attention, output = 0 }
  for g = 0, config.num_hidden_groups - 1 do
    groups[g] = {}
    for k = 0, inner - 1 do
      d:at(g * inner + k)
      groups[g][k] = blocks.layer(d, config,
        ("albert.encoder.albert_layer_groups.%d.albert_layers.%d."):format(g, k), NAMES, p)
    end
  end
  local share = config.num_hidden_layers / config.num_hidden_groups -- layers of a group
  return function(tape, x)
    for i = 0, config.num_hidden_layers - 1 do
      local group = groups[math.floor(i / share)]
      for k = 0, inner - 1 do
        local at = i * inner + k
        x = group[k](tape, x, at, at == config.num_hidden_layers * inner - 1 and "first" or nil)
      end
    end
    return x
  end
end

local MOST = 1000 -- layers, as of the other families

-- A file may ask for no more layers than this, run or declared, before memory is taken for them.
local function check(config, source)
  blocks.check(config, source)
  for _, field in ipairs({ "num_hidden_layers", "num_hidden_groups" }) do
    if config[field] * config.inner_group_num > MOST then
      errors.raise("%s: %s %d with inner_group_num %d is more than %d layers", source, field,
        config[field], config.inner_group_num, MOST)
    end
  end
end

local function build(d, config, dropout)
  local h, e = config.hidden_size, config.embedding_size
  local embeddings = blocks.embeddings(d, config, "albert.embeddings.", e, dropout)
  local widen = d:linear("matrix", "albert.encoder.embedding_hidden_mapping_in", h, e)
  local run_layers = encoder(d, config, dropout)
  local own_layers = config.num_hidden_groups * config.inner_group_num
  d:at(own_layers, "pooler")
  local pooler = d:linear("head", "albert.pooler", h, h)
  d:at(own_layers, "head")
  local out = d:linear("head", "classifier", config.num_labels, h)
  local depth = config.num_hidden_layers * config.inner_group_num
  return {
    forward = function(_, tape)
      local x = ops.linear(tape, embeddings(tape), widen.weight, widen.bias, "wide embedding")
      x = ops.gather(tape, run_layers(tape, x), "first token")
      x = ops.tanh(tape, ops.linear(tape, x, pooler.weight, pooler.bias, "pooler"), "pooled")
      x = blocks.head_dropout(tape, depth, dropout, 1, x, "pooled, dropped")
      return ops.linear(tape, x, out.weight, out.bias, "logits")
    end,
  }
end

families.define("albert", {
  class = "AlbertForSequenceClassification",
  fields = blocks.fields({
    names = { classifier_dropout = "classifier_dropout_prob" },
    defaults = { pad_token_id = 0, hidden_dropout_prob = 0, attention_probs_dropout_prob = 0,
      classifier_dropout = 0.1, hidden_act = "gelu_new" },
    more = {
      { "embedding_size", 1, 2 ^ 16, 128, whole = true },
      { "num_hidden_groups", 1, 1000, 1, whole = true },
      { "inner_group_num", 1, 1000, 1, whole = true },
    },
  }),
  check = check,
  build = build,
  position_offset = function()
    return 0
  end,
  prefix = "albert.",
  bare = { "^embeddings%.", "^encoder%.", "^pooler%." },
  ignored = blocks.ignored({ "^predictions%.", "^sop_classifier%." }), -- pre-training's heads
  output = "classifier.weight",
  fresh = { layer_norm_eps = 1e-12, max_position_embeddings = 512, type_vocab_size = 2,
    pad_token_id = 0, bos_token_id = 2, eos_token_id = 3, embedding_size = 128,
    num_hidden_groups = 1, inner_group_num = 1, hidden_act = "gelu_new", hidden_dropout_prob = 0,
    attention_probs_dropout_prob = 0, classifier_dropout = 0.1 },
  -- The second version of the paper's, which has no dropout.
  presets = {
    albert_base_v2 = { 12, 768, 3072, 12, 30000 },
    albert_large_v2 = { 24, 1024, 4096, 16, 30000 },
    albert_xlarge_v2 = { 24, 2048, 8192, 16, 30000 },
    albert_xxlarge_v2 = { 12, 4096, 16384, 64, 30000 },
  },
})
