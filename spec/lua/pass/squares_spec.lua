-- A pass of squares, Σ_b g_b² over the samples b, against a pass for each sample: in every family,
-- for every kind of label, with part of the model frozen or skipped, and as steps use it.
local Pass = require("fsam.pass")
local Tape = require("fsam.pass.tape")
local bert = require("spec.lua.small_bert")
local config_of = require("fsam.models.config")
local devices = require("fsam.base.device")
local families = require("fsam.models.families")
local members = require("spec.lua.ranks.members")
local models = require("fsam.models")
local packing = require("fsam.data.packing")
local sam = require("fsam.sam")

-- A gradient is a sum, whose rounding the order of its terms decides: 1e-5 of the weight's own
-- value, beside what rounding leaves of terms that cancel, as large as the parameter's largest.
local TOLERANCE = { fp32 = { 1e-5, 1e-6 }, bf16 = { 0, 0.05 } }

local FAMILIES = {
  bert = {}, roberta = {}, xlm_roberta = {}, distilbert = {}, electra = { embedding_size = 8 },
  albert = { embedding_size = 8, num_hidden_layers = 1 },
}

-- A tiny model of a family, with dropout on.
local function new_model(family, o)
  o = o or {}
  local fields, names = { model_type = family:gsub("_", "-") }, {}
  for _, field in ipairs(families.get(fields.model_type).fields) do
    names[field[1]] = field.file
  end
  for _, from in ipairs({ { vocab_size = 20, hidden_size = 32, num_hidden_layers = 2,
    num_attention_heads = 2, intermediate_size = 48, max_position_embeddings = 20,
    hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1, classifier_dropout = 0.1,
    initializer_range = 0.2 }, FAMILIES[family], o.fields or {} }) do
    for key, value in pairs(from) do
      fields[names[key] or key] = value
    end
  end
  return models.new({ device = devices.open("cpu"), labels = o.labels or { "a", "b", "c" },
    seed = 3, precision = o.precision, freeze = o.freeze,
    config = config_of.check(fields, "squares_spec") })
end

local LENGTHS = { 5, 1, 9, 2, 14, 1 }

-- Batches of one sample each: unequal lengths, some of one token; tokens that come back.
local function singles(model, label, options)
  local list = {}
  for i, length in ipairs(LENGTHS) do
    local ids, types = { 2 }, { 0 }
    for k = 2, length do
      ids[k], types[k] = 3 + (5 * i + k * k) % 7, k > 4 and model.config.type_vocab_size == 2 and 1
        or 0
    end
    local o = { pad_id = model.pad_id, position_offset = model.position_offset,
      first_ordinal = 10 + i, token_bucket = 4 }
    for key, value in pairs(options or {}) do
      o[key] = value
    end
    list[i] = packing.pack({ { ids = ids, token_types = types, label = label(i) } }, o)
  end
  return list
end

local function class(i)
  return i % 3
end

-- Σ g², sample by sample, in doubles.
local function one_by_one(model, evaluate, list, request)
  local sums = {}
  for _, batch in ipairs(list) do
    local o = { batches = { batch }, into = model.params.g, backward = true }
    for key, value in pairs(request or {}) do
      o[key] = value
    end
    evaluate(o)
    for name, g in pairs(bert.values(model.params, model.params.g)) do
      sums[name] = sums[name] or {}
      for i = 1, #g do
        sums[name][i] = (sums[name][i] or 0) + g[i] ^ 2
      end
    end
  end
  return sums
end

-- A key's bias moves no attention: its gradient is what rounding leaves of 0.
local function is_noise(name)
  return name:find("key.bias", 1, true) or name:find("k_lin.bias", 1, true)
end

