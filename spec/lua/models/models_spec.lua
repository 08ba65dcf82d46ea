-- Models against Transformers: golden files of spec/golden/make_models.py (small random classifiers
-- of each family, dropout off, f32 by PyTorch).
local C = require("fsam.C")
local batches = require("fsam.data.packing")
local devices = require("fsam.base.device")
local helper = require("spec.helper")
local models = require("fsam.models")
local Pass = require("fsam.pass")
local safetensors = require("fsam.formats.safetensors")

local ffi = C.ffi

local function read(file, name)
  local entry = file:get(name)
  local n = 1
  for _, d in ipairs(entry.shape) do
    n = n * d
  end
  local host = ffi.new("float[?]", n)
  entry:read_f32(host, n)
  local values = {}
  for i = 1, n do
    values[i] = host[i - 1]
  end
  return values, n
end

-- The samples of a golden case as the packer takes them.
local function samples_of(file)
  local ids, types = file:get("ids"):values(), file:get("types"):values()
  local lengths, labels = file:get("lengths"):values(), file:get("labels"):values()
  local width = file:get("ids").shape[2]
  local list = {}
  for b, length in ipairs(lengths) do
    local sample = { ids = {}, token_types = {}, label = labels[b] }
    for i = 1, length do
      sample.ids[i] = ids[(b - 1) * width + i]
      sample.token_types[i] = types[(b - 1) * width + i]
    end
    list[b] = sample
  end
  return list
end

local function load(name, precision)
  return models.load({
    device = devices.open("cpu"), path = "spec/golden/" .. name, precision = precision,
    dropout = 0, attention_dropout = 0, pooler_dropout = 0,
  })
end

-- Largest difference over the largest golden value: what "relative" means below.
local function difference(got, golden, n)
  local worst, scale = 0, 0
  for i = 1, n do
    worst = math.max(worst, math.abs(got[i] - golden[i]))
    scale = math.max(scale, math.abs(golden[i]))
  end
  return worst / math.max(scale, 1e-30), scale
end

local function pack(model, samples, extra)
  local options = { pad_id = model.pad_id, position_offset = model.position_offset }
  for key, value in pairs(extra or {}) do
    options[key] = value
  end
  return batches.pack(samples, options)
end

