local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

local function layer(case)
  local H, T = case.H, case.tail or 0
  for _, length in ipairs(case.lengths) do
    T = T + length
  end
  case.inputs = { { "x", "act", { T, H } } }
  case.outputs = { { "y", case.picked or "f32", { #case.lengths, H } } }
  case.gradients = { { "x", "act" } }
  function case.forward(t, batch)
    return lib.fsam_gather_forward(t.y, t.x, batch)
  end
  function case.backward(t, batch)
    return lib.fsam_gather_backward(t.dx, t.dy, batch)
  end
  function case.expect(v)
    local y, first = {}, 0
    for b, length in ipairs(case.lengths) do
      for h = 1, H do
        y[(b - 1) * H + h] = length > 0 and v.x[first * H + h] or 0
      end
      first = first + length
    end
    return { y = y }
  end
  case.tolerance = { f32 = 0, bf16 = 0 }
  case.gradient_tolerance = { f32 = 1e-6, bf16 = 5e-3 }
  return case
end

local cases = {
  layer({ name = "with a tail and empty samples", lengths = { 3, 0, 1, 5, 0 }, tail = 4, H = 20 }),
  layer({ name = "without a tail", lengths = { 3, 1, 5 }, H = 16 }),
  layer({ name = "in the rows' own type", picked = "act", lengths = { 3, 0, 1, 5 }, tail = 2,
    H = 20 }),
}

runner.define("gather", cases, function()
  it("takes NaN from first rows only", function()
    local s = scratch.new()
    local x = s:tensor("f32", { 4, 1 }, { 1, 0 / 0, 0 / 0, 0 / 0 })
    local y, batch = s:tensor("f32", { 2, 1 }), s:batch({ 2, 1 }, 1)
    check(lib.fsam_gather_forward(y, x, batch))
    local got = y:read()
    assert.equal(1, got[1])
    assert.is_true(got[2] ~= got[2])
    s:close()
  end)

  it("names what does not fit", function()
    local s = scratch.new()
    local x, y = s:tensor("f32", { 4, 2 }, 0, "x"), s:tensor("f32", { 2, 2 }, 0, "y")
    assert.equal("gather_forward: x (x) is [4, 2] f32, expected [5, -1] float (-1: any)",
      s:refused(lib.fsam_gather_forward(y, x, s:batch({ 3, 2 }))))
    assert.equal("gather_forward: y (y) is [2, 2] f32, expected [1, 2] f32",
      s:refused(lib.fsam_gather_forward(y, x, s:batch({ 4 }))))
    assert.equal("gather_backward: batch is missing",
      s:refused(lib.fsam_gather_backward(x, y, nil)))
    s:close()
  end)
end)

return cases