local function agree(want, got, precision)
  local relative, of_largest = unpack(TOLERANCE[precision or "fp32"])
  for name, list in pairs(want) do
    local largest = 0
    for i = 1, #list do
      largest = math.max(largest, list[i])
    end
    for i = 1, is_noise(name) and 0 or #list do
      local off = math.abs(list[i] - got[name][i])
      assert(off <= relative * list[i] + of_largest * largest, ("%s[%d]: %g, expected %g (%g)")
        :format(name, i, got[name][i], list[i], largest))
    end
  end
end

-- Both ways on one model; what is left in g after the pass of squares.
local function compare(model, list, o, request)
  o = o or {}
  local pass = Pass.new({ model = model, seed = 5, loss = o.loss, class_weights = o.class_weights,
    label_smoothing = o.label_smoothing })
  local evaluate = pass:bind({ step = 3, batches = {}, training = true })
  local want = one_by_one(model, evaluate, list, request)
  local squares = { batches = packing.join(list, o.tokens or 100), squares = true, backward = true,
    into = model.params.g }
  for key, value in pairs(request or {}) do
    squares[key] = value
  end
  local result = evaluate(squares)
  assert.equal(#list, #result:losses())
  local got = bert.values(model.params, model.params.g)
  agree(want, got, o.precision)
  return got, pass, evaluate
end

describe("a pass of squares", function()
  for family in pairs(FAMILIES) do
    for _, precision in ipairs({ "fp32", "bf16" }) do
      it(("is what a pass for each sample finds, in %s, %s"):format(family, precision), function()
        local model = new_model(family, { precision = precision })
        compare(model, singles(model, class), { precision = precision })
      end)
    end
  end

  it("is so for a number, for several labels, with weights and smoothing of training", function()
    local model = new_model("bert", { labels = { "a" } })
    compare(model, singles(model, function(i) return i / 3 end, { regression = true }),
      { loss = "mse" })
    model = new_model("bert")
    compare(model, singles(model, function(i) return { i % 3, 2 } end, { several = 3 }),
      { loss = "binary_cross_entropy", class_weights = { 1, 2, 0.5 } })
    compare(model, singles(model, class), { class_weights = { 1, 2, 0.5 }, label_smoothing = 0.1 })
  end)

  it("has zeros for what is frozen or skipped, beside the same rest", function()
    local frozen = new_model("bert", { freeze = { "layer.0.attention.self.key", "embeddings" } })
    local got = compare(frozen, singles(frozen, class))
    local model = new_model("bert")
    local skip = {}
    for i, parameter in ipairs(model.params.parameters) do
      skip[parameter] = i % 3 == 0 or nil
    end
    local rest = compare(model, singles(model, class), nil, { skip = skip })
    for parameter in pairs(skip) do
      assert.same({ 0, 0, 0 }, { unpack(rest[parameter.name], 1, 3) })
    end
    assert.equal(0, got["bert.embeddings.word_embeddings.weight"][1])
  end)

  it("is the same in several batches, of chosen samples, and in shares of two ranks", function()
    local model = new_model("bert")
    local list = singles(model, class)
    local whole, pass, evaluate = compare(model, list)
    agree(whole, (compare(model, list, { tokens = 10 })))
    local batches = packing.join(list, 15)
    assert.is_true(#batches > 1 and #batches < #list)
    local chosen = { list[2], list[5] }
    local want = one_by_one(model, evaluate, chosen)
    evaluate = pass:bind({ step = 3, batches = batches, training = true })
    evaluate({ squares = true, backward = true, into = model.params.g, choice = { 12, 15 } })
    agree(want, bert.values(model.params, model.params.g))
    local shares = members.run(2, function(ranks)
      local own = new_model("bert")
      local shared = Pass.new({ model = own, seed = 5, ranks = ranks })
      shared:bind({ step = 3, training = true, batches = ranks.rank == 0 and batches or {} })({
        squares = true, backward = true, into = own.params.g })
      return bert.values(own.params, own.params.g)
    end)
    agree(whole, shares[1])
    assert.same(shares[1], shares[2])
  end)

  it("takes no more memory than a pass of gradients", function()
    local model = new_model("bert")
    local list = packing.join(singles(model, class), 100)
    local peaks = {}
    for _, squares in ipairs({ false, true }) do
      local pass = Pass.new({ model = model })
      local evaluate = pass:bind({ step = 0, batches = list, training = true })
      local held = model.params:memory().state
      for _ = 1, 3 do
        evaluate({ squares = squares, backward = true, into = model.params.g })
      end
      assert.equal(held, model.params:memory().state)
      peaks[squares] = pass:memory().peak
    end
    assert.is_true(peaks[true] <= peaks[false])
  end)

  it("is refused where weights are read several times, and to functions of others", function()
    local model = new_model("albert", { fields = { num_hidden_layers = 2 } })
    local pass = Pass.new({ model = model })
    local evaluate = pass:bind({ step = 0, batches = singles(model, class), training = true })
    assert.is_true(Pass.can_square(evaluate)) -- not known yet
    model.params.g:set(3)
    assert.is_nil(evaluate({ squares = true, backward = true, into = model.params.g }))
    assert.equal(3, bert.values(model.params, model.params.g)["classifier.bias"][1])
    assert.is_false(Pass.can_square(evaluate))
    assert.is_false(Pass.can_square(function() end))
  end)

  it("refuses an op that would leave a plain gradient in it", function()
    local model = new_model("bert")
    local tape = Tape.new({ squares = true, grads = {} })
    assert.has_error(function()
      tape:weight_grad((model.weights:get("classifier.bias")))
    end, "the op that reads classifier.bias cannot square single samples' gradients "
      .. "(fsam.pass.ops)")
  end)
end)

describe("squares in a step", function()
  local seen
  sam.define("squares-seer", {
    options = { rho = 0.05 },
    ascend = function(s)
      local f = s:per_sample_squares()
      seen = f
      return s.g / (f + 1) * s.rho
    end,
  })

  -- A step by each way; what `look` finds after it.
  local function both_ways(o, look)
    local found = {}
    for _, hidden in ipairs({ false, true }) do
      local model, step = bert.setup(o)
      local info = step(0, hidden and function(evaluate)
        return function(request) return evaluate(request) end
      end or nil)
      assert.is_nil(info.skipped)
      found[#found + 1] = { look(model), info }
    end
    return found[1], found[2]
  end

  it("make the mask that a pass for each sample makes, and count as many evaluations", function()
    for _, o in ipairs({ {}, { precision = "bf16" }, { shared = true }, { micro = 3 } }) do
      o.sam_type = "fisher-sam"
      local one, many = both_ways(o, function(model)
        local x, mask = model.params:scratch("ones"), model.params:mask("mask")
        x:set(mask * 1)
        x:tensor()
        return bert.values(model.params, x)
      end)
      local differ, count = 0, 0
      for name, bits in pairs(one[1]) do
        for i = 1, #bits do
          differ = differ + math.abs(bits[i] - many[1][name][i])
          count = count + bits[i]
        end
      end
      assert.is_true(differ <= (o.precision == "bf16" and 0.02 or 2e-3) * count)
      assert.equal(many[2].evaluations, one[2].evaluations)
    end
  end)

  it("need one vector less", function()
    local one, many = both_ways({ sam_type = "fisher-sam" }, function(model)
      return { state = model.params:memory().state, vector = 4 * model.params.total }
    end)
    assert.is_true(many[1].state - one[1].state >= one[1].vector)
  end)

  it("are s:per_sample_squares(), over the step's samples, where the model stands", function()
    for _, o in ipairs({ {}, { micro = 3 }, { shared = true } }) do
      o.sam_type = "squares-seer"
      local one, many = both_ways(o, function(model)
        return bert.values(model.params, seen)
      end)
      agree(many[1], one[1])
      assert.equal(many[2].evaluations, one[2].evaluations)
      assert.near(many[2].perturbed, one[2].perturbed, 1e-5)
    end
  end)
end)
