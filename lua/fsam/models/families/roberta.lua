--- RoBERTa (Liu et al. 2019) with the classifier of Transformers' RobertaForSequenceClassification:
-- encoder, then on the first token dropout, dense, tanh, dropout, linear map to the labels.
-- fairseq's head is the same with pooler dropout 0.
local blocks = require("fsam.models.blocks")
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local ops = require("fsam.pass.ops")

-- fairseq numbers positions from the one after the padding's.
local function position_offset(config)
  return config.pad_token_id + 1
end

local function build(d, config, dropout)
  local embeddings = blocks.embeddings(d, config, "roberta.embeddings.", config.hidden_size,
    dropout)
  local encoder = blocks.encoder(d, config, "roberta.encoder.layer.", dropout)
  local head = blocks.classification_head(d, config, dropout, function(tape, x)
    return ops.tanh(tape, x, "pooled")
  end)
  return {
    forward = function(_, tape)
      return head(tape, encoder(tape, embeddings(tape), "first"))
    end,
  }
end

families.define("roberta", {
  class = "RobertaForSequenceClassification",
  fields = blocks.fields({ defaults = { pad_token_id = 1 } }),
  check = function(config, source)
    blocks.check_one_width(config, source)
    blocks.check(config, source)
    if config.max_position_embeddings <= position_offset(config) then
      errors.raise("%s: max_position_embeddings %d leaves no position after the padding's %d",
        source, config.max_position_embeddings, config.pad_token_id)
    end
  end,
  build = build,
  position_offset = position_offset,
  prefix = "roberta.",
  bare = { "^embeddings%.", "^encoder%.", "^pooler%." },
  -- The head of pre-training; and a pooler, which some files have and the classifier never reads.
  ignored = blocks.ignored({ "^lm_head%.", "^roberta%.pooler%." }),
  output = "classifier.out_proj.weight",
  fresh = { layer_norm_eps = 1e-5, max_position_embeddings = 514, type_vocab_size = 1,
    pad_token_id = 1, bos_token_id = 0, eos_token_id = 2 },
  -- distilroberta_base is Sanh et al.'s (2019).
  presets = {
    distilroberta_base = { 6, 768, 3072, 12, 50265 },
    roberta_base = { 12, 768, 3072, 12, 50265 },
    roberta_large = { 24, 1024, 4096, 16, 50265 },
  },
})
