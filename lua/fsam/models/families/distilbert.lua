--- DistilBERT (Sanh et al. 2019) with the classifier of Transformers'
-- DistilBertForSequenceClassification: BERT without token types and without a pooler; on the first
-- token dense, relu, dropout, linear map to the labels. Its configuration has names of its own.
local blocks = require("fsam.models.blocks")
local families = require("fsam.models.families")
local ops = require("fsam.pass.ops")

-- What DistilBERT calls the parts of a layer.
local NAMES = {
  query = "attention.q_lin", key = "attention.k_lin", value = "attention.v_lin",
  projection = "attention.out_lin", attention_norm = "sa_layer_norm",
  up = "ffn.lin1", down = "ffn.lin2", output_norm = "output_layer_norm",
}

local function build(d, config, dropout)
  local h, depth = config.hidden_size, config.num_hidden_layers
  local embeddings = blocks.embeddings(d, config, "distilbert.embeddings.", h, dropout)
  -- There is no dropout after attention's output.
  local encoder = blocks.encoder(d, config, "distilbert.transformer.layer.",
    { hidden = dropout.hidden, attention = dropout.attention, projection = 0 }, NAMES)
  d:at(depth, "head")
  local dense = d:linear("head", "pre_classifier", h, h)
  local out = d:linear("head", "classifier", config.num_labels, h)
  return {
    forward = function(_, tape)
      local x = ops.gather(tape, encoder(tape, embeddings(tape), "first"), "first token")
      x = ops.linear(tape, x, dense.weight, nil, "pre-classifier")
      x = ops.activation(tape, x, dense.bias, "relu", "pooled")
      x = blocks.head_dropout(tape, depth, dropout, 1, x, "pooled, dropped")
      return ops.linear(tape, x, out.weight, out.bias, "logits")
    end,
  }
end

families.define("distilbert", {
  class = "DistilBertForSequenceClassification",
  fields = blocks.fields({
    names = { hidden_size = "dim", num_hidden_layers = "n_layers", num_attention_heads = "n_heads",
      intermediate_size = "hidden_dim", hidden_act = "activation", hidden_dropout_prob = "dropout",
      attention_probs_dropout_prob = "attention_dropout",
      classifier_dropout = "seq_classif_dropout" },
    defaults = { pad_token_id = 0, classifier_dropout = 0.2 },
    fixed = { type_vocab_size = 0, layer_norm_eps = 1e-12 },
  }),
  check = blocks.check,
  build = build,
  position_offset = function()
    return 0
  end,
  prefix = "distilbert.",
  bare = { "^embeddings%.", "^transformer%." },
  ignored = blocks.ignored({ "^vocab_" }), -- the head of pre-training
  output = "classifier.weight",
  fresh = { max_position_embeddings = 512, pad_token_id = 0, classifier_dropout = 0.2 },
  presets = {
    distilbert_base = { 6, 768, 3072, 12, 30522 },
    distilbert_base_multilingual = { 6, 768, 3072, 12, 119547 },
  },
})