local function check_logits(model, file, tolerance)
  local pass = Pass.new({ model = model })
  local logits, losses = pass:predict(pack(model, samples_of(file)))
  local golden, n = read(file, "logits")
  local flat = {}
  for _, row in ipairs(logits) do
    for _, x in ipairs(row) do
      flat[#flat + 1] = x
    end
  end
  local error_ = difference(flat, golden, n)
  assert.is_true(error_ < tolerance, tostring(error_))
  local golden_losses, count = read(file, "losses")
  assert.is_true(difference(losses, golden_losses, count) < tolerance * 10)
end

-- Every parameter's gradient; `list` are the step's micro-batches.
local function check_gradients(model, file, list, tolerance, zero)
  local pass = Pass.new({ model = model })
  local evaluate = pass:bind({ step = 0, batches = list, training = true })
  evaluate({ into = model.params.g, backward = true })
  for _, parameter in ipairs(model.params.parameters) do
    local golden, n = read(file, "grad." .. parameter.name)
    local got = model.params:grad(parameter):read()
    local error_, scale = difference(got, golden, n)
    if scale > 1e-6 then -- the key's bias has gradient 0 but for rounding
      assert.is_true(error_ < tolerance, ("%s: %g"):format(parameter.name, error_))
    else
      for i = 1, n do
        assert.is_true(math.abs(got[i]) < (zero or 1e-6), parameter.name)
      end
    end
  end
end

-- How far bf16 may be from f32: logits, gradients. Rounding grows with the layers that run (ten in
-- albert_groups), and at relu's corner a rounded input has the slope of the other side.
local USUAL = { 2e-2, 5e-2 }
local MODELS = {
  bert_small = USUAL, bert_silu = USUAL, roberta_small = USUAL, electra_small = USUAL,
  electra_one_width = USUAL, distilbert_small = USUAL, xlm_roberta_small = { 2e-2, 0.12 },
  albert_groups = { 0.1, 0.1 }, albert_shared = { 5e-2, 5e-2 },
}

for name, bf16 in pairs(MODELS) do
  describe(name .. " against Transformers", function()
    for _, case in ipairs({ "one", "equal", "mixed" }) do
      local function golden()
        return safetensors.open("spec/golden/" .. name .. "/case_" .. case .. ".safetensors")
      end

      it("gives the logits of case " .. case .. " within 1e-5 in f32", function()
        check_logits(load(name, "fp32"), golden(), 1e-5)
      end)

      it("gives the logits of case " .. case .. " in bf16", function()
        check_logits(load(name, "bf16"), golden(), bf16[1])
      end)

      it("gives every gradient of case " .. case .. " within 1e-4 in f32", function()
        local model, file = load(name, "fp32"), golden()
        check_gradients(model, file, { pack(model, samples_of(file)) }, 1e-4)
      end)
    end

    it("gives the same gradients with a longer tail and in micro-batches", function()
      local model = load(name, "fp32")
      local file = safetensors.open("spec/golden/" .. name .. "/case_mixed.safetensors")
      local samples = samples_of(file)
      check_gradients(model, file, { pack(model, samples, { token_bucket = 256 }) }, 1e-4)
      local first = { samples[1], samples[2] }
      local second = { samples[3], samples[4], samples[5] }
      check_gradients(model, file,
        { pack(model, first), pack(model, second, { first_ordinal = 2 }) }, 1e-4)
    end)

    it("keeps bf16 gradients near", function()
      local model = load(name, "bf16")
      local file = safetensors.open("spec/golden/" .. name .. "/case_mixed.safetensors")
      check_gradients(model, file, { pack(model, samples_of(file)) }, bf16[2], 5e-3)
    end)
  end)
end

describe("a model of halves", function()
  -- The 16 bits of a number in binary16, to nearest; numbers here are far from its ends.
  local function half(x)
    local m, e = math.frexp(math.abs(x))
    local bits = e < -13 and math.floor(math.abs(x) * 2 ^ 24 + 0.5)
      or (e + 14) * 1024 + math.floor((2 * m - 1) * 1024 + 0.5)
    return bits + (x < 0 and 0x8000 or 0)
  end

  -- A folder with the golden model of a name, all of it in F16.
  local function halved(name, folder)
    local from, list = safetensors.open("spec/golden/" .. name .. "/model.safetensors"), {}
    for i, tensor in ipairs(from.names) do
      local values = from:get(tensor):values()
      local bits = ffi.new("uint16_t[?]", #values)
      for k, value in ipairs(values) do
        bits[k - 1] = half(value)
      end
      list[i] = { name = tensor, dtype = "F16", shape = from:get(tensor).shape, data = bits }
    end
    safetensors.write(folder .. "/model.safetensors", list)
    helper.write_file(folder .. "/config.json",
      helper.read_file("spec/golden/" .. name .. "/config.json"))
  end

  it("is read as one of f32, in a Hugging Face folder and as fairseq's .pt", function()
    local folder = helper.memory_dir()
    halved("roberta_small", folder)
    require("fsam.formats.convert")(folder, folder .. "/model.pt")
    local exact = load("roberta_small")
    for _, path in ipairs({ folder, folder .. "/model.pt" }) do
      local model = models.load({ device = devices.open("cpu"), path = path, dropout = 0,
        attention_dropout = 0, pooler_dropout = 0 })
      assert.same({}, model.announcements)
      for _, parameter in ipairs(model.params.parameters) do
        local got = model.params:master(parameter):read()
        local wanted = exact.params:master(parameter.name):read()
        for i = 1, parameter.count do
          assert.is_true(math.abs(got[i] - wanted[i]) <= math.abs(wanted[i]) * 2 ^ -11 + 2 ^ -25,
            parameter.name)
        end
      end
      check_logits(model, safetensors.open("spec/golden/roberta_small/case_mixed.safetensors"),
        5e-3)
    end
    helper.remove_dir(folder)
  end)
end)
