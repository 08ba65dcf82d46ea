--- What each family makes of files that pre-training saved: other heads, no head, no prefix.
local config_of = require("fsam.models.config")
local devices = require("fsam.base.device")
local families = require("fsam.models.families")
local ffi = require("fsam.C").ffi
local helper = require("spec.helper")
local json = require("fsam.base.json")
local models = require("fsam.models")
local safetensors = require("fsam.formats.safetensors")

local HEAD, POOLER = "new head: the file has none", "new pooler: the file has none"

-- By family: fields besides BERT's, the class that saved the file, names of tensors that it has for
-- itself, which of the classifier's own it lacks, and the parts that start new.
local FILES = {
  albert = {
    { class = "AlbertForPreTraining", own = { "predictions.LayerNorm.bias", "predictions.bias",
      "sop_classifier.classifier.bias", "albert.embeddings.position_ids" },
      lacks = "^classifier", new = { HEAD } },
    { class = "AlbertForMaskedLM", own = { "predictions.decoder.bias" },
      lacks = "^classifier", also = "^albert%.pooler", new = { POOLER, HEAD } },
  },
  bert = {
    { class = "BertForPreTraining", own = { "cls.predictions.bias", "cls.seq_relationship.bias" },
      lacks = "^classifier", new = { HEAD } },
  },
  distilbert = {
    { class = "DistilBertForMaskedLM", own = { "vocab_projector.bias", "vocab_transform.bias",
      "vocab_layer_norm.bias" }, lacks = "classifier", new = { HEAD } },
  },
  electra = {
    { class = "ElectraForPreTraining", own = { "discriminator_predictions.dense.bias" },
      lacks = "^classifier", new = { HEAD } },
  },
  roberta = {
    { class = "RobertaForMaskedLM", own = { "lm_head.bias", "roberta.pooler.dense.bias" },
      lacks = "^classifier", new = { HEAD } },
  },
  ["xlm-roberta"] = {
    { class = "XLMRobertaForMaskedLM", own = { "lm_head.bias", "lm_head.layer_norm.bias" },
      lacks = "^classifier", new = { HEAD } },
  },
}

-- config.json of a tiny model.
local function fields_of(name)
  local fields, names = { model_type = name }, {}
  for _, field in ipairs(families.get(name).fields) do
    names[field[1]] = field.file
  end
  for key, value in pairs({ vocab_size = 20, hidden_size = 16, num_hidden_layers = 2,
    num_attention_heads = 2, intermediate_size = 24, max_position_embeddings = 12,
    initializer_range = 0.2 }) do
    fields[names[key] or key] = value
  end
  fields.embedding_size = (name == "albert" or name == "electra") and 12 or nil
  return fields
end

local function values_of(model, name)
  return model.params:master(model.params.by_name[name]):read()
end

describe("a file of pre-training", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function write(fields, model, file, prefix, replaced)
    local list = {}
    for i, name in ipairs(file.own) do
      list[i] = { name = name, dtype = "F32", shape = { 2 }, data = ffi.new("float[2]") }
    end
    for _, parameter in ipairs(model.params.parameters) do
      local name = parameter.name
      if not (name:find(file.lacks) or file.also and name:find(file.also)) then
        list[#list + 1] = { name = (name:gsub("^" .. prefix:gsub("%.", "%%."), replaced)),
          dtype = "F32", shape = parameter.shape, data = model.params:master(parameter) }
      end
    end
    fields.architectures = json.array({ file.class })
    helper.write_file(folder .. "/config.json", json.encode(fields))
    safetensors.write(folder .. "/model.safetensors", list)
  end

  local function check(model, file)
    local loaded = models.load({ device = devices.open("cpu"), path = folder, seed = 2 })
    local expected = {}
    for i, reason in ipairs(file.new) do
      expected[i] = reason .. "; it starts from random values (seed 2, fairseq initialisation)"
    end
    assert.same(expected, loaded.announcements)
    for _, parameter in ipairs(model.params.parameters) do
      local name, kind = parameter.name, parameter.kind
      local fresh = name:find(file.lacks) or file.also and name:find(file.also)
      if not fresh then
        assert.same(values_of(model, name), values_of(loaded, name), name)
      elseif kind ~= "norm" and not name:find("bias$") then
        assert.is_not.same(values_of(model, name), values_of(loaded, name), name)
      end
    end
  end

  for name, files in pairs(FILES) do
    for _, file in ipairs(files) do
      it(("of %s loads with and without the prefix of its names"):format(file.class), function()
        local fields = fields_of(name)
        local model = models.new({ device = devices.open("cpu"), seed = 7,
          config = config_of.check(fields, name) })
        local prefix = families.get(name).prefix
        for _, replaced in ipairs({ prefix, "" }) do
          write(fields, model, file, prefix, replaced)
          check(model, file)
        end
      end)
    end
  end

  it("is known of every family", function()
    for _, name in ipairs(families.names()) do
      assert.is_table(FILES[name], name)
    end
  end)
end)
