local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

local function layer(case)
  local shape = { case.rows, case.columns }
  case.inputs = { { "x", "act", shape, function(i)
    return (i * 37 % 97) / 16 - 3
  end } }
  case.outputs = { { "y", "act", shape } }
  case.gradients = { { "x", "act" } }
  function case.forward(t)
    return lib.fsam_tanh_forward(t.y, t.x)
  end
  function case.backward(t)
    return lib.fsam_tanh_backward(t.dx, t.dy, t.y)
  end
  function case.expect(v)
    local y = {}
    for i, x in ipairs(v.x) do
      y[i] = math.tanh(x)
    end
    return { y = y }
  end
  case.tolerance = { f32 = 2e-7, bf16 = 5e-3 }
  case.gradient_tolerance = { f32 = 1e-6, bf16 = 2e-2 }
  return case
end

local cases = {
  layer({ name = "on a small matrix", rows = 3, columns = 21 }),
  layer({ name = "on more than one thread's share", rows = 40, columns = 250 }),
}

runner.define("tanh", cases, function()
  it("is right at its ends, near 0 and for NaN", function()
    local s = scratch.new()
    local x = s:tensor("f32", { 1, 6 }, { -1e38, 1e38, 1e-42, -1e-20, 0 / 0, math.huge })
    local y, dx = s:tensor("f32", { 1, 6 }), s:tensor("f32", { 1, 6 }, 1)
    check(lib.fsam_tanh_forward(y, x))
    check(lib.fsam_tanh_backward(dx, dx, y))
    local value, slope, input = y:read(), dx:read(), x:read()
    assert.same({ -1, 1, input[3], input[4] }, { value[1], value[2], value[3], value[4] })
    assert.same({ 0, 0, 1, 1 }, { slope[1], slope[2], slope[3], slope[4] })
    assert.is_true(value[5] ~= value[5] and slope[5] ~= slope[5])
    assert.equal(1, value[6])
    s:close()
  end)

  it("names what does not fit", function()
    local s = scratch.new()
    local x = s:tensor("f32", { 2, 6 }, 0, "x")
    assert.equal("tanh_forward: y (y) is [2, 6] bf16, expected [2, 6] f32",
      s:refused(lib.fsam_tanh_forward(s:tensor("bf16", { 2, 6 }, 0, "y"), x)))
    assert.equal("tanh_forward: x (x) is a column slice; whole rows are needed",
      s:refused(lib.fsam_tanh_forward(s:tensor("f32", { 2, 3 }), x:columns(1, 3))))
    s:close()
  end)
end)

return cases
