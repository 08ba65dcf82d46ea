--- ELECTRA's discriminator (Clark et al. 2020) with the classifier of Transformers'
-- ElectraForSequenceClassification: embeddings of their own width, a linear map to the encoder's
-- width where the two differ, encoder, then on the first token dropout, dense, gelu, dropout,
-- linear map to the labels. There is no pooler. The tokenizer is BERT's.
local blocks = require("fsam.models.blocks")
local families = require("fsam.models.families")
local ops = require("fsam.pass.ops")

local function build(d, config, dropout)
  local e, h = config.embedding_size, config.hidden_size
  local embeddings = blocks.embeddings(d, config, "electra.embeddings.", e, dropout)
  local project = e ~= h and d:linear("matrix", "electra.embeddings_project", h, e)
  local encoder = blocks.encoder(d, config, "electra.encoder.layer.", dropout)
  -- The head's gelu is always the erf form; hidden_act is for the layers.
  local head = blocks.classification_head(d, config, dropout, function(tape, x)
    return ops.activation(tape, x, nil, "gelu", "pooled")
  end)
  return {
    forward = function(_, tape)
      local x = embeddings(tape)
      if project then
        x = ops.linear(tape, x, project.weight, project.bias, "projected embedding")
      end
      return head(tape, encoder(tape, x, "first"))
    end,
  }
end

families.define("electra", {
  class = "ElectraForSequenceClassification",
  fields = blocks.fields({ defaults = { pad_token_id = 0 },
    more = { { "embedding_size", 1, 2 ^ 16, 128, whole = true } } }),
  check = blocks.check,
  build = build,
  position_offset = function()
    return 0
  end,
  prefix = "electra.",
  bare = { "^embeddings%.", "^embeddings_project%.", "^encoder%." },
  -- The heads of pre-training, the discriminator's and the generator's.
  ignored = blocks.ignored({ "^discriminator_predictions%.", "^generator_" }),
  output = "classifier.out_proj.weight",
  fresh = { layer_norm_eps = 1e-12, max_position_embeddings = 512, type_vocab_size = 2,
    pad_token_id = 0 },
  -- The paper's, appendix A.
  presets = {
    electra_small = { 12, 256, 1024, 4, 30522, embedding_size = 128 },
    electra_base = { 12, 768, 3072, 12, 30522, embedding_size = 768 },
    electra_large = { 24, 1024, 4096, 16, 30522, embedding_size = 1024 },
  },
})
