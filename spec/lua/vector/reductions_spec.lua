local support = require("spec.lua.vector.support")
local finite, f32 = support.finite, support.f32

local function filled()
  local P = support.model()
  local x, y = P:vector("x"), P:vector("y")
  support.fill(P, x, function(n, parameter) return parameter.frozen and 1e30 or finite(n, 1) end)
  support.fill(P, y, function(n, parameter) return parameter.frozen and 1e30 or finite(n, 2) end)
  return P, x, y
end

-- The contract's order of additions. A block of up to 4,096 elements: 16 f64 lanes, folded as a
-- tree.
local function block_sum(element, first, last)
  local lanes = {}
  for k = 0, 15 do
    lanes[k] = 0
  end
  for i = first, last do
    lanes[(i - first) % 16] = lanes[(i - first) % 16] + element(i)
  end
  for _, half in ipairs({ 8, 4, 2, 1 }) do
    for k = 0, half - 1 do
      lanes[k] = lanes[k] + lanes[k + half]
    end
  end
  return lanes[0]
end

-- A parameter: its blocks in spans of 64, each in order; the spans in order.
local function parameter_sum(parameter, element)
  local total, span = 0, 0
  for first = 0, parameter.count - 1, 4096 do
    if first % (64 * 4096) == 0 then
      total, span = total + span, 0
    end
    local last = math.min(first + 4096, parameter.count) - 1
    span = span + block_sum(element, parameter.offset + first, parameter.offset + last)
  end
  return total + span
end

-- The model, or the parameters that only(parameter) holds for: its parameters in order.
-- element(index in layout) gives what is added.
local function ordered_sum(P, element, only)
  local total = 0
  for _, parameter in ipairs(P.parameters) do
    if not parameter.frozen and (not only or only(parameter)) then
      total = total + parameter_sum(parameter, element)
    end
  end
  return total
end

local function element_of(vector)
  local data = require("fsam.C").ffi.cast("float *", vector.raw.data)
  return function(i)
    return data[i]
  end
end

describe("a reduction", function()
  it("adds in f64 in its order, equal to the last bit", function()
    local P, x, y = filled()
    local a, b = element_of(x), element_of(y)
    assert.equal(ordered_sum(P, a), x:sum():read())
    assert.equal(ordered_sum(P, function(i) return a(i) * b(i) end), x:dot(y):read())
    assert.equal(math.sqrt(ordered_sum(P, function(i) return a(i) * a(i) end)), x:norm():read())
    assert.equal(ordered_sum(P, function(i) return f32(a(i) + b(i)) end), (x + y):sum():read())
    assert.equal(ordered_sum(P, a) / P.trainable, x:mean():read())
  end)

  it("adds many blocks in spans, then parameters", function()
    local P = support.model(nil, {
      { name = "table", kind = "embedding", shape = { 65, 4096 } },
      { name = "weight", kind = "matrix", layer = 0, shape = { 64 * 4096 + 5 } },
      { name = "bias", kind = "bias", layer = 0, shape = { 77 } },
    })
    local x = P:vector("x")
    support.fill(P, x, function(n) return finite(n, 3) / (n % 1009 + 1) end)
    local value = element_of(x)
    local function element(i) -- long enough for sums to round
      return value(i) * value(i)
    end
    assert.equal(ordered_sum(P, element), x:dot(x):read())
    local by_tensor, by_layer = x:per("tensor"):dot(x):read(), x:per("layer"):dot(x):read()
    for i, parameter in ipairs(P.parameters) do
      assert.equal(parameter_sum(parameter, element), by_tensor[i])
      assert.equal(ordered_sum(P, element, function(p) return p.layer == parameter.layer end),
        by_layer[i])
    end
  end)

  it("finds the smallest, the largest and the largest magnitude", function()
    local P, x = filled()
    local list = support.read(P, x)
    local least, greatest = math.huge, -math.huge
    for _, value in ipairs(list) do
      least, greatest = math.min(least, value), math.max(greatest, value)
    end
    assert.equal(least, x:min():read())
    assert.equal(greatest, x:max():read())
    assert.equal(math.max(-least, greatest), x:max_abs():read())
  end)

  it("shows a NaN wherever it is, in every reduction", function()
    local P, x = filled()
    for _, at in ipairs({ 1, 200, 4475, 4810 }) do
      support.fill(P, x, function(n) return n == at and 0 / 0 or 1 end)
      for _, name in ipairs({ "sum", "norm", "max_abs", "min", "max", "mean" }) do
        local value = x[name](x):read()
        assert.is_true(value ~= value, name .. " of a NaN at " .. at)
      end
    end
  end)

  it("per tensor and per layer gives rows that broadcast back", function()
    local P, x, y = filled()
    local a, b = element_of(x), element_of(y)
    local by_tensor, by_layer = x:per("tensor"):dot(y):read(), x:per("layer"):sum():read()
    for i, parameter in ipairs(P.parameters) do
      assert.equal(ordered_sum(P, function(k) return a(k) * b(k) end, function(other)
        return other == parameter
      end), by_tensor[i])
      local expected = ordered_sum(P, a, function(p) return p.layer == parameter.layer end)
      assert.equal(expected, by_layer[i])
    end
    local to = P:vector("to")
    to:set(x / x:per("tensor"):norm())
    for i, norm in ipairs(to:per("tensor"):norm():read()) do
      assert.near(P.parameters[i].frozen and 0 or 1, norm, 1e-6)
    end
    assert.near(1, (x:per("layer"):mean() * 0 + 1):read()[1], 0)
  end)

  it("of an expression with conditions counts what holds", function()
    local P, x = filled()
    local expected = 0
    for _, value in ipairs(support.read(P, x)) do
      expected = expected + (value > 0 and 1 or 0)
    end
    assert.equal(expected, x:gt(0):sum():read())
  end)
end)

