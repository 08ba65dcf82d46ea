-- Biases of linear maps that are rounded all at once, ahead of the maps (fsam_linear_biases).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local lib, check = C.lib, C.check

describe("biases that are rounded at once", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena

  before_each(function()
    device, arena = simt.open_lazy("biases")
  end)

  after_each(function()
    simt.close(device, arena)
  end)

  local function tensor(dtype, shape, scale)
    local t, values = Tensor.new(arena, dtype, shape, "t"), {}
    for i = 1, t:count() do
      values[i] = (i * 37 % 101) / 89 * scale
    end
    t:write(values)
    return t
  end

  it("give the same bits in one launch less for each map", function()
    local all = tensor("f32", { 320 }, 3)
    local bias, other = all:view({ 8 }, 128), tensor("f32", { 8 }, 3)
    local x, w = tensor("bf16", { 4, 8 }, 1), tensor("bf16", { 8, 8 }, 1)

    -- y = x w + b, and how many kernels that took.
    local function linear(b)
      local y = Tensor.new(arena, "bf16", { 4, 8 }, "y")
      y:read()
      local before = shim.fsam_simt_launches()
      check(lib.fsam_linear_forward(y, x, w, b))
      local values = y:read()
      return values, tonumber(shim.fsam_simt_launches() - before)
    end

    local expected, launches = linear(bias)
    local expected_other = linear(other)
    check(lib.fsam_linear_biases(device, all))
    local got, fewer = linear(bias)
    assert.same(expected, got)
    assert.equal(launches - 1, fewer)
    assert.same({ expected_other, launches }, { linear(other) }) -- not one of these
    check(lib.fsam_linear_biases(device, nil))
    bias:fill(0.5)
    got, fewer = linear(bias)
    assert.are_not.same(expected, got) -- what was rounded is not used again
    assert.equal(launches, fewer)
  end)
end)
