--- A whole Hugging Face folder: loaded, asked for a prediction and for a gradient.
local fsam_load = require("fsam.models.predictor")
local json = require("fsam.base.json")
local mutate = require("spec.fuzz.mutate")
local seeds = require("spec.fuzz.seeds")

local CONFIG = json.encode({ model_type = "bert", vocab_size = 20, hidden_size = 8,
  num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 8,
  max_position_embeddings = 16, type_vocab_size = 2, hidden_act = "gelu", layer_norm_eps = 1e-12,
  id2label = { ["0"] = "no", ["1"] = "yes" }, label2id = { no = 0, yes = 1 },
  architectures = { "BertForSequenceClassification" } })

-- Name and shape of each tensor of that model.
local function shapes()
  local list = { { "bert.embeddings.word_embeddings.weight", 20, 8 },
    { "bert.embeddings.position_embeddings.weight", 16, 8 },
    { "bert.embeddings.token_type_embeddings.weight", 2, 8 },
    { "bert.embeddings.LayerNorm.weight", 8 }, { "bert.embeddings.LayerNorm.bias", 8 },
    { "bert.pooler.dense.weight", 8, 8 }, { "bert.pooler.dense.bias", 8 },
    { "classifier.weight", 2, 8 }, { "classifier.bias", 2 } }
  for _, part in ipairs({ "attention.self.query", "attention.self.key", "attention.self.value",
    "attention.output.dense", "intermediate.dense", "output.dense" }) do
    list[#list + 1] = { "bert.encoder.layer.0." .. part .. ".weight", 8, 8 }
    list[#list + 1] = { "bert.encoder.layer.0." .. part .. ".bias", 8 }
  end
  for _, part in ipairs({ "attention.output.LayerNorm", "output.LayerNorm" }) do
    list[#list + 1] = { "bert.encoder.layer.0." .. part .. ".weight", 8 }
    list[#list + 1] = { "bert.encoder.layer.0." .. part .. ".bias", 8 }
  end
  return list
end

local function weights()
  local members, at = {}, 0
  for i, row in ipairs(shapes()) do
    local bytes = 4 * row[2] * (row[3] or 1)
    members[i] = ('"%s":{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}'):format(row[1],
      table.concat(row, ",", 2), at, at + bytes)
    at = at + bytes
  end
  return mutate.tensors("{" .. table.concat(members, ",") .. "}", ("\205\204\204\61"):rep(at / 4))
end

-- A full collection for each gradient, whose vector is to be had back, takes longer than all else.
-- Here one for 200 inputs is enough.
local count, collect = 0, collectgarbage

local function seldom(what, ...)
  if what ~= nil or count % 200 == 0 then
    return collect(what or "collect", ...)
  end
end

return {
  parts = { { name = "config.json", kind = "document" },
    { name = "model.safetensors", kind = "tensors" }, { name = "vocab.txt", kind = "bytes" } },
  words = { "model_type", "roberta", "electra", "id2label", "num_labels", "problem_type",
    "regression", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "type_vocab_size", "pad_token_id", "[PAD]",
    "[UNK]", "[CLS]", "[SEP]", "dtype", "shape", "data_offsets", "F16", "BF16", "I32",
    "classifier.weight", "classifier.bias", "bert.pooler.dense.bias", "gamma" },
  seeds = function()
    return { { ["config.json"] = CONFIG, ["model.safetensors"] = weights(),
      ["vocab.txt"] = seeds.PIECES } }
  end,
  start = function()
    getfenv(fsam_load).collectgarbage = seldom -- the library has global names of its own
  end,
  run = function(_, folder)
    count = count + 1
    seldom() -- arenas are larger than they look to the collector
    local model = fsam_load(folder, { device = "cpu", untrained = "accept" })
    model:predict("the cat", "a cats!")
    model:gradient("the cats.", model.config.labels[1])
  end,
}
