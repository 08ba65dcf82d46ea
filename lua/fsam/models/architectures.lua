--- Configurations to start from random weights with: `--arch NAME`. Fields are config.json's; what
-- a field does not say is Transformers' default for its model type. Sizes: Devlin et al. 2019, Liu
-- et al. 2019, and for the small BERTs Turc et al. 2019; "tiny" is ours, for the built-in corpus.
local config_json = require("fsam.formats.config")
local errors = require("fsam.errors")
local json = require("fsam.base.json")
local registry = require("fsam.base.registry")

local M = {}

-- name = { model_type, layers, hidden, feed-forward, heads, vocabulary }
local SIZES = {
  tiny = { "bert", 2, 128, 256, 4 },
  bert_tiny = { "bert", 2, 128, 512, 2, 30522 },
  bert_mini = { "bert", 4, 256, 1024, 4, 30522 },
  bert_small = { "bert", 4, 512, 2048, 8, 30522 },
  bert_base = { "bert", 12, 768, 3072, 12, 30522 },
  bert_large = { "bert", 24, 1024, 4096, 16, 30522 },
  roberta_base = { "roberta", 12, 768, 3072, 12, 50265 },
  roberta_large = { "roberta", 24, 1024, 4096, 16, 50265 },
}

-- A model this narrow starts too flat at BERT's 0.02: it takes half of the built-in corpus's
-- training to leave the plateau of guessing. 1 / sqrt(128) is the usual deviation for its width.
local INITIALIZER_RANGE = { tiny = 0.09 }

local TYPES = {
  bert = {
    architectures = json.array({ "BertForSequenceClassification" }),
    layer_norm_eps = 1e-12,
    max_position_embeddings = 512,
    type_vocab_size = 2,
    pad_token_id = 0,
  },
  roberta = {
    architectures = json.array({ "RobertaForSequenceClassification" }),
    layer_norm_eps = 1e-5,
    max_position_embeddings = 514,
    type_vocab_size = 1,
    pad_token_id = 1,
    bos_token_id = 0,
    eos_token_id = 2,
  },
}

--- The names, sorted.
function M.names()
  return registry.sorted(SIZES)
end

--- A fresh configuration (fsam.formats.config).
-- @tparam string name one of names()
-- @tparam[opt] table overrides fields to set (vocab_size is needed where the name has none)
function M.config(name, overrides)
  local size = SIZES[name]
  if not size then
    errors.unknown("--arch", name, M.names())
  end
  local config = {
    model_type = size[1],
    num_hidden_layers = size[2],
    hidden_size = size[3],
    intermediate_size = size[4],
    num_attention_heads = size[5],
    vocab_size = size[6],
    hidden_act = "gelu",
    hidden_dropout_prob = 0.1,
    attention_probs_dropout_prob = 0.1,
    initializer_range = INITIALIZER_RANGE[name] or 0.02,
    position_embedding_type = "absolute",
  }
  for _, fields in ipairs({ TYPES[size[1]], overrides or {} }) do
    for key, value in pairs(fields) do
      config[key] = value
    end
  end
  if not config.vocab_size then
    errors.raise("--arch %s has no vocabulary of its own: give vocab_size", name)
  end
  return config_json.check(config, "--arch " .. name)
end

return M
