--- ELECTRA: loading what pre-training saves, and starting values. Its numbers against Transformers
-- are in ../models_spec.lua.
local config_of = require("fsam.models.config")
local devices = require("fsam.base.device")
local ffi = require("fsam.C").ffi
local helper = require("spec.helper")
local json = require("fsam.base.json")
local models = require("fsam.models")
local safetensors = require("fsam.formats.safetensors")

local FIELDS = { model_type = "electra", architectures = { "ElectraForPreTraining" },
  vocab_size = 20, embedding_size = 24, hidden_size = 32, num_hidden_layers = 1,
  num_attention_heads = 2, intermediate_size = 48, max_position_embeddings = 20,
  initializer_range = 0.2 }

local function new(head_init)
  return models.new({ device = devices.open("cpu"), config = config_of.check(FIELDS, "electra"),
    head_init = head_init, seed = 7 })
end

local function values_of(model, name)
  return model.params:master(model.params.by_name[name]):read()
end

describe("ELECTRA", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  -- Writes a model as ElectraForPreTraining saves it: its own head, no classifier. `rename` may
  -- change a name, or give nil to leave the tensor out.
  local function pretrained(model, rename)
    local list = { { name = "discriminator_predictions.dense.bias", dtype = "F32", shape = { 2 },
      data = ffi.new("float[2]") }, { name = "generator_predictions.LayerNorm.bias", dtype = "F32",
      shape = { 1 }, data = ffi.new("float[1]") } }
    for _, parameter in ipairs(model.params.parameters) do
      local name = not parameter.name:find("^classifier") and rename(parameter.name)
      if name then
        list[#list + 1] = { name = name, dtype = "F32", shape = parameter.shape,
          data = model.params:master(parameter) }
      end
    end
    helper.write_file(folder .. "/config.json", json.encode(FIELDS))
    safetensors.write(folder .. "/model.safetensors", list)
  end

  local function load()
    return models.load({ device = devices.open("cpu"), path = folder, seed = 2 })
  end

  it("is loaded from its pre-training, with a new head, with and without prefix", function()
    local model = new()
    for _, prefix in ipairs({ "electra.", "" }) do
      pretrained(model, function(name)
        return (name:gsub("^electra%.", prefix))
      end)
      local loaded = load()
      assert.same({ "new head: the file has none; it starts from random values (seed 2, fairseq "
        .. "initialisation)" }, loaded.announcements)
      for _, parameter in ipairs(model.params.parameters) do
        local same = pcall(assert.same, values_of(model, parameter.name),
          values_of(loaded, parameter.name))
        assert.equal(not parameter.name:find("^classifier"), same, parameter.name)
      end
    end
  end)

  it("is not loaded without its projection", function()
    pretrained(new(), function(name)
      return name ~= "electra.embeddings_project.bias" and name
    end)
    local ok, err = pcall(load)
    assert.is_false(ok)
    assert.equal(folder .. "/model.safetensors lacks 1 tensor: electra.embeddings_project.bias",
      tostring(err))
  end)

  it("starts its head and its projection by their own rules", function()
    local function largest(model, name)
      local most = 0
      for _, x in ipairs(values_of(model, name)) do
        most = math.max(most, math.abs(x))
      end
      return most
    end
    local model, bound = new(), 1 / math.sqrt(32)
    for _, name in ipairs({ "classifier.dense.weight", "classifier.dense.bias",
      "classifier.out_proj.weight" }) do
      local most = largest(model, name)
      assert.is_true(most <= bound and most > 0.7 * bound, name)
    end
    assert.equal(0, largest(model, "electra.embeddings_project.bias"))
    assert.is_true(largest(model, "electra.embeddings_project.weight") > 0.4) -- N(0, 0.2)
    assert.equal(0, largest(new("hf"), "classifier.dense.bias"))
    local row = values_of(model, "electra.embeddings.word_embeddings.weight")
    for i = 1, 24 do
      assert.equal(0, row[i]) -- the pad's
    end
    assert.is_true(math.abs(row[25]) > 0)
  end)
end)
