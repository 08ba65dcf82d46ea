-- The laws of the step, on a small random BERT with dropout on: what must hold bit for bit whatever
-- the optimizer. (The same bits after a resume: spec/recipes. Thread counts of single kernels:
-- spec/kernels.)
local C = require("fsam.C")
local Pass = require("fsam.pass")
local batches = require("fsam.data.batch")
local config_json = require("fsam.formats.config")
local devices = require("fsam.device")
local models = require("fsam.models")
local optim = require("fsam.optim")
local sam = require("fsam.sam")

local ffi = C.ffi

local function config()
  return config_json.check({
    model_type = "bert", vocab_size = 40, hidden_size = 64, num_hidden_layers = 2,
    num_attention_heads = 4, intermediate_size = 96, max_position_embeddings = 32,
    type_vocab_size = 2, hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1,
    classifier_dropout = 0.1, initializer_range = 0.2,
  }, "laws_spec")
end

local function new_model(precision)
  return models.new({ device = devices.open("cpu"), config = config(), labels = { "a", "b" },
    seed = 3, precision = precision })
end

-- A deterministic sample: length and ids by its number.
local function sample(i)
  local ids = { 2 }
  for k = 2, 3 + i * 7 % 9 do
    ids[k] = 5 + (i * 31 + k * 17) % 35
  end
  return { ids = ids, label = i % 2 }
end

local function pack(model, first, count, ordinal)
  local list = {}
  for i = 1, count do
    list[i] = sample(first + i)
  end
  return batches.pack(list, { pad_id = model.pad_id, position_offset = 0,
    first_ordinal = ordinal or 0 })
end

local function sampler(model)
  return function(n, seed, step, first_ordinal)
    local list = {}
    for i = 1, n do
      list[i] = pack(model, 100 * seed + step + i, 1, first_ordinal + i - 1)
    end
    return list
  end
end

local DEFAULTS = { rho = 0.05, weight_decay = 0.01, adam_betas = { 0.9, 0.999 }, adam_eps = 1e-8,
  adam_form = "fairseq", decay = "decoupled", keep_ratio = 0.1, mask_iter_e = 3, num_samples = 4,
  fisher = "sample", clip_norm = 0, mask_scope = {} }

local function options(changes)
  local o = {}
  for _, from in ipairs({ DEFAULTS, changes or {} }) do
    for key, value in pairs(from) do
      o[key] = value
    end
  end
  return o
end

