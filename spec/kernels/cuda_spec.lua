-- CUDA kernels, run on the CPU by the shim of spec/simt, against the CPU's kernels: the cases of
-- every kernel's own spec, in f32 and bf16, with gradients written and added to, the threads in
-- ascending and in descending order with equal bits, guard words around every buffer, and poison in
-- all memory that was never written.
local C = require("fsam.C")
local simt = require("spec.simt.device")
local stage = require("spec.kernels.stage")
local twins = require("spec.kernels.twins")

describe("cuda", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  local runs = {
    open = simt.open,
    first = function()
      lib.fsam_simt_order(0)
    end,
    second = function()
      lib.fsam_simt_order(1)
    end,
    between = function(s) -- no kernel may count on what an earlier one left in scratch memory
      lib.fsam_simt_poison(s.device[0])
    end,
  }
  twins.declare(it, runs)

  local counted = 0
  twins.declare_cudnn(it, setmetatable({
    counts = true,
    used = function() -- of spec/simt/cudnn_attention.cpp
      local before = counted
      counted = lib.fsam_simt_cudnn_attentions()
      return counted > before
    end,
  }, { __index = runs }))

  it("reports indices beyond their table when a result is read", function()
    for name, text in pairs({ ids = "word", positions = "position" }) do
      for _, wrong in ipairs({ -1, 1000 }) do
        local message = twins.fault(simt.open, "embedding", function(s)
          twins.spoil(s, name, 2, wrong)
        end)
        assert.equal(("embedding: %s names a row that the %s table does not have"):format(name,
          text), message)
      end
    end
  end)

  -- Blocks of one warp serve batches of short samples, others blocks of four.
  it("gives a short sample's attention the same bits alone and beside a long one", function()
    local make = twins.cases_of("attention").make
    local function results(lengths, act)
      local case = make("", 2, 32, lengths, { p = 0.1 })
      local s = stage.new(case, act, simt.open)
      s:add_gradients(0)
      C.check(case.forward(s.t, s.batch, case))
      C.check(case.backward(s.t, s.batch, case))
      local y, dqkv = s.t.y:read(), s.t.dqkv:read()
      s:close()
      return y, dqkv
    end
    for _, act in ipairs({ "f32", "bf16" }) do
      local y, dqkv = results({ 32, 7 }, act)
      local beside_y, beside_dqkv = results({ 32, 7, 40 }, act)
      for i = 1, #y do
        assert.equal(y[i], beside_y[i])
      end
      for i = 1, #dqkv do
        assert.equal(dqkv[i], beside_dqkv[i])
      end
    end
  end)

  it("takes dropout's bits of longer samples from forward to backward", function()
    local case = twins.cases_of("attention").make("", 1, 8, { 40, 3 }, { p = 0.1 })
    local s = stage.new(case, "f32", simt.open)
    local t = s.t
    s:add_gradients(0)
    C.check(case.forward(t, s.batch, case))
    local function backward(kept)
      return C.lib.fsam_attention_backward(t.dqkv, t.dy, t.y, t.lse, kept, t.qkv, 1, s.batch,
        case.dropout)
    end
    assert.is_true(backward(nil) < 0)
    assert.equal("attention_backward: kept is missing", C.ffi.string(C.lib.fsam_error()))
    t.kept:fill(0) -- as if all had been dropped
    C.check(backward(t.kept))
    local got = t.dqkv:read()
    for row = 0, 42 do
      for column = 17, 24 do -- the values'
        assert.equal(0, got[24 * row + column])
      end
    end
    s.batch.longest = 32
    assert.equal(0, C.lib.fsam_attention_kept(t.qkv, 1, s.batch, case.dropout))
    s:close()
  end)

  it("reports labels that are no class when a result is read", function()
    assert.equal("cross_entropy: labels names a class that the logits do not have",
      twins.fault(simt.open, "cross_entropy", function(s)
        twins.spoil(s, "labels", 1, -3)
      end))
  end)

  it("reports samples that are longer than the batch says when a result is read", function()
    assert.equal("attention: a sample is longer than its batch says, or not where it should be",
      twins.fault(simt.open, "attention", function(s)
        s.batch.longest = 2
      end))
  end)

  it("refuses heads and rows that its kernels have no room for", function()
    local attention = twins.cases_of("attention").make("", 1, 132, { 2 })
    local layernorm = twins.cases_of("layernorm").make("", 4104, {})
    for case, text in pairs({
      [attention] = "attention_forward: heads of 132 columns, on cuda at most 128",
      [layernorm] = "layernorm_forward: rows of 4104 columns, on cuda at most 4096",
    }) do
      local s = stage.new(case, "f32", simt.open)
      assert.is_true(case.forward(s.t, s.batch, case) < 0)
      assert.equal(text, C.ffi.string(C.lib.fsam_error()))
      s:close()
    end
  end)
end)
