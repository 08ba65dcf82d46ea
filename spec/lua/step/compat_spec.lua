-- --compat fsam4plm against the code released with the FSAM paper: golden trajectories of
-- spec/golden/make_compat_golden.py (its optimizer file under PyTorch, a tiny BERT, twenty updates,
-- dropout off). Then the switches one by one: each is needed, and each may be set alone.
local Pass = require("fsam.pass")
local batches = require("fsam.data.packing")
local config_json = require("fsam.models.config")
local devices = require("fsam.base.device")
local flags = require("fsam.train.flags")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local models = require("fsam.models")
local optimizers = require("fsam.step")
local options = require("fsam.options")

local golden = json.decode(helper.read_file("spec/golden/compat.json"), "compat.json")
local TOLERANCE = 1e-5

-- What a training recipe makes of a command line.
local function read(words)
  return options.read(words, flags.spec({ name = "spec", task = "cola" }))
end

-- The command of a golden case, with more words after it.
local function command(case, more)
  local o = golden.options
  local words = { "--compat", "fsam4plm", "--sam-type", case.sam_type, "--keep-ratio", o.keep_ratio,
    "--mask-iter-e", o.mask_iter_e, "--beta", case.beta, "--gamma", case.gamma,
    "--clip-norm", case.clip_norm, "--weight-decay", o.weight_decay, "--seed", o.seed,
    "--adam-betas", table.concat(o.adam_betas, ","), "--adam-eps", o.adam_eps, "--dropout", 0,
    "--attention-dropout", 0 }
  if not case.sam_type:find("gsam") then
    words[#words + 1] = "--rho=" .. case.rho -- the released gsam has its own
  elseif case.sam_type == "gsam" then
    words[#words + 1] = "--alpha=" .. o.alpha -- the released fisher-gsam has its own
  end
  for _, word in ipairs(more or {}) do
    words[#words + 1] = word
  end
  for i, word in ipairs(words) do
    words[i] = tostring(word)
  end
  return words
end

local function new_model(o)
  local model = models.new({ device = devices.open("cpu"), labels = { "a", "b" },
    config = config_json.check(golden.config, "compat.json"), seed = 1,
    precision = o.precision == "bf16" and "bf16" or "fp32",
    dropout = o.dropout, attention_dropout = o.attention_dropout, pooler_dropout = 0 })
  for name, values in pairs(golden.weights) do
    model.params:master(name):write(values)
  end
  model.params:sync()
  return model
end

-- All weights in the golden order.
local function weights_of(model)
  local all = {}
  for _, name in ipairs(golden.names) do
    for _, x in ipairs(model.params:master(name):read()) do
      all[#all + 1] = x
    end
  end
  return all
end

-- Runs a command; each(step, info, weights) comes after every update. Returns the last weights.
local function train(words, each)
  local o = read(words)
  local model = new_model(o)
  local pass = Pass.new({ model = model, seed = o.seed, dropout_rng = o.dropout_rng })
  local optimizer = optimizers.build({ params = model.params, options = o, seed = o.seed,
    optimizer = o.optimizer, base_optimizer = o.base_optimizer, sam_type = o.sam_type })
  for n, samples in ipairs(golden.batches) do
    local batch = batches.pack(samples, { pad_id = model.pad_id,
      position_offset = model.position_offset })
    local peak = golden.options.lr
    local info = optimizer:step({ step = n - 1, samples = #samples, lr_peak = peak,
      lr = peak * (1 - (n - 1) / (2 * golden.options.steps)),
      evaluate = pass:bind({ step = n - 1, batches = { batch }, training = true }) })
    if each then
      each(n, info, weights_of(model))
    end
  end
  return weights_of(model)
end

local function case_of(name)
  for _, case in ipairs(golden.cases) do
    if case.name == name then
      return case
    end
  end
  error("no golden case " .. name)
end

describe("--compat fsam4plm follows the released code:", function()
  for _, case in ipairs(golden.cases) do
    it(case.name, function()
      local last = train(command(case), function(n, info, weights)
        assert.is_nil(info.skipped)
        assert.near(case.losses[n], info.loss, TOLERANCE, "loss of update " .. n)
        local probe = {}
        for i = 1, #weights, golden.options.every do
          probe[#probe + 1] = weights[i]
        end
        assert.near(case.probes[n], probe, TOLERANCE, "update " .. n)
      end)
      assert.near(case.last, last, TOLERANCE)
    end)
  end
end)

-- Flag, what it is without --compat, and a golden case in which it shows; what the command needs
-- besides for it to show alone.
local SWITCHES = {
  { "adam_form", "fairseq", "sam" },
  { "decay", "decoupled", "sam" },
  { "second_gradient", "mean", "gsam" },
  { "clip_at", "update", "gsam, clipped" },
  { "rho", "0.05", "gsam" },
  { "swp", "tensor", "esam of tensors" },
  { "sds", "exact", "esam of too few samples" },
  { "sds", "exact", "fisher-esam", "--mask-steps=plain" },
  { "mask_steps", "perturb", "fisher-sam" },
  { "mask_gradient", "whole", "fisher-esam" },
  { "mask_exclude", "none", "fisher-sam" },
  { "unmasked", "none", "fisher-sam" },
  { "mask_scale", "none", "fisher-gsam" },
  { "fisher", "magnitude", "fisher-sam" },
}

-- The largest difference of two lists.
local function difference(a, b)
  return (helper.worst(a, b))
end

-- The value of a flag under these options, as one would type it.
local function shown(o, name)
  for _, d in ipairs(o.spec.flags) do
    if d.name == name then
      return require("fsam.options.values").show(d, o[name])
    end
  end
end

describe("the switch", function()
  for _, switch in ipairs(SWITCHES) do
    local name, off, case = switch[1], switch[2], case_of(switch[3])
    local flag = options.flag(name)

    it(flag .. " is needed by " .. case.name, function()
      local without = train(command(case, { flag .. "=" .. off }))
      assert.is_true(difference(case.last, without) > 10 * TOLERANCE)
    end)

    it(flag .. " acts alone with " .. case.name, function()
      -- The command without --compat; a pool, so that there is something outside it.
      local words = command(case, { "--fisher=batch", "--mask-exclude=LayerNorm",
        "--precision=fp32", switch[4] })
      table.remove(words, 1)
      table.remove(words, 1)
      local plain = train(words)
      words[#words + 1] = flag .. "="
        .. (name == "fisher" and "adam" or shown(read(command(case)), name))
      assert.is_true(difference(plain, train(words)) > TOLERANCE)
    end)
  end

  it("--norm-eps shortens the perturbation to rho ‖g‖ / (‖g‖ + eps)", function()
    for _, name in ipairs({ "sam", "esam of samples", "gsam" }) do
      local case = case_of(name)
      train(command(case, { "--norm-eps=0.5", "--rho=0.3" }), function(_, info)
        assert.near(0.3 * info.gnorm / (info.gnorm + 0.5), info.enorm, 1e-6)
      end)
    end
  end)
end)

it("a mask needs something to choose from", function()
  local o = read({ "--mask-scope=bias", "--mask-exclude=bert,class" })
  assert.has_error(function()
    optimizers.build({ params = new_model(o).params, options = o, optimizer = "sam",
      sam_type = "fisher-sam" })
  end, "--mask-scope bias and --mask-exclude bert,class leave no parameter to mask")
end)

describe("a mask step that is plain", function()
  it("perturbs nothing, and reports the norm of the gradient that made the mask", function()
    train(command(case_of("fisher-esam of all")), function(n, info)
      local due = (n - 1) % golden.options.mask_iter_e == 0
      assert.equal(due, info.mask ~= nil)
      assert.equal(due, info.enorm == 0)
      assert.is_true(info.gnorm > 0)
    end)
  end)

  it("is also one with a policy that has passes of its own", function()
    local o = read({ "--mask-steps=plain", "--sam-type=fisher-sam" })
    assert.equal("sample", o.fisher)
    local model = new_model(o)
    local function pack(samples, ordinal)
      return batches.pack(samples, { pad_id = 0, position_offset = 0, first_ordinal = ordinal })
    end
    local optimizer = optimizers.build({ params = model.params, options = o, seed = 1,
      optimizer = "sam", sam_type = "fisher-sam", sampler = function(_, _, _, first)
        return { pack({ golden.batches[2][1] }, first) }
      end })
    local pass = Pass.new({ model = model, seed = 1 })
    for step = 0, 1 do
      local info = optimizer:step({ step = step, lr = 1e-3, samples = golden.options.batch,
        evaluate = pass:bind({ step = step, batches = { pack(golden.batches[1]) } }) })
      assert.equal(step == 0, info.enorm == 0)
      assert.is_true(info.gnorm > 0)
    end
  end)
end)

describe("the flag --compat", function()
  it("sets flags that the command does not, by the type", function()
    local o = read({ "--compat", "fsam4plm", "--sam-type", "fisher-gsam" })
    assert.equal(0.001, o.rho)
    assert.same({ "bias" }, o.mask_exclude)
    assert.equal("keep-ratio", o.mask_scale)
    assert.equal(1e-12, o.norm_eps)
    o = read({ "--compat", "fsam4plm", "--swp", "weight", "--precision", "bf16", "--preset", "hf" })
    assert.equal(0.05, o.rho)
    assert.same({ "bias", "embed" }, o.mask_exclude)
    assert.equal("none", o.mask_scale)
    assert.equal("weight", o.swp)
    assert.equal("bf16", o.precision)
    assert.equal("coupled", o.decay)
    assert.equal("hf", o.head_init)
    assert.equal("fresh", o.dropout_rng)
  end)

  it("says in one line where the released code does not run, or not what was asked", function()
    local function notes(...)
      return table.concat(read({ "--compat", "fsam4plm", ... }).notes, "\n")
    end
    assert.equal("--compat fsam4plm: the released fisher-sam stops at update 0 (KeyError: old_p); "
      .. "this is what it would do if it restored the weights", notes())
    assert.equal("", notes("--sam-type", "fisher-esam"))
    assert.equal("--compat fsam4plm: the released gsam ignores --rho and stays at 0.001; here "
      .. "--rho 0.05 holds", notes("--sam-type", "gsam", "--rho", "0.05"))
    assert.equal("--compat fsam4plm: the released fisher-gsam ignores --alpha and stays at 0.4; "
      .. "here --alpha 0.7 holds", notes("--sam-type", "fisher-gsam", "--alpha", "0.7"))
    assert.equal("--compat fsam4plm: of --update-freq 4 batches the released code uses the last; "
      .. "here all count", notes("--sam-type", "sam", "--update-freq", "4"))
  end)

  it("refuses what the released code does not have", function()
    local list = "esam, fisher-esam, fisher-gsam, fisher-sam, gsam, sam"
    assert.has_error(function()
      read({ "--compat", "fsam4plm", "--sam-type", "asam" })
    end, "--compat fsam4plm has no --sam-type asam; with --optimizer sam it imitates --sam-type "
      .. list)
    assert.has_error(function()
      read({ "--compat", "fsam4plm", "--optimizer", "adam" })
    end, "--compat fsam4plm has no --optimizer adam; with --optimizer sam it imitates --sam-type "
      .. list)
  end)

  it("leaves a run without it as it was: no switch is on by default", function()
    local o = read({})
    for _, switch in ipairs(SWITCHES) do
      if switch[1] ~= "fisher" then
        assert.equal(switch[2], shown(o, switch[1]))
      end
    end
  end)
end)
