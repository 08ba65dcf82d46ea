-- Diagnosed steps, on a small random BERT with dropout on: they change no bit of the training, and
-- what they say is what separate passes and plain loops find.
local C = require("fsam.C")
local Pass = require("fsam.pass")
local batches = require("fsam.data.packing")
local config_json = require("fsam.models.config")
local devices = require("fsam.base.device")
local dot = require("spec.lua.logistic").dot
local models = require("fsam.models")
local optim = require("fsam.optim")
local optimizers = require("fsam.step")
local sam = require("fsam.sam")

local ffi = C.ffi

local function new_model()
  return models.new({ device = devices.open("cpu"), labels = { "a", "b" }, seed = 3,
    config = config_json.check({ model_type = "bert", vocab_size = 30, hidden_size = 32,
      num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 48,
      max_position_embeddings = 16, type_vocab_size = 2, hidden_dropout_prob = 0.1,
      attention_probs_dropout_prob = 0.1, classifier_dropout = 0.1, initializer_range = 0.2 },
      "step_diagnosis_spec") })
end

local function pack(model, first, count, ordinal)
  local list = {}
  for i = 1, count do
    local ids = { 2 }
    for k = 2, 3 + (first + i) * 7 % 9 do
      ids[k] = 5 + ((first + i) * 31 + k * 17) % 25
    end
    list[i] = { ids = ids, label = (first + i) % 2 }
  end
  return batches.pack(list, { pad_id = model.pad_id, position_offset = 0,
    first_ordinal = ordinal or 0 })
end

-- An optimizer on a model of its own (plain: its passes give no squares); step(n, diagnose) runs
-- update n over 7 samples in two micro-batches.
local function setup(o)
  local model = new_model()
  local params = model.params
  local pass = Pass.new({ model = model, seed = 5, dropout_rng = o.dropout_rng })
  local options = { rho = 0.05, weight_decay = 0.01, mask_iter_e = 2, num_samples = 3,
    momentum = 0.9 }
  for name, value in pairs(o.options or {}) do
    options[name] = value
  end
  local optimizer = optimizers.build({ params = params, optimizer = o.optimizer or "sam",
    sam_type = o.sam_type, options = options, seed = 5, sampler = function(n, seed, step, first)
      local list = {}
      for i = 1, n do
        list[i] = pack(model, 100 * seed + step + i, 1, first + i - 1)
      end
      return list
    end })
  local function bound(n)
    return pass:bind({ step = n, training = true,
      batches = { pack(model, 10 * n, 4), pack(model, 10 * n + 4, 3, 4) } })
  end
  return params, function(n, diagnose)
    local evaluate = bound(n)
    local hidden = o.plain and function(...) -- no one sees that it could give squares
      return evaluate(...)
    end
    return optimizer:step({ evaluate = hidden or evaluate, step = n, lr = 1e-3, lr_peak = 1e-3,
      samples = 7, micro_batches = 2, progress = n / 10, train_samples = 100,
      diagnose = diagnose })
  end, bound
end

-- Every bit that lives on: vectors, masks, scalars.
local function snapshot(params)
  local all = {}
  for kind, list in pairs(params:state()) do
    for _, entry in ipairs(list) do
      if kind == "scalars" then
        all[entry.name] = entry:read()
      else
        local host, n = entry:tensor():to_host()
        all[entry.name] = ffi.string(host, n * 4)
      end
    end
  end
  return all
end

sam.define("diagnosed-explorer", { -- a first pass away from w, and no other
  options = { rho = 0.05 },
  passes = 1,
  explore = function(s)
    return s:normal() * 0.01
  end,
})

