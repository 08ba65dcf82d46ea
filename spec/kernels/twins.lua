--- CUDA kernels against the CPU's, over the cases of every kernel's own spec: what cuda_spec.lua
-- (on the shim) and gpu_spec.lua (on a GPU) share.
local assert = require("luassert")
local lfs = require("lfs")
local C = require("fsam.C")
local helper = require("spec.helper")
local stage = require("spec.kernels.stage")
local check = C.check

local M = {}

local TOLERANCE = { f32 = 1e-5, bf16 = 1e-2 } -- of the largest value

--- The kernels, by their files: each kernels/NAME.c must have its twin NAME.cu and its spec.
function M.names()
  local names = {}
  for file in lfs.dir("kernels") do
    local name = file:match("^(.+)%.c$")
    if name then
      for _, other in ipairs({ "kernels/%s.cu", "spec/kernels/%s_spec.lua" }) do
        local path = other:format(name)
        assert(lfs.attributes(path), ("kernels/%s needs %s: write it"):format(file, path))
      end
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- Sizes that are special only to CUDA kernels; checked against the CPU's kernels alone.
local MORE = {
  attention = function(make)
    return {
      make("over several tiles", 1, 64, { 130, 3 }, { p = 0.1, tail = 2 }),
      make("in wide heads over several tiles", 1, 72, { 70 }, { p = 0.2 }),
      make("in heads as wide as the widest tile", 2, 128, { 40, 33 }, { p = 0.2, tail = 1 }),
    }
  end,
  embedding = function(make)
    return { make("of many tokens", 24,
      { token_type = true, p = 0.1, lengths = { 150, 151 }, tail = 3 }) }
  end,
  activation = function(layer)
    return { layer({ name = "on more rows than there are chunks", lengths = { 2100 }, T = 2100,
      F = 8, form = C.lib.FSAM_GELU_ERF }) }
  end,
  layernorm = function(make)
    return { make("in rows of several warps", 1032,
      { b = true, residual = true, p = 0.1, tail = 1 }) }
  end,
}