-- A model, its optimizer, and step(n), which runs update n.
local function setup(o)
  local model = new_model(o.precision)
  local pass = Pass.new({ model = model, seed = 5 })
  local optimizer = optim.build({ params = model.params, optimizer = o.optimizer or "sam",
    base_optimizer = o.base, sam_type = o.sam_type, options = options(o.options), seed = 5,
    sampler = sampler(model) })
  local function step(n, wrap)
    local list = o.micro and { pack(model, 10 * n, 3), pack(model, 10 * n + 3, 5, 3) }
      or { pack(model, 10 * n, 8) }
    local evaluate = pass:bind({ step = n, batches = list, training = true })
    return optimizer:step({ evaluate = wrap and wrap(evaluate) or evaluate, step = n, lr = 1e-3,
      lr_peak = 1e-3, samples = 8, micro_batches = #list, progress = n / 10 })
  end
  return model, step, optimizer, pass
end

-- All bytes of a vector of the model.
local function bytes(vector)
  local host, n = vector:tensor():to_host()
  return ffi.string(host, n * 4)
end

local function run(o, steps)
  local model, step = setup(o)
  for n = 0, (steps or 5) - 1 do
    step(n)
  end
  return bytes(model.params.w), model
end

for _, precision in ipairs({ "fp32", "bf16" }) do
  describe("in " .. precision, function()
    for _, fisher in ipairs({ "sample", "batch", "adam" }) do
      it("rho = 0 is the base optimizer, bit for bit, with the mask " .. fisher, function()
        local plain = run({ precision = precision, optimizer = "adam" })
        assert.is_true(plain == run({ precision = precision, sam_type = "fisher-sam",
          options = { rho = 0, fisher = fisher } }))
      end)

      it("a full mask is the unmasked type, bit for bit, with the mask " .. fisher, function()
        local dense = run({ precision = precision, sam_type = "sam" })
        local full = { precision = precision, sam_type = "fisher-sam",
          options = { keep_ratio = 1, fisher = fisher } }
        assert.is_true(dense == run(full))
        full.options.keep_ratio = 0.1
        assert.is_false(dense == run(full))
      end)
    end

    it("rho = 0 is the base optimizer for sam and for sgd with momentum", function()
      for _, base in ipairs({ "adam", "sgd" }) do
        local o = { momentum = 0.9, rho = 0, decay = base == "sgd" and "coupled" or "decoupled" }
        local plain = run({ precision = precision, optimizer = base, options = o })
        local wrapped = { precision = precision, base = base, sam_type = "sam", options = o }
        assert.is_true(plain == run(wrapped))
        o.rho = 0.05
        assert.is_false(plain == run(wrapped))
      end
    end)

    it("after a step the working copy is w, rounded", function()
      local model, step = setup({ precision = precision, sam_type = "fisher-sam" })
      step(0)
      local before = {}
      for i, segment in ipairs(model.params.segments) do
        before[i] = model.params:weight(segment):read()
      end
      model.params:sync()
      for i, segment in ipairs(model.params.segments) do
        assert.same(before[i], model.params:weight(segment):read())
      end
    end)

    it("the same seed gives the same bits", function()
      local o = { precision = precision, sam_type = "fisher-sam" }
      assert.is_true(run(o) == run(o))
    end)

    it("micro-batches are one batch, within rounding, given the same mask", function()
      local o = { precision = precision, sam_type = "fisher-sam", optimizer = "sam", base = "sgd",
        options = { keep_ratio = 1, momentum = 0 } }
      local _, one = run(o, 3)
      o.micro = true
      local _, two = run(o, 3)
      local a, n = one.params.w:tensor():to_host()
      local b = two.params.w:tensor():to_host()
      local worst = 0
      for i = 0, n - 1 do
        worst = math.max(worst, math.abs(a[i] - b[i]))
      end
      assert.is_true(worst < (precision == "fp32" and 1e-6 or 2e-4), tostring(worst))
    end)
  end)
end

describe("a step that is not finite", function()
  -- Poisons the gradient of the given pass of a step.
  local function poison(model, which)
    return function(evaluate)
      local count = 0
      return function(request)
        local result = evaluate(request)
        count = count + 1
        if count == which then
          model.params:grad(model.params.segments[1], request.into):fill(0 / 0)
          model.params:touch(request.into)
        end
        return result
      end
    end
  end

  local function snapshot(model)
    local state = {}
    for _, vector in ipairs(model.params:state().vectors) do
      state[vector.name] = bytes(vector)
    end
    return state
  end

  for pass = 1, 2 do
    it("in pass " .. pass .. " changes nothing, says so, and training goes on", function()
      local model, step, optimizer = setup({ sam_type = "sam" })
      step(0)
      local before, applied = snapshot(model), optimizer.applied
      local info = step(1, poison(model, pass))
      assert.is_string(info.skipped)
      assert.same(before, snapshot(model))
      assert.equal(applied, optimizer.applied)
      assert.is_nil(step(2).skipped)
      assert.is_false(before["w"] == bytes(model.params.w))
    end)
  end

  it("keeps the old mask, and the new one stays due", function()
    local model, step = setup({ sam_type = "fisher-sam", options = { fisher = "batch" } })
    step(0)
    local mask = model.params:mask("mask")
    local function bits()
      return ffi.string(mask.data, model.params.total / 8)
    end
    local before = bits()
    local info = step(3, poison(model, 2))
    assert.is_string(info.skipped)
    assert.is_true(before == bits())
    assert.is_table(step(4).mask)
    assert.is_false(before == bits())
  end)
end)

describe("edge cases", function()
  it("a zero gradient perturbs nothing and divides by nothing", function()
    local model, step = setup({ sam_type = "fisher-sam", options = { fisher = "batch" } })
    local info = step(0, function(evaluate)
      return function(request)
        local result = evaluate(request)
        for _, segment in ipairs(model.params.segments) do
          model.params:grad(segment, request.into):fill(0)
        end
        model.params:touch(request.into)
        return result
      end
    end)
    assert.is_nil(info.skipped)
    assert.equal(0, info.enorm)
    assert.equal(0, info.gnorm)
  end)

  it("frozen parameters never move, and have no gradient", function()
    local cfg = config()
    local model = models.new({ device = devices.open("cpu"), config = cfg, labels = { "a", "b" },
      seed = 3, freeze = { "embeddings", "layer.0" } })
    local pass = Pass.new({ model = model, seed = 5 })
    local optimizer = optim.build({ params = model.params, optimizer = "sam",
      sam_type = "fisher-sam", options = options({ keep_ratio = 1 }), seed = 5,
      sampler = sampler(model) })
    local before = {}
    for i, segment in ipairs(model.params.segments) do
      before[i] = model.params:master(segment):read()
    end
    optimizer:step({ evaluate = pass:bind({ step = 0, batches = { pack(model, 1, 8) },
      training = true }), step = 0, lr = 1e-2, samples = 8 })
    for i, segment in ipairs(model.params.segments) do
      local after = model.params:master(segment):read()
      if segment.frozen then
        assert.same(before[i], after)
      end
    end
    assert.is_not.same(before[#before], model.params:master(model.params.segments[#before]):read())
  end)

  it("a type without anything to do, or with an unknown part, is refused in one line", function()
    assert.has_error(function()
      sam.define("idle", { options = { rho = 1 } })
    end)
    local ok, e = pcall(sam.define, "typo", { acsend = function() end })
    assert.is_false(ok)
    assert.matches("did you mean ascend", tostring(e))
  end)
end)
