-- The laws of the step, on a small random BERT with dropout on (small_bert.lua): what must hold bit
-- for bit whatever the optimizer. (Of each sam-type: type_laws_spec.lua. The same bits after a
-- resumed run: spec/recipes. Thread counts of single kernels: spec/kernels.)
local C = require("fsam.C")
local bert = require("spec.lua.small_bert")
local sam = require("fsam.sam")

local ffi = C.ffi
local bytes, poison, run, setup = bert.bytes, bert.poison, bert.run, bert.setup
local snapshot = bert.snapshot

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
        local o = { momentum = 0.9, rho = 0 }
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
      for i, parameter in ipairs(model.params.parameters) do
        before[i] = model.params:weight(parameter):read()
      end
      model.params:sync()
      for i, parameter in ipairs(model.params.parameters) do
        assert.same(before[i], model.params:weight(parameter):read())
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
      o.micro = 3
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
  for pass = 1, 2 do
    it("in pass " .. pass .. " changes nothing, says so, and training goes on", function()
      local model, step, optimizer = setup({ sam_type = "sam" })
      step(0)
      local before, applied = snapshot(model), optimizer.applied
      local info = step(1, (poison(model, 0 / 0, pass)))
      assert.is_string(info.skipped)
      assert.same(before, snapshot(model))
      assert.equal(applied, optimizer.applied)
      assert.is_nil(step(2).skipped)
      assert.is_false(before["w"] == bytes(model.params.w))
    end)
  end

  it("in esam's scoring pass changes nothing", function()
    local model, step = setup({ sam_type = "esam" })
    step(0)
    local before = snapshot(model)
    local info = step(1, function(evaluate)
      return function(request)
        local result = evaluate(request)
        return request.backward and result
          or { mean = function() return 0 / 0 end, losses = result.losses }
      end
    end)
    assert.matches("^a loss at the perturbed point is %-?nan", info.skipped)
    assert.same(before, snapshot(model))
  end)

  it("keeps the old mask, and the new one stays due", function()
    local model, step = setup({ sam_type = "fisher-sam", options = { fisher = "batch" } })
    step(0)
    local mask = model.params:mask("mask")
    local function bits()
      return ffi.string(mask.data, model.params.total / 8)
    end
    local before = bits()
    local info = step(3, poison(model, 0 / 0, 2))
    assert.is_string(info.skipped)
    assert.is_true(before == bits())
    assert.is_table(step(4).mask)
    assert.is_false(before == bits())
  end)
end)

describe("edge cases", function()
  it("a zero gradient perturbs nothing and divides by nothing", function()
    local model, step = setup({ sam_type = "fisher-sam", options = { fisher = "batch" } })
    local info = step(0, poison(model, 0, nil, true))
    assert.is_nil(info.skipped)
    assert.equal(0, info.enorm)
    assert.equal(0, info.gnorm)
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
