-- CUDA kernels, run on the CPU by the shim of spec/simt, against the CPU's kernels: the cases of
-- every kernel's own spec, in f32 and bf16, with gradients written and added to, the threads in
-- ascending and in descending order with equal bits, guard words around every buffer, and poison in
-- all memory that nobody has written.
local C = require("fsam.C")
local helper = require("spec.helper")
local simt = require("spec.simt.device")
local stage = require("spec.kernels.stage")
local check = C.check

local TOLERANCE = { f32 = 1e-5, bf16 = 1e-2 } -- of the largest value

local NAMES = { "attention", "cast", "cross_entropy", "dropout", "embedding", "gather", "gelu",
  "layernorm", "linear", "mse", "tanh" }

-- Sizes that only a GPU's way of cutting makes special; checked against the CPU's kernels alone.
local MORE = {
  attention = function(make)
    return {
      make("over several tiles", 1, 64, { 130, 3 }, { p = 0.1, tail = 2 }),
      make("in wide heads over several tiles", 1, 72, { 70 }, { p = 0.2 }),
    }
  end,
  embedding = function(make)
    return { make("of many tokens", 24,
      { segment = true, p = 0.1, lengths = { 150, 151 }, tail = 3 }) }
  end,
  gelu = function(layer)
    return { layer({ name = "on more rows than there are chunks", lengths = { 2100 }, T = 2100,
      F = 8, form = C.lib.FSAM_GELU_ERF }) }
  end,
  layernorm = function(make)
    return { make("in rows of several warps", 1032,
      { b = true, residual = true, p = 0.1, tail = 1 }) }
  end,
}

--- The cases of a kernel's spec and of MORE.
local function cases_of(kernel)
  local cases = dofile(("spec/kernels/%s_spec.lua"):format(kernel))
  for _, case in ipairs(MORE[kernel] and MORE[kernel](cases.make) or {}) do
    cases[#cases + 1] = case
  end
  return cases
end

--- A case run on the shim; what passes leave in scratch memory is gone before the next.
local function on_simt(lib, case, act, filled, descending)
  local self = stage.new(case, act, simt.open)
  if case.backward then
    self:add_gradients(filled)
  end
  lib.fsam_simt_order(descending)
  check(case.forward(self.t, self.batch, case))
  if case.backward then
    lib.fsam_simt_poison(self.device[0])
    check(case.backward(self.t, self.batch, case))
  end
  local hold, name = self:guards_hold()
  assert(hold, name and "written outside of " .. name)
  return self
end

local function on_cpu(case, act, filled)
  local self = stage.new(case, act)
  if case.backward then
    self:add_gradients(filled)
  end
  self:run(1)
  return self
end

local function written(case)
  local names = {}
  for _, output in ipairs(case.outputs) do
    names[#names + 1] = output[1]
  end
  for _, gradient in ipairs(case.backward and case.gradients or {}) do
    names[#names + 1] = "d" .. gradient[1]
  end
  return names
end

local function compare(lib, case, act, filled)
  local cpu = on_cpu(case, act, filled)
  local up, down = on_simt(lib, case, act, filled, 0), on_simt(lib, case, act, filled, 1)
  for _, name in ipairs(written(case)) do
    local want, got = cpu.t[name]:read(), up.t[name]:read()
    local _, _, largest = helper.worst(want, got)
    assert.near(want, got, TOLERANCE[act] * math.max(largest, 1e-3), name)
    assert.equal(0, (helper.worst(got, down.t[name]:read())), name .. " depends on the order")
  end
  for _, s in ipairs({ cpu, up, down }) do
    s:close()
  end
end

describe("cuda", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  for _, kernel in ipairs(NAMES) do
    for _, case in ipairs(cases_of(kernel)) do
      for _, act in ipairs(case.types or { "f32", "bf16" }) do
        it(("%s does as on the CPU %s, in %s"):format(kernel, case.name, act), function()
          compare(lib, case, act, 0)
          if case.backward then
            compare(lib, case, act, 1)
          end
        end)
      end
    end
  end

  --- What reading a case's result says, after forward ran on data that the device cannot refuse.
  local function found(kernel, change)
    local case = dofile(("spec/kernels/%s_spec.lua"):format(kernel))[1]
    local s = stage.new(case, "f32", simt.open)
    change(s)
    check(case.forward(s.t, s.batch, case))
    local out = s.t[case.outputs[1][1]]
    local ok, message = pcall(out.read, out)
    local again = pcall(out.read, out)
    s:close()
    assert.is_false(ok)
    assert.is_true(again) -- told once
    return tostring(message)
  end

  it("tells of indices beyond their table when a result is read", function()
    for name, text in pairs({ ids = "word", positions = "position" }) do
      for _, wrong in ipairs({ -1, 1000 }) do
        local message = found("embedding", function(s)
          C.ffi.cast("int32_t *", s.t[name].data)[1] = wrong
        end)
        assert.equal(("embedding: %s names a row that the %s table does not have"):format(name,
          text), message)
      end
    end
  end)

  it("tells of labels that are no class when a result is read", function()
    assert.equal("cross_entropy: labels names a class that the logits do not have",
      found("cross_entropy", function(s)
        C.ffi.cast("int32_t *", s.t.labels.data)[0] = -3
      end))
  end)

  it("tells of samples that are longer than the batch says when a result is read", function()
    assert.equal("attention: a sample is longer than its batch says, or not where it should be",
      found("attention", function(s)
        s.batch.longest = 2
      end))
  end)

  it("refuses heads and rows that its kernels have no room for", function()
    local attention = cases_of("attention").make("", 1, 132, { 2 })
    local layernorm = cases_of("layernorm").make("", 4104, {})
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
