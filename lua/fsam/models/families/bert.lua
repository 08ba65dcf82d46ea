--- BERT (Devlin et al. 2019) with the classifier of Transformers' BertForSequenceClassification:
-- encoder, pooler (first token, dense, tanh), dropout, linear map to the labels.
local blocks = require("fsam.models.blocks")
local families = require("fsam.models.families")
local ops = require("fsam.pass.ops")

local function build(d, config, dropout)
  local h = config.hidden_size
  local embeddings = blocks.embeddings(d, config, "bert.embeddings.", h, dropout)
  local encoder = blocks.encoder(d, config, "bert.encoder.layer.", dropout)
  d:at(config.num_hidden_layers, "pooler")
  local pooler = d:linear("head", "bert.pooler.dense", h, h)
  d:at(config.num_hidden_layers, "head")
  local out = d:linear("head", "classifier", config.num_labels, h)
  return {
    forward = function(_, tape)
      local x = ops.gather(tape, encoder(tape, embeddings(tape), "first"), "first token")
      x = ops.tanh(tape, ops.linear(tape, x, pooler.weight, pooler.bias, "pooler"), "pooled")
      x = blocks.head_dropout(tape, config.num_hidden_layers, dropout, 1, x, "pooled, dropped")
      return ops.linear(tape, x, out.weight, out.bias, "logits")
    end,
  }
end

families.define("bert", {
  class = "BertForSequenceClassification",
  fields = blocks.fields({ defaults = { pad_token_id = 0 } }),
  check = function(config, source)
    blocks.check_one_width(config, source)
    blocks.check(config, source)
  end,
  build = build,
  position_offset = function()
    return 0
  end,
  prefix = "bert.",
  bare = { "^embeddings%.", "^encoder%.", "^pooler%." },
  ignored = blocks.ignored({ "^cls%." }), -- the heads of pre-training
  output = "classifier.weight",
  fresh = { layer_norm_eps = 1e-12, max_position_embeddings = 512, type_vocab_size = 2,
    pad_token_id = 0 },
  -- bert_base and bert_large are the paper's, the smaller ones Turc et al.'s (2019). tiny is ours,
  -- for the built-in corpus. With BERT's deviation of 0.02 such a narrow model starts too flat: it
  -- guesses for half of the training. 1 / sqrt(128) is the usual deviation for its width.
  presets = {
    tiny = { 2, 128, 256, 4, initializer_range = 0.09 },
    bert_tiny = { 2, 128, 512, 2, 30522 },
    bert_mini = { 4, 256, 1024, 4, 30522 },
    bert_small = { 4, 512, 2048, 8, 30522 },
    bert_base = { 12, 768, 3072, 12, 30522 },
    bert_large = { 24, 1024, 4096, 16, 30522 },
  },
})
