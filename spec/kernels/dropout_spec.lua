-- Dropout of the classification heads, and the rule that every other dropout follows.
local C = require("fsam.C")
local runner = require("spec.kernels.runner")

local function make(name, width, p)
  local case = {
    name = name,
    lengths = { 2, 1, 0, 3, 1 },
    inputs = { { "x", "act", { 5, width } } },
    outputs = { { "y", "act", { 5, width } } },
    gradients = { { "x", "act" } },
    tolerance = { f32 = 1e-7, bf16 = 4e-3 },
    dropout = C.ffi.new("fsam_dropout", { p = p, site = 6 }),
    pass = { seed = 12, step = 345, draw = 3 },
  }
  function case.expect(v)
    local y = {}
    for i = 1, #v.x do
      local b, c = math.floor((i - 1) / width), (i - 1) % width
      y[i] = v.x[i] * runner.keep(case, b, 0, math.floor(c / 8), c % 8)
    end
    return { y = y }
  end
  function case.forward(t, batch)
    return C.lib.fsam_dropout_apply(t.y, t.x, batch, case.dropout)
  end
  function case.backward(t, batch)
    return C.lib.fsam_dropout_apply(t.dx, t.dy, batch, case.dropout)
  end
  return case
end

local cases = {
  make("at p = 0", 24, 0),
  make("at p = 0.1", 24, 0.1),
  make("at p = 0.5 in long rows of odd length", 301, 0.5),
}

runner.define("dropout", cases, function()
  it("drops about p of the elements", function()
    local case = make("", 4000, 0.1)
    local dropped = 0
    for _, value in ipairs(runner.forward(case).y) do
      dropped = dropped + (value == 0 and 1 or 0)
    end
    -- 20,000 draws: four standard deviations are 170.
    assert.near(2000, dropped, 170)
  end)

  it("refuses a p that drops everything", function()
    for _, p in ipairs({ 1, -0.1, 0 / 0, 0.999999 }) do
      local ok, message = pcall(runner.forward, make("", 8, p))
      assert.is_false(ok)
      assert.equal(("dropout_apply: dropout p is %s, expected 0 to less than 1"):format(
        p ~= p and tostring(message):match("is (%-?nan)") or ("%g"):format(p)), tostring(message))
    end
  end)
end)
return cases