--- The cases of a kernel's spec and of MORE. A case's `twin` has tolerances of its own, by the
-- names of what is compared.
function M.cases_of(kernel)
  local all = dofile(("spec/kernels/%s_spec.lua"):format(kernel))
  local cases = { make = all.make }
  for _, case in ipairs(all) do
    cases[#cases + 1] = case
  end
  for _, case in ipairs(MORE[kernel] and MORE[kernel](cases.make) or {}) do
    cases[#cases + 1] = case
  end
  return cases
end

--- Runs a case on a device; `between` is called before backward.
-- @tparam function open opens the device into out[0]
local function on_device(open, case, act, filled, between)
  local self = stage.new(case, act, open)
  if case.backward then
    self:add_gradients(filled)
  end
  check(case.forward(self.t, self.batch, case))
  if case.backward then
    between(self)
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

local function compare(o, case, act, filled)
  local cpu = on_cpu(case, act, filled)
  o.first()
  local one = on_device(o.open, case, act, filled, o.between)
  o.second()
  local two = on_device(o.open, case, act, filled, o.between)
  for _, name in ipairs(written(case)) do
    local want, got = cpu.t[name]:read(), one.t[name]:read()
    local _, _, largest = helper.worst(want, got)
    local tolerance = case.twin and case.twin[name] or TOLERANCE[act]
    assert.near(want, got, tolerance * math.max(largest, 1e-3), name)
    assert.equal(0, (helper.worst(got, two.t[name]:read())), name .. " differs the second time")
  end
  for _, s in ipairs({ cpu, one, two }) do
    s:close()
  end
end

--- Compares a case with the CPU, with gradients written and added to; two runs give equal bits.
-- @tparam table o open; first, second, between: called before the two runs and before backward
function M.compare(o, case, act)
  compare(o, case, act, 0)
  if case.backward then
    compare(o, case, act, 1)
  end
end

--- Declares a spec for every case of every kernel, in each of its types.
-- @tparam function it Busted's; modules do not see it
-- @tparam table o as for compare
function M.declare(it, o)
  for _, kernel in ipairs(M.names()) do
    for _, case in ipairs(M.cases_of(kernel)) do
      for _, act in ipairs(case.types or { "f32", "bf16" }) do
        it(("%s does as on the CPU %s, in %s"):format(kernel, case.name, act), function()
          M.compare(o, case, act)
        end)
      end
    end
  end
end

-- -- attention by cuDNN ---------------------------------------------------------------------------

-- Batches that cudnn_attention.cu must change for cuDNN: samples without rows, in front, between
-- and behind, with and without a tail for their stand-ins; and numbers of samples to round up.
local function cudnn_cases()
  local cases = {}
  local all = M.cases_of("attention")
  for _, case in ipairs(all) do
    if not case.p and case.d % 8 == 0 then
      cases[#cases + 1] = case
    end
  end
  for _, more in ipairs({
    all.make("with absent samples and a tail", 2, 64, { 0, 130, 0, 3, 0, 0 }, { tail = 2 }),
    all.make("with absent samples and no tail", 2, 16, { 0, 5, 0, 0, 9, 0 }),
    all.make("with nine samples", 1, 8, { 1, 2, 3, 4, 5, 6, 7, 8, 9 }),
    all.make("with a tail alone", 1, 8, { 0, 0 }, { tail = 3 }),
  }) do
    cases[#cases + 1] = more
  end
  return cases
end

C.ffi.cdef("int setenv(const char *, const char *, int); int unsetenv(const char *);")

--- Sets FSAM_ATTENTION, or unsets it (nil).
function M.attention_by(library)
  if library then
    C.ffi.C.setenv("FSAM_ATTENTION", library, 1)
  else
    C.ffi.C.unsetenv("FSAM_ATTENTION")
  end
end

-- Forward by one, backward by one: "cudnn", or nil for our own kernels.
local function by(o, forward, backward)
  local function before(order)
    return function()
      order()
      M.attention_by(forward)
    end
  end
  return {
    open = o.open,
    first = before(o.first),
    second = before(o.second),
    between = function(s)
      o.between(s)
      M.attention_by(backward)
    end,
  }
end

--- Declares specs of attention where FSAM_ATTENTION=cudnn: by cuDNN in both directions, and in one.
-- @tparam function it Busted's
-- @tparam table o as for compare, and `used`: has cuDNN done attention, since the last question if
--   `counts`?
function M.declare_cudnn(it, o)
  local function run(case, act, forward, backward)
    local ok, err = pcall(M.compare, by(o, forward, backward), case, act)
    M.attention_by(nil)
    if not ok then
      error(tostring(err), 0)
    end
  end

  for text, ways in pairs({
    ["forward and backward"] = { "cudnn", "cudnn" },
    ["forward only"] = { "cudnn", nil },
    ["backward only"] = { nil, "cudnn" },
  }) do
    for _, case in ipairs(cudnn_cases()) do
      it(("attention by cuDNN %s does as on the CPU %s"):format(text, case.name), function()
        o.used()
        run(case, "bf16", ways[1], ways[2])
        assert.is_true(o.used())
      end)
    end
  end

  it("leaves to our own kernels what cuDNN is not asked for", function()
    local make = M.cases_of("attention").make
    o.used()
    run(make("", 1, 8, { 3 }), "f32", "cudnn", "cudnn")
    run(make("", 1, 8, { 3 }, { p = 0.1 }), "bf16", "cudnn", "cudnn")
    run(make("", 1, 12, { 3 }), "bf16", "cudnn", "cudnn")
    assert.is_false(o.counts and o.used() or false)
  end)

  it("names what FSAM_ATTENTION cannot be", function()
    assert.has_error(function()
      run(M.cases_of("attention").make("", 1, 8, { 3 }), "bf16", "flash", "flash")
    end, "attention: FSAM_ATTENTION=flash is unknown; make it own or cudnn, or unset it")
  end)
end

--- The message of reading a kernel's result, after forward on data that the device cannot refuse.
-- @tparam function open opens the device into out[0]
-- @tparam string kernel
-- @tparam function change spoils the stage
function M.fault(open, kernel, change)
  local case = dofile(("spec/kernels/%s_spec.lua"):format(kernel))[1]
  local s = stage.new(case, "f32", open)
  change(s)
  check(case.forward(s.t, s.batch, case))
  local out = s.t[case.outputs[1][1]]
  local ok, message = pcall(out.read, out)
  local again = pcall(out.read, out)
  s:close()
  assert.is_false(ok)
  assert.is_true(again) -- reported once
  return tostring(message)
end

--- Overwrites element i (from 1) of an input.
function M.spoil(s, name, i, value)
  local values = s.t[name]:read()
  values[i] = value
  s.t[name]:write(values)
end

return M
