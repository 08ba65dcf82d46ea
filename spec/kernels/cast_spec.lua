local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local ffi, lib = C.ffi, C.lib

-- Nearest bf16 (8 bits of precision), ties to even, for normal numbers.
local function nearest_bf16(x)
  if x == 0 then
    return x
  end
  local fraction, exponent = math.frexp(x)
  local scaled = fraction * 256
  local low = math.floor(scaled)
  local rest = scaled - low
  local up = rest > 0.5 or (rest == 0.5 and low % 2 == 1)
  return math.ldexp((low + (up and 1 or 0)) / 256, exponent)
end

local function copy(case)
  local shape = { case.rows, case.columns }
  case.inputs = { { "x", "f32", shape, case.values } }
  case.outputs = { { "half", "bf16", shape }, { "same", "bf16", { case.rows * case.columns } },
    { "back", "f32", shape }, { "plain", "f32", shape } }
  case.types = { "f32" }
  function case.forward(t)
    t.half:copy(t.x)
    t.same:copy(t.half)
    t.back:copy(t.same)
    t.plain:copy(t.x)
    return 0
  end
  function case.expect(v)
    local half = {}
    for i, x in ipairs(v.x) do
      half[i] = nearest_bf16(x)
    end
    return { half = half, same = half, back = half, plain = v.x }
  end
  case.tolerance = { f32 = 0 }
  return case
end

local cases = {
  copy({ name = "on a few values", rows = 3, columns = 7 }),
  copy({ name = "on ties", rows = 1, columns = 64, values = function(i)
    return (256 + i) / 512 -- every second one lies halfway between two bf16 numbers
  end }),
  copy({ name = "on more than one thread's share", rows = 50, columns = 701 }),
}

runner.define("cast", cases, function()
  local s
  before_each(function()
    s = scratch.new()
  end)
  after_each(function()
    s:close()
  end)

  it("keeps infinities, NaN, the sign of zero and denormals, and rounds to infinity", function()
    local x = s:tensor("f32", { 6 }, { math.huge, -math.huge, 0 / 0, -0.0, 2 ^ -133, 3.4e38 })
    local half = s:tensor("bf16", { 6 })
    local got = half:copy(x):read()
    assert.same({ math.huge, -math.huge }, { got[1], got[2] })
    assert.is_true(got[3] ~= got[3])
    assert.equal(-math.huge, 1 / got[4])
    assert.same({ 2 ^ -133, math.huge }, { got[5], got[6] })
  end)

  it("keeps a NaN whose bits are all in the lower half", function()
    local x, half = s:tensor("f32", { 1 }), s:tensor("bf16", { 1 })
    ffi.cast("uint32_t *", x.data)[0] = 0x7f800001
    local got = half:copy(x):read()[1]
    assert.is_true(got ~= got)
  end)

  it("copies integers bit by bit and does not mix them with floats", function()
    local a = s:tensor("i32", { 3 }, { -5, 2147483647, 0 }, "a")
    assert.same({ -5, 2147483647, 0 }, s:tensor("i32", { 3, 1 }):copy(a):read())
    local b = s:tensor("f32", { 3 }, 0, "b")
    assert.equal("copy: b and a differ in type (i32 and float)",
      s:refused(lib.fsam_tensor_copy(b, a)))
  end)
end)

return cases
