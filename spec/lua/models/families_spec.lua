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
local optimizers = require("fsam.step")
local packing = require("fsam.data.packing")

-- A tiny configuration of a family, by the names of its own fields in config.json.
local function raw(model_type, more)
  local fields, names = { model_type = model_type }, {}
  for _, field in ipairs(families.get(model_type).fields) do
    names[field[1]] = field.file
  end
  for _, from in ipairs({ { vocab_size = 20, hidden_size = 32, num_hidden_layers = 2,
    num_attention_heads = 2, intermediate_size = 48, max_position_embeddings = 20,
    initializer_range = 0.2 }, more or {} }) do
    for key, value in pairs(from) do
      fields[names[key] or key] = value
    end
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

-- The gradient of one training pass over the batches, or what else it is asked for.
local function gradient(model, batches, request)
  local evaluate = Pass.new({ model = model, seed = 5 }):bind({ step = 3, batches = batches,
    training = true })
  evaluate({ into = model.params.g, backward = true, squares = request and request.squares })
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
      electra_base = 109483778, electra_large = 335143938, albert_base_v2 = 11685122,
      albert_large_v2 = 17686018, albert_xlarge_v2 = 58728962, albert_xxlarge_v2 = 222603778,
      distilbert_base = 66955010, distilroberta_base = 82119938, xlmr_base = 278045186,
    }) do
      assert.equal(expected, count(architectures.config(name)), name)
    end
  end)

  it("number each dropout of a pass once, from 0 to the head's two", function()
    -- ALBERT's two layers, of one group of two, are four runs of shared weights.
    for name, expected in pairs({
      bert = { 0, 1, 2, 3, 4, 5, 6, 8 }, electra = { 0, 1, 2, 3, 4, 5, 6, 7, 8 },
      roberta = { 0, 1, 2, 3, 4, 5, 6, 7, 8 }, ["xlm-roberta"] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 },
      distilbert = { 0, 1, 3, 4, 6, 8 }, albert = { 0, 1, 2, 4, 5, 7, 8, 10, 11, 14 },
    }) do
      local more = name == "albert" and { embedding_size = 24, inner_group_num = 2 } or nil
      local model = models.new({ device = devices.open("cpu"), config = config_of.check(raw(name,
        more), name), dropout = 0.1, attention_dropout = 0.1, pooler_dropout = 0.1 })
      local graph, seen = model.graph, {}
      model.graph = { forward = function(_, tape)
        local dropout = tape.dropout
        tape.dropout = function(self, p, site)
          local drop = dropout(self, p, site)
          seen[#seen + 1] = drop and site
          return drop
        end
        return graph:forward(tape)
      end }
      gradient(model, { pack(model, samples(1, 2)) })
      assert.same(expected, seen, name)
    end
  end)

  it("have no decay of any layer norm where --no-decay names LayerNorm", function()
    for _, name in ipairs(families.names()) do
      local model = models.new({ device = devices.open("cpu"), config = config_of.check(raw(name),
        name), no_decay = { "bias", "LayerNorm" }, no_decay_implied = true })
      for _, parameter in ipairs(model.params.parameters) do
        local kept = parameter.kind == "norm" or parameter.name:find("bias$") ~= nil
        assert.equal(not kept, parameter.decay, parameter.name)
      end
    end
  end)

  describe("in a step", function()
    local MORE = { albert = { embedding_size = 24, num_hidden_layers = 3 } }
    local OPTIONS = { rho = 0.02, fisher = "sample", keep_ratio = 0.3, mask_iter_e = 8,
      num_samples = 2 }

    -- The first and the last loss of training on four samples.
    local function losses(name, sam_type)
      local model = models.new({ device = devices.open("cpu"), config = config_of.check(raw(name,
        MORE[name]), name), seed = 2, dropout = 0.05, attention_dropout = 0.05 })
      local batch = pack(model, samples(1, 4))
      local optimizer = optimizers.build({ params = model.params, optimizer = "sam",
        base_optimizer = "adam", sam_type = sam_type, options = OPTIONS, seed = 1,
        sampler = function(n, _, _, first)
          local list = {}
          for i = 1, n do
            list[i] = pack(model, samples(i, i), first + i - 1)
          end
          return list
        end })
      local pass, first, last = Pass.new({ model = model, seed = 1 })
      for n = 0, 24 do
        local info = optimizer:step({ evaluate = pass:bind({ step = n, batches = { batch },
          training = true }), step = n, lr = 3e-3, lr_peak = 3e-3, samples = 4, micro_batches = 1,
          progress = n / 25, train_samples = 4 })
        first, last = first or info.loss, info.loss
      end
      return first, last
    end

    for _, name in ipairs({ "albert", "distilbert", "electra", "xlm-roberta" }) do
      for _, sam_type in ipairs({ "sam", "fisher-sam" }) do
        it(("%s learns by %s"):format(name, sam_type), function()
          local first, last = losses(name, sam_type)
          assert.is_true(first > 0.3 and last < 0.2 * first, ("%g → %g"):format(first, last))
        end)
      end
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

  describe("run the last layer for the rows that the head reads,", function()
    -- The same family, all of whose layers run for all rows.
    local function whole_model(o)
      local layer = blocks.layer
      finally(function() blocks.layer = layer end)
      blocks.layer = function(...)
        local run = layer(...)
        return function(tape, x, i)
          return run(tape, x, i)
        end
      end
      local model = models.new(o)
      blocks.layer = layer
      return model
    end

    -- Counts the rows of the products of a forward.
    local function count_rows(model, batch)
      local linear, rows = ops.linear, 0
      finally(function() ops.linear = linear end)
      ops.linear = function(tape, x, ...)
        rows = rows + tonumber(x.shape[0])
        return linear(tape, x, ...)
      end
      Pass.new({ model = model }):predict(batch)
      ops.linear = linear
      return rows
    end

    for _, name in ipairs(families.names()) do
      it(name .. ", with the gradients, squares and dropout of all rows", function()
        for precision, most in pairs({ fp32 = 2e-6, bf16 = 0.03 }) do
          local o = { device = devices.open("cpu"), config = config_of.check(raw(name), name),
            seed = 2, dropout = 0.2, attention_dropout = 0.2, pooler_dropout = 0.2,
            precision = precision }
          local few, all = models.new(o), whole_model(o)
          local batch = pack(few, samples(1, 4), 7)
          local saved = 3 * (batch.tokens - batch.samples)
          assert.equal(count_rows(all, batch) - saved, count_rows(few, batch))
          for _, request in ipairs({ {}, { squares = true } }) do
            assert.is_true(difference(gradient(all, { batch }, request),
              gradient(few, { batch }, request)) < most)
          end
        end
      end)
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
