--- config.json: checked, written, and checked again.
local config_of = require("fsam.models.config")
local json = require("fsam.base.json")
local seeds = require("spec.fuzz.seeds")
local utf8 = require("fsam.base.utf8")

local NAMES = { "bert_small", "roberta_small", "electra_small", "albert_groups",
  "distilbert_small", "xlm_roberta_small" }

return {
  parts = { { name = "config.json", kind = "document" } },
  files = false,
  words = { "model_type", "bert", "roberta", "electra", "id2label", "label2id", "num_labels",
    "problem_type", "regression", "hidden_act", "gelu_new", "position_embedding_type", "absolute",
    "is_decoder", "pad_token_id", "vocab_size", "hidden_size", "num_attention_heads",
    "architectures", "classifier_dropout", "albert", "num_hidden_groups", "inner_group_num",
    "distilbert", "dim", "n_heads", "activation", "relu", "seq_classif_dropout", "xlm-roberta",
    "layer_norm_eps", "LABEL_0" },
  seeds = function()
    local list = {}
    for i, name in ipairs(NAMES) do
      list[i] = { ["config.json"] = seeds.config(name) }
    end
    return list
  end,
  run = function(bundle)
    local config = config_of.check(json.decode(bundle["config.json"] or "", "config.json"),
      "config.json")
    local again = config_of.check(json.decode(config_of.encode(config), "written"), "written")
    for _, field in ipairs(config.family.fields) do
      assert(again[field[1]] == config[field[1]], "a field is written as another")
    end
    for i, label in ipairs(config.labels) do -- JSON holds UTF-8 alone
      assert(again.labels[i] == utf8.clean(label), "a label is written as another")
    end
    assert(#again.labels == #config.labels, "labels are lost")
  end,
}