describe("scalars", function()
  it("compute in f64", function()
    local P, x, y = filled()
    local a, b = x:norm():read(), y:norm():read()
    local s = (x:norm() * 0.1 + y:norm()) / 3 - 1
    assert.equal((a * 0.1 + b) / 3 - 1, s:read())
    assert.equal(-math.min(a, b), (-x:norm():min(y:norm())):read())
    assert.equal(math.exp(-a / 1e3), (-x:norm() / 1e3):exp():read())
    assert.equal(a > b and 1 or 0, x:norm():gt(y:norm()):read())
    assert.equal(a * a, (x:norm() ^ 2):read())
    assert.equal(a ^ 0.3, (x:norm() ^ 0.3):read())
    assert.truthy(P)
  end)

  it("divided by 0 give 0, and 0 beyond f32's range", function()
    local P, x = filled()
    local zero = P:vector("zero")
    assert.equal(0, (0.05 / zero:norm()):read())
    assert.equal(0, (zero:norm() / zero:norm()):read())
    assert.equal(0, (zero:norm() ^ -1):read())
    assert.equal(0, (1e300 / x:norm()):read())
    support.fill(P, zero, function() return 1e-42 end)
    assert.equal(0, (1 / zero:norm()):read())
  end)

  it("divide vectors: by a 0 that is a reduction or row gives 0", function()
    local P, x = filled()
    local zero, to = P:vector("zero"), P:vector("to")
    to:set(x / zero:norm())
    assert.equal(0, to:max_abs():read())
    to:set(x / (x * P:each(function(p) return p.layer == 1 end)):per("tensor"):norm())
    for i, norm in ipairs(to:per("tensor"):norm():read()) do
      assert.near(P.parameters[i].layer == 1 and 1 or 0, norm, 1e-6)
    end
  end)

  it("propagate NaN rather than hide it", function()
    local P, x = filled()
    support.fill(P, x, function() return 0 / 0 end)
    local value = (x:norm() / P:vector("zero"):norm()):read()
    assert.is_true(value ~= value)
  end)
end)

describe("floor", function()
  it("rounds scalars and rows down", function()
    local P = support.model()
    local x = P:vector("x")
    x:set(P:each(function(parameter) return 0.5 - parameter.index end))
    assert.equal(-3, (x:max() * 0 - 2.5):floor():read())
    assert.equal(2, (x:max() * 0 + 2):floor():read())
    for _, row in ipairs({ x:per("tensor"):max():floor():read() }) do
      for i, parameter in ipairs(P.parameters) do
        if not parameter.frozen then
          assert.equal(-parameter.index, row[i])
        end
      end
    end
  end)

  it("are read from the device together, and again when a program has run", function()
    local P, x = filled()
    local a, b = x:norm():request(), x:sum():request()
    local first, known = a:read(), P.scalar_cells.known
    local chunk = select(2, next(known))
    local second = b:read()
    assert.equal(chunk, select(2, next(P.scalar_cells.known)))
    x:set(x * 2)
    assert.equal(2 * first, x:norm():read())
    assert.equal(2 * second, x:sum():read())
    assert.equal(first, a:read())
    local scalar = P:scalar("s", 3)
    assert.equal(3, scalar:read())
    scalar:set(scalar + 1)
    assert.equal(4, scalar:read())
  end)
end)
