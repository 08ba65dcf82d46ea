--- ALBERT: weights that several layers share. Its numbers against Transformers are in
-- ../models_spec.lua, files of its pre-training in pretrained_spec.lua.
local Pass = require("fsam.pass")
local Passes = require("fsam.step.passes")
local config_of = require("fsam.models.config")
local devices = require("fsam.base.device")
local ffi = require("fsam.C").ffi
local models = require("fsam.models")
local packing = require("fsam.data.packing")
local policies = require("fsam.mask")
local ranks = require("fsam.ranks")
local safetensors = require("fsam.formats.safetensors")

local function config(more)
  local fields = { model_type = "albert", vocab_size = 20, embedding_size = 16, hidden_size = 32,
    num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 48,
    max_position_embeddings = 20, initializer_range = 0.2 }
  for key, value in pairs(more) do
    fields[key] = value
  end
  return config_of.check(fields, "albert")
end

local function pack(model, samples)
  return packing.pack(samples, { pad_id = model.pad_id, position_offset = 0 })
end

local function read(file, name)
  local entry = file:get(name)
  local n = 1
  for _, size in ipairs(entry.shape) do
    n = n * size
  end
  local values, host = {}, ffi.new("float[?]", n)
  entry:read_f32(host, n)
  for i = 1, n do
    values[i] = host[i - 1]
  end
  return values
end

describe("ALBERT", function()
  it("has the weights of its groups once, whatever the number of layers", function()
    local function weights(more)
      return models.new({ device = devices.open("cpu"), config = config(more) }).count
    end
    local one = weights({})
    assert.equal(one, weights({ num_hidden_layers = 9 }))
    local layer = 4 * (32 * 32 + 32) + 2 * 32 * 48 + 48 + 32 + 4 * 32
    assert.equal(one + layer, weights({ num_hidden_layers = 9, num_hidden_groups = 2 }))
    assert.equal(one + 5 * layer, weights({ num_hidden_groups = 2, inner_group_num = 3 }))
  end)

  it("says where it gets dropout that it was made without", function()
    local function announced(dropout, attention_dropout)
      return models.load({ device = devices.open("cpu"), path = "spec/golden/albert_shared",
        dropout = dropout, attention_dropout = attention_dropout }).announcements
    end
    assert.same({}, announced(nil, nil))
    assert.same({}, announced(0, 0))
    assert.same({ "--dropout is 0.1; the checkpoint's own is 0",
      "--attention-dropout is 0.2; the checkpoint's own is 0" }, announced(0.1, 0.2))
  end)

  it("keeps the activations of each run of a layer", function()
    local function peak(layers)
      local model = models.new({ device = devices.open("cpu"),
        config = config({ num_hidden_layers = layers }) })
      local pass, ids = Pass.new({ model = model }), {}
      for k = 1, 16 do
        ids[k] = 2 + k
      end
      local before = pass:memory().peak
      pass:bind({ step = 0, training = true, batches = { pack(model, { { ids = ids, label = 1 } }) }
        })({ into = model.params.g, backward = true })
      assert.is_true(pass:memory().peak > before)
      return pass:memory().peak
    end
    local two, four, eight = peak(2), peak(4), peak(8)
    assert.equal(2 * (four - two), eight - four)
    assert.is_true(four > two)
  end)

  it("has a Fisher information that is the square of the sum over a weight's uses", function()
    for _, name in ipairs({ "albert_groups", "albert_shared" }) do
      local model = models.load({ device = devices.open("cpu"), path = "spec/golden/" .. name,
        dropout = 0, attention_dropout = 0, pooler_dropout = 0 })
      local file = safetensors.open("spec/golden/" .. name .. "/case_one.safetensors")
      local batch = pack(model, { { ids = file:get("ids"):values(),
        token_types = file:get("types"):values(), label = file:get("labels"):values()[1] } })
      local evaluate = Pass.new({ model = model }):bind({ step = 0, batches = { batch },
        training = true })
      -- Two passes of one sample: twice its squares.
      local passes = Passes.new(evaluate, { gradient = function() end }, ranks.alone)
      local fisher = policies.get("sample").values(
        { g = model.params.g, num_samples = 2, step = 0, N = 1 },
        { params = model.params, seed = 1, sampler = function(n)
          assert.equal(2, n)
          return { batch, batch }
        end, squares = function(batches)
          return passes:squares({ batches = batches, into = model.params.g, sum = "fisher" },
            "the loss")
        end, finite = function(x) return x end })
      for _, parameter in ipairs(model.params.parameters) do
        local got = model.params:grad(parameter, fisher):read()
        local largest = 0
        local golden = read(file, "grad." .. parameter.name)
        for i, g in ipairs(golden) do
          golden[i] = 2 * g * g
          largest = math.max(largest, golden[i])
        end
        assert.near(golden, got, 3e-4 * largest + 1e-12, parameter.name)
      end
    end
  end)
end)
