local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

-- erf by its series with positive terms: good to 1e-15 for |x| < 6, and 1 beyond.
local function erf(x)
  local a = math.abs(x)
  if a > 6 then
    return x > 0 and 1 or -1
  end
  local term, sum, n = a, a, 0
  while term > 1e-17 * sum do
    n = n + 1
    term = term * 2 * a * a / (2 * n + 1)
    sum = sum + term
  end
  return (x < 0 and -2 or 2) / math.sqrt(math.pi) * math.exp(-a * a) * sum
end

local ERF, TANH_FORM = lib.FSAM_GELU_ERF, lib.FSAM_GELU_TANH
local RELU, SILU, TANH = lib.FSAM_RELU, lib.FSAM_SILU, lib.FSAM_TANH

-- By form: its name, its value, its slope at 0, and whether it is bounded. The others are 0 far to
-- the left and the identity far to the right.
local FORMS = {
  [ERF] = { name = "erf", value = function(u)
    return 0.5 * u * (1 + erf(u / math.sqrt(2)))
  end, slope = 0.5 },
  [TANH_FORM] = { name = "tanh form", value = function(u)
    return 0.5 * u * (1 + math.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u ^ 3)))
  end, slope = 0.5 },
  [RELU] = { name = "relu", value = function(u)
    return math.max(u, 0)
  end, slope = 0 },
  [SILU] = { name = "silu", value = function(u)
    return u / (1 + math.exp(-u))
  end, slope = 0.5 },
  [TANH] = { name = "tanh", value = math.tanh, slope = 1, bounded = true },
}

local function wide(i) -- from -7 to 7, not in order
  return (i * 37 % 281) / 20 - 7
end

local function layer(case)
  local T, F, form = case.T, case.F, case.form
  case.name = ("(%s) %s"):format(FORMS[form].name, case.name)
  case.inputs = { { "x", "act", { T, F }, wide }, { "b", "f32", { F } } }
  case.outputs = { { "y", "act", { T, F } } }
  case.gradients = { { "x", "act" }, { "b", "f32" } }
  function case.forward(t)
    return lib.fsam_activation_forward(t.y, t.x, t.b, form)
  end
  function case.backward(t)
    return lib.fsam_activation_backward(t.dx, t.db, t.dy, t.x, t.b, form)
  end
  function case.expect(v)
    local y = {}
    for i = 1, T * F do
      y[i] = FORMS[form].value(v.x[i] + v.b[(i - 1) % F + 1])
    end
    return { y = y }
  end
  case.tolerance = { f32 = 2e-7, bf16 = 5e-3 }
  case.gradient_tolerance = { f32 = 2e-6, bf16 = 5e-3 }
  return case
end

local cases = {
  layer({ name = "with a tail", lengths = { 4, 3 }, tail = 2, T = 9, F = 24, form = ERF }),
  layer({ name = "without a tail", lengths = { 4, 3 }, T = 7, F = 24, form = ERF }),
  layer({ name = "at odd sizes", lengths = { 3 }, T = 3, F = 7, form = ERF }),
  layer({ name = "on many rows", lengths = { 70, 50 }, tail = 1, T = 121, F = 69, form = ERF }),
  layer({ name = "on long rows", lengths = { 3 }, T = 3, F = 523, form = ERF }),
  layer({ name = "on many rows", lengths = { 70, 55 }, T = 125, F = 69, form = TANH_FORM,
    types = { "f32" } }),
}
for _, form in ipairs({ TANH_FORM, RELU, SILU, TANH }) do
  cases[#cases + 1] = layer({ name = "with a tail", lengths = { 4, 3 }, tail = 2, T = 9, F = 24,
    form = form })
end

runner.define("activation", cases, function()
  local s
  before_each(function()
    s = scratch.new()
  end)
  after_each(function()
    s:close()
  end)

  local EXTREMES = { -1e38, -1e20, -100, -14, -1e-42, 0, 1e-42, 14, 100, 1e20, 1e38 }

  it("has its value and slope far from 0, and at 0", function()
    for form, f in pairs(FORMS) do
      local n = #EXTREMES
      local x, one = s:tensor("f32", { 1, n }, EXTREMES), s:tensor("f32", { 1, n }, 1)
      local y, dx = s:tensor("f32", { 1, n }), s:tensor("f32", { 1, n })
      check(lib.fsam_activation_forward(y, x, nil, form))
      check(lib.fsam_activation_backward(dx, nil, one, x, nil, form))
      local slope, far = dx:read(), f.bounded and 0 or 1
      local tolerance = form == SILU and 2e-5 or 1e-6 -- silu is slow to reach its ends
      for i, u in ipairs(x:read()) do
        local value = f.bounded and (u > 0 and 1 or -1) or math.max(u, 0)
        -- Near 0 the function is its slope times u; relu's slope there is 1 on the right.
        local near = (form == RELU and u > 0) and 1 or f.slope
        local large = math.abs(u) > 1
        local scale = f.bounded and 1 or math.abs(u)
        assert.near(large and value or near * u, y:read()[i], tolerance * scale)
        assert.near(large and (u > 0 and far or 0) or near, slope[i], tolerance)
      end
    end
  end)

  it("lets NaN through, in its own place only", function()
    for _, dtype in ipairs({ "f32", "bf16" }) do
      for form in pairs(FORMS) do
        local x, dy = s:tensor(dtype, { 1, 3 }, { 1, 0 / 0, 1 }), s:tensor(dtype, { 1, 3 }, 1)
        local y, db = s:tensor(dtype, { 1, 3 }), s:tensor("f32", { 3 })
        check(lib.fsam_activation_forward(y, x, nil, form))
        check(lib.fsam_activation_backward(dy, db, dy, x, nil, form))
        for _, values in ipairs({ y:read(), dy:read(), db:read() }) do
          assert.is_true(values[2] ~= values[2])
          assert.is_true(values[1] == values[1] and values[3] == values[3])
        end
      end
    end
  end)

  it("may write its gradient over the one that arrives, and works on column slices", function()
    local values = {}
    for i = 1, 4 * 40 do
      values[i] = wide(i)
    end
    local x = s:tensor("f32", { 4, 40 }, values):columns(3, 21)
    local other = s:tensor("f32", { 4, 40 }, 1)
    local dy, plain = other:columns(5, 21), s:tensor("f32", { 4, 21 })
    check(lib.fsam_activation_backward(plain, nil, s:tensor("f32", { 4, 21 }, 1), x, nil, ERF))
    check(lib.fsam_activation_backward(dy, nil, dy, x, nil, ERF))
    local all, want = other:read(), plain:read()
    for i = 0, 4 * 40 - 1 do
      local row, column = math.floor(i / 40), i % 40 - 5
      local inside = column >= 0 and column < 21
      assert.equal(inside and want[row * 21 + column + 1] or 1, all[i + 1])
    end
  end)

  it("names what does not fit", function()
    local x, b = s:tensor("f32", { 2, 3 }, 0, "x"), s:tensor("f32", { 2 }, 0, "b")
    assert.equal("activation_forward: b (b) is [2] f32, expected [3] f32",
      s:refused(lib.fsam_activation_forward(x, x, b, ERF)))
    assert.equal("activation_backward: form 7 is unknown (0: gelu, 1: gelu's tanh form, 2: relu, "
      .. "3: silu, 4: tanh)",
      s:refused(lib.fsam_activation_backward(x, nil, x, x, nil, 7)))
  end)
end)

cases.make = layer
return cases
