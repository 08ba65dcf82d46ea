--- The register of families: what `define` takes, presets, and what a family decides.
local Pass = require("fsam.pass")
local architectures = require("fsam.models.architectures")
local blocks = require("fsam.models.blocks")
local config_of = require("fsam.models.config")
local declaration = require("fsam.models.declaration")
local devices = require("fsam.base.device")
local families = require("fsam.models.families")
local helper = require("spec.helper")
local models = require("fsam.models")
local ops = require("fsam.pass.ops")
local packing = require("fsam.data.packing")

-- A tiny configuration of a family.
local function raw(model_type, more)
  local fields = { model_type = model_type, vocab_size = 20, hidden_size = 32,
    num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 48,
    max_position_embeddings = 20, initializer_range = 0.2 }
  for key, value in pairs(more or {}) do
    fields[key] = value
  end
  return fields
end

local function count(config)
  local sum = 0
  for _, parameter in ipairs(declaration.list(config)) do
    local n = 1
    for _, size in ipairs(parameter.shape) do
      n = n * size
    end
    sum = sum + n
  end
  return sum
end

local function samples(from, to)
  local list = {}
  for i = from, to do
    local ids = { 2 }
    for k = 2, 4 + 3 * i do
      ids[k] = 3 + (5 * i + 7 * k) % 17
    end
    list[#list + 1] = { ids = ids, label = i % 2 }
  end
  return list
end

local function pack(model, list, first)
  return packing.pack(list, { pad_id = model.pad_id, position_offset = model.position_offset,
    first_ordinal = first or 0 })
end

-- The gradient of one training pass over the batches.
local function gradient(model, batches)
  local evaluate = Pass.new({ model = model, seed = 5 }):bind({ step = 3, batches = batches,
    training = true })
  evaluate({ into = model.params.g, backward = true })
  local values = {}
  for _, parameter in ipairs(model.params.parameters) do
    for _, x in ipairs(model.params:grad(parameter):read()) do
      values[#values + 1] = x
    end
  end
  return values
end

local function difference(a, b)
  local worst, scale = 0, 0
  for i = 1, #a do
    worst, scale = math.max(worst, math.abs(a[i] - b[i])), math.max(scale, math.abs(a[i]))
  end
  return worst / scale
end

describe("families", function()
  it("have the parameters of Transformers' classes, with two labels", function()
    for name, expected in pairs({
      bert_base = 109483778, roberta_base = 124647170, electra_small = 13549314,
      electra_base = 109483778, electra_large = 335143938,
    }) do
      assert.equal(expected, count(architectures.config(name)), name)
    end
  end)

  it("number each dropout of a pass once, from 0 to the head's two", function()
    local two_in_head = { bert = false, electra = true, roberta = true }
    for name, two in pairs(two_in_head) do
      local model = models.new({ device = devices.open("cpu"), config = config_of.check(raw(name),
        name), dropout = 0.1, attention_dropout = 0.1, pooler_dropout = 0.1 })
      local graph, seen = model.graph, {}
      model.graph = { forward = function(_, tape)
        local dropout = tape.dropout
        tape.dropout = function(self, p, site)
          seen[#seen + 1] = site
          return dropout(self, p, site)
        end
        return graph:forward(tape)
      end }
      gradient(model, { pack(model, samples(1, 2)) })
      assert.same(two and { 0, 1, 2, 3, 4, 5, 6, 7, 8 } or { 0, 1, 2, 3, 4, 5, 6, 8 }, seen)
    end
  end)

  it("drop the same in micro-batches as in one batch", function()
    for _, embedding_size in ipairs({ 24, 32 }) do
      local config = config_of.check(raw("electra", { embedding_size = embedding_size }), "electra")
      local model = models.new({ device = devices.open("cpu"), config = config, dropout = 0.2,
        attention_dropout = 0.2, pooler_dropout = 0.2 })
      local whole = gradient(model, { pack(model, samples(1, 4)) })
      local parts = gradient(model, { pack(model, samples(1, 1)), pack(model, samples(2, 4), 1) })
      assert.is_true(difference(whole, parts) < 1e-5)
      local other = models.new({ device = devices.open("cpu"), config = config, dropout = 0,
        attention_dropout = 0, pooler_dropout = 0 })
      assert.is_true(difference(whole, gradient(other, { pack(other, samples(1, 4)) })) > 1e-2)
    end
  end)

  describe("of a user", function()
    -- The first token's embedding, straight to the labels.
    local bag = {
      class = "BagForSequenceClassification",
      fields = { { "vocab_size", 1, 100, whole = true }, { "hidden_size", 8, 64, whole = true },
        { "num_hidden_layers", 0, 0, 0, whole = true }, { "pad_token_id", 0, 100, 0, whole = true },
        { "max_position_embeddings", 1, 100, 16, whole = true },
        { "type_vocab_size", 1, 2, 1, whole = true }, { "layer_norm_eps", 0, 1, 1e-5 },
        { "initializer_range", 0, 1, 0.1 }, { "hidden_dropout_prob", 0, 1, 0 },
        { "attention_probs_dropout_prob", 0, 1, 0 }, { "classifier_dropout", 0, 1, 0 } },
      build = function(d, config, dropout)
        local embeddings = blocks.embeddings(d, config, "bag.", config.hidden_size, dropout)
        d:at(0, "head")
        local out = d:linear("head", "classifier", config.num_labels, config.hidden_size)
        return { forward = function(_, tape)
          local x = ops.gather(tape, embeddings(tape), "first token")
          return ops.linear(tape, x, out.weight, out.bias, "logits")
        end }
      end,
      position_offset = function() return 0 end,
      prefix = "bag.", bare = {}, ignored = {}, output = "classifier.weight", fresh = {},
      presets = { bag_small = { nil, 16, nil, nil, 30 } },
    }

    it("is loaded, saved and started like a built-in one", function()
      models.define("bag", bag)
      local model = models.new({ device = devices.open("cpu"), arch = "bag_small", labels = { "a",
        "b", "c" } })
      assert.equal(30 * 16 + 16 * 16 + 16 + 2 * 16 + 3 * 16 + 3, model.count)
      local folder = helper.temp_dir()
      finally(function() helper.remove_dir(folder) end)
      model:save(folder)
      local again = models.load({ device = devices.open("cpu"), path = folder })
      assert.same({}, again.announcements)
      local batch = pack(model, samples(1, 3))
      assert.same(Pass.new({ model = model }):predict(batch),
        Pass.new({ model = again }):predict(batch))
      assert.matches('"architectures": %["BagForSequenceClassification"%]',
        (helper.read_file(folder .. "/config.json"):gsub("%s+", " "):gsub("%[ ", "[")
          :gsub(" %]", "]")))
    end)

    it("is refused with the part that is missing", function()
      local function refused(...)
        local ok, err = pcall(families.define, ...)
        assert.is_false(ok)
        return tostring(err)
      end
      assert.equal('models.define("x"): bare is nil, expected a table', refused("x", {}))
      assert.matches("fsam.models.define: name is missing, expected a text$", refused(nil, {}))
      local half = {}
      for key, value in pairs(bag) do
        half[key] = value
      end
      half.build = "forward"
      assert.equal('models.define("x"): build is string, expected a function', refused("x", half))
      half.build, half.bild = bag.build, bag.build
      assert.matches('^models.define%("x"%): part bild is unknown; did you mean build%?',
        refused("x", half))
      half.bild, half.fields = nil, { bag.fields[1], bag.fields[2] }
      assert.equal('models.define("x"): its fields lack num_hidden_layers', refused("x", half))
      assert.is_nil(families.get("x"))
    end)
  end)
end)