describe("a diagnosed step", function()
  local function same(o)
    local plain, looked_at = {}, {}
    for _, diagnose in ipairs({ false, true }) do
      local params, step = setup(o)
      local into = diagnose and looked_at or plain
      for n = 0, 3 do
        local info = step(n, diagnose)
        assert.is_nil(info.skipped)
        assert.equal(diagnose, info.diagnosis ~= nil)
      end
      into.state = snapshot(params)
    end
    for name, bits in pairs(plain.state) do
      assert.is_true(bits == looked_at.state[name], name .. " differs")
    end
  end

  for _, rng in ipairs({ "shared", "fresh" }) do
    it("changes no bit, whatever the type, with dropout that is " .. rng, function()
      for _, name in ipairs(sam.names()) do
        same({ sam_type = name, dropout_rng = rng })
      end
      for _, name in ipairs(optim.names()) do
        same({ optimizer = name, dropout_rng = rng })
      end
      for _, options in ipairs({ { clip_at = "first", clip_norm = 0.1 }, { mask_steps = "plain" },
        { second_gradient = "sum", mask_scale = "keep-ratio" }, { fisher = "batch" },
        { m_sharpness = 2 }, { ascent_fraction = 0.5, ascent_decay = true } }) do
        same({ sam_type = "fisher-sam", dropout_rng = rng, options = options })
      end
    end)
  end

  it("stores nothing of the step elsewhere: it has one vector of its own", function()
    local PAGE = 1024 -- elements between vectors
    for name, of_g2 in pairs({ sam = false, gsam = true, ["fisher-sam"] = false }) do
      local plain, step = setup({ sam_type = name })
      local looked_at, diagnosed = setup({ sam_type = name })
      for n = 0, 1 do
        step(n)
        diagnosed(n, true)
      end
      assert.equal(of_g2, looked_at.names.g2 ~= nil)
      looked_at.names.diagnosis = nil
      for entry in pairs(looked_at.names) do
        assert.is_truthy(plain.names[entry], entry)
      end
      assert.near(4 * (plain.total + PAGE), looked_at:memory().state - plain:memory().state, 64)
      assert.same(snapshot(plain), snapshot(looked_at))
    end
  end)

  it("has the loss at w and at w + e under one dropout, also where the passes do not", function()
    for _, o in ipairs({ { sam_type = "sam", dropout_rng = "fresh", options = { rho = 0 } },
      { sam_type = "esam", options = { rho = 0 } } }) do
      local _, step = setup(o)
      local info = step(0, true)
      assert.equal(info.diagnosis.loss, info.diagnosis.loss_at_e)
      assert.equal(info.loss, info.diagnosis.loss)
      assert.is_false(info.loss == info.perturbed)
    end
  end)
end)

