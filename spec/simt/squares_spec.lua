-- Passes of squares, Σ_b g_b² over the samples b, by the CUDA kernels, on a GPU where
-- FSAM_TEST_DEVICE is cuda, else on the shim: against the CPU's, in every family, and as masks and
-- s:per_sample_squares() use them.
local Pass = require("fsam.pass")
local helper = require("spec.helper")
local sam = require("fsam.sam")
local simt = require("spec.simt.device")
local small = require("spec.lua.small_bert")

local on_gpu = helper.device == "cuda"

-- Of an element's own value, beside what rounding leaves of terms that cancel, as large as the
-- parameter's largest; in bf16 activations differ by a unit of their last place.
local TOLERANCE = { fp32 = { 1e-5, 2e-6 }, bf16 = { 0, 0.05 } }

-- A key's bias moves no attention: its gradient is what rounding leaves of 0.
local NOISE = "key.bias"

describe("passes of squares on " .. (on_gpu and "a GPU" or "the shim"), function()
  local lib, why = simt.load()
  if not on_gpu and not lib then
    pending(why)
    return
  end
  local device, seen
  sam.define("cuda-squares-seer", {
    options = { rho = 0.05 },
    ascend = function(s)
      seen = s:per_sample_squares()
      return s.g * s.rho
    end,
  })
  local FISHER = { precision = "fp32", sam_type = "fisher-sam", smaller = true }
  local SEER = { precision = "fp32", sam_type = "cuda-squares-seer", smaller = true }

  -- The bytes that selections take: by a vector, twice, and by values that are computed, twice; and
  -- those of a vector.
  local function chosen()
    local P = small.model(FISHER).params
    local mask, taken = P:mask("mask"), {}
    P.g:set(P.w * P.w)
    for i, values in ipairs({ P.g, P.g, P.w:abs(), P.w:abs() }) do
      local before = tonumber(lib.fsam_simt_taken())
      mask:set(mask:top(values, { keep_ratio = 0.1 }))
      P:flush()
      taken[i] = tonumber(lib.fsam_simt_taken()) - before
    end
    return taken, 4 * P.total
  end

  setup(function()
    device = require("spec.simt.programs").device(on_gpu, function()
      for _, o in ipairs({ FISHER, SEER }) do
        small.run(o, 1)
      end
      chosen()
    end)
  end)

  -- `fn` on the CPU and on the device.
  local function both(fn)
    return helper.on_device(nil, fn), helper.on_device(device, fn)
  end

  local function agree(want, got, precision)
    local relative, of_largest = unpack(TOLERANCE[precision])
    for name, list in pairs(want) do
      local _, _, largest = helper.worst(list, list)
      for i = 1, name:find(NOISE, 1, true) and 0 or #list do
        local off = math.abs(list[i] - got[name][i])
        assert(off <= relative * list[i] + of_largest * largest,
          ("%s[%d]: %g, expected %g (largest %g)"):format(name, i, got[name][i], list[i], largest))
      end
    end
  end

  -- The squares of two batches, the second of which adds to the first's.
  local function squares(o)
    return function()
      local model = small.model(o)
      local pass = Pass.new({ model = model, seed = 5 })
      local evaluate = pass:bind({ step = 3, training = true,
        batches = { small.pack(model, 0, 7), small.pack(model, 7, 2, 7) } })
      assert.is_true(Pass.can_square(evaluate))
      local result = evaluate({ squares = true, backward = true, into = model.params.g })
      assert.equal(9, #result:losses())
      return small.values(model.params, model.params.g)
    end
  end

  for _, precision in ipairs({ "fp32", "bf16" }) do
    it("are the CPU's, in " .. precision, function()
      local want, got = both(squares({ precision = precision, smaller = true }))
      agree(want, got, precision)
    end)
  end

  it("are refused where layers share their weights", function()
    helper.on_device(device, function()
      local model = small.model({ precision = "fp32", smaller = true, shared = true })
      local evaluate = Pass.new({ model = model }):bind({ step = 0, training = true,
        batches = { small.pack(model, 0, 2) } })
      assert.is_nil(evaluate({ squares = true, backward = true, into = model.params.g }))
    end)
  end)

  it("make the CPU's masks", function()
    local want, got = both(function()
      local model, step = small.setup(FISHER)
      step(0)
      local bits = model.params:mask("mask")
      return { bits:density() }
    end)
    assert.same(want, got)
  end)

  it("need no memory for keys in a mask, which other values need once", function()
    if on_gpu then
      pending("how much memory a GPU has given is not known")
      return
    end
    local taken, vector = helper.on_device(device, chosen)
    assert.is_true(taken[1] < vector)
    assert.same({ 0, vector + 16, 0 }, { unpack(taken, 2) })
  end)

  it("are s:per_sample_squares()", function()
    local want, got = both(function()
      local model, step = small.setup(SEER)
      step(0)
      return small.values(model.params, seen)
    end)
    agree(want, got, "fp32")
  end)
end)