describe("what a diagnosed step says", function()
  -- A vector's elements of the trainable parameters, in order.
  local function elements(params, vector)
    local flat = {}
    for _, parameter in ipairs(params.parameters) do
      for _, x in ipairs(vector:parameter(parameter):read()) do
        flat[#flat + 1] = x
      end
    end
    return flat
  end

  -- The mean gradient of some of a step's samples at w + e, and their mean loss.
  local function gradient(params, evaluate, e, choice)
    params.c:set(e and params.w + e or params.w)
    local into = params:scratch("mine")
    local loss = evaluate({ into = into, backward = true, choice = choice }):mean()
    return elements(params, into), loss
  end

  it("is what passes of their own find, for sam", function()
    local _, step = setup({ sam_type = "sam" })
    local d = step(0, true).diagnosis
    local params, _, bound = setup({ sam_type = "sam" })
    local evaluate = bound(0)
    local g, loss = gradient(params, evaluate)
    local mine = params:scratch("mine")
    local e = params:scratch("e")
    e:set(mine * (0.05 / mine:norm()))
    local g2, loss_at_e = gradient(params, evaluate, e)
    assert.equal(loss, d.loss)
    assert.near(loss_at_e, d.loss_at_e, 1e-6)
    assert.near(loss_at_e - loss, d.rise, 1e-6)
    assert.near(0.05, d.enorm, 1e-8)
    assert.near_relative(math.sqrt(dot(g, g)), d.gnorm, 1e-6)
    assert.near_relative(math.sqrt(dot(g2, g2)), d.g2norm, 1e-5)
    assert.near(dot(g, g2) / math.sqrt(dot(g, g) * dot(g2, g2)), d.cosine, 1e-6)

    -- Noise, from the gradient of each sample, by its own pass.
    local squares = 0
    for b = 0, 6 do
      local one = gradient(params, evaluate, nil, { b })
      squares = squares + dot(one, one)
    end
    local trace = (squares - 7 * dot(g, g)) / 6
    assert.near_relative(math.sqrt(squares / 7), d.sample_gnorm, 1e-5)
    assert.near_relative(trace, d.noise_trace, 1e-4)
    assert.near_relative(dot(g, g) - trace / 7, d.noise_square, 1e-4)
    assert.is_nil(d.mask_density)
  end)

  it("finds the noise by halves where no pass gives squares", function()
    local _, step = setup({ sam_type = "sam", plain = true })
    local d = step(0, true).diagnosis
    local params, _, bound = setup({ sam_type = "sam" })
    local evaluate = bound(0)
    local g = gradient(params, evaluate)
    local a = gradient(params, evaluate, nil, { 0, 1, 2 })
    local b = gradient(params, evaluate, nil, { 3, 4, 5, 6 })
    local apart = dot(a, a) - 2 * dot(a, b) + dot(b, b)
    local trace = apart / (1 / 3 + 1 / 4)
    assert.near_relative(trace, d.noise_trace, 1e-4)
    assert.near_relative(dot(g, g) - trace / 7, d.noise_square, 1e-4)
    assert.is_nil(d.sample_gnorm)
  end)

  it("is of all groups with m-sharpness, each at its own e", function()
    local whole = { 0, 1, 2, 3, 4, 5, 6 }
    for count, groups in pairs({ [2] = { { 0, 1, 2 }, { 3, 4, 5, 6 } },
      [3] = { { 0, 1 }, { 2, 3 }, { 4, 5, 6 } } }) do
      local _, step = setup({ sam_type = "sam", options = { m_sharpness = count } })
      local d = step(0, true).diagnosis
      local params, _, bound = setup({ sam_type = "sam" })
      local evaluate = bound(0)
      local e, mine = params:scratch("e"), params:scratch("mine")
      local _, loss = gradient(params, evaluate, nil, whole)
      local risen, gnorm, g2norm, cosine = 0, 0, 0, 0
      for _, group in ipairs(groups) do
        local g = gradient(params, evaluate, nil, group)
        e:set(mine * (0.05 / mine:norm()))
        local g2, loss_at_e = gradient(params, evaluate, e, group)
        risen = risen + loss_at_e * #group / 7
        local n, n2 = math.sqrt(dot(g, g)), math.sqrt(dot(g2, g2))
        gnorm, g2norm = gnorm + n / count, g2norm + n2 / count
        cosine = cosine + dot(g, g2) / (n * n2) / count
      end
      assert.near(loss, d.loss, 1e-6)
      assert.near(risen, d.loss_at_e, 1e-6)
      assert.near(risen - loss, d.rise, 1e-6)
      assert.near(0.05, d.enorm, 1e-8)
      assert.near_relative(gnorm, d.gnorm, 1e-5)
      assert.near_relative(g2norm, d.g2norm, 1e-5)
      assert.near(cosine, d.cosine, 1e-5)
      -- Each pass draws other dropout: both losses are still under one.
      _, step = setup({ sam_type = "sam", options = { m_sharpness = count, rho = 0 },
        dropout_rng = "fresh" })
      assert.near(0, step(0, true).diagnosis.rise, 1e-6)
    end
  end)

  it("has the mask's share of the weights and of e, and what is left of the last mask", function()
    local params, step = setup({ sam_type = "fisher-sam", options = { keep_ratio = 0.25 } })
    local first = step(0, true).diagnosis
    local mask = params:mask("mask")
    local count = math.floor(0.25 * params.trainable)
    assert.near(count / params.trainable, first.mask_density, 1e-12)
    assert.near(first.enorm / 0.05, first.mask_kept, 1e-7)
    assert.is_true(first.mask_kept > 0.3 and first.mask_kept < 1)
    assert.is_nil(first.mask_overlap)
    params:scratch("before"):set(mask * params:each(function() return 1 end))
    step(1)
    local overlap = step(2, true).diagnosis.mask_overlap
    local both = (mask * params:scratch("before")):sum():read()
    assert.near(both / count, overlap, 1e-12)
    assert.equal(overlap, step(3, true).diagnosis.mask_overlap)
  end)

  it("of a plain optimizer is its loss, its gradient and the noise", function()
    local _, step = setup({ optimizer = "adam" })
    local d = step(0, true).diagnosis
    local names = {}
    for name in pairs(d) do
      names[#names + 1] = name ~= "noise_scale" and name or nil
    end
    table.sort(names)
    assert.same({ "gnorm", "loss", "noise_square", "noise_trace", "sample_gnorm", "seconds" },
      names)
  end)

  it("takes the exploration for e in a type that has no other", function()
    local params, step = setup({ sam_type = "diagnosed-explorer" })
    local info = step(0, true)
    local d = info.diagnosis
    assert.equal(info.loss, d.loss_at_e)
    assert.near_relative(0.01 * math.sqrt(params.trainable), d.enorm, 0.05)
    local other, _, evaluate = setup({ sam_type = "diagnosed-explorer" })
    local _, loss = gradient(other, evaluate(0))
    assert.equal(loss, d.loss)
  end)

  it("leaves out what a single sample cannot tell, and what is not finite", function()
    local model = new_model()
    local pass = Pass.new({ model = model, seed = 5 })
    local optimizer = optimizers.build({ params = model.params, optimizer = "sgd",
      options = { momentum = 0, weight_decay = 0 } })
    local info = optimizer:step({ evaluate = pass:bind({ step = 0, training = true,
      batches = { pack(model, 0, 1) } }), step = 0, lr = 0, samples = 1, diagnose = true })
    assert.is_nil(info.diagnosis.noise_trace)
    local diagnosed_steps = require("fsam.report.diagnosed_steps")
    local sums = diagnosed_steps.new()
    assert.is_nil(sums:averages())
    sums:add({ rise = 1, noise_trace = 8, noise_square = -1 })
    sums:add({ rise = 0 / 0, noise_trace = 4, noise_square = 3 })
    sums = diagnosed_steps.new(sums:state())
    local means = sums:averages()
    assert.same({ rise = 1, noise_trace = 6, noise_square = 1, noise_scale = 6, count = 2 }, means)
    assert.equal("loss +1 at w + e   noise scale 6   2 steps", diagnosed_steps.text(means))
  end)
end)
