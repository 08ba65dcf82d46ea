local support = require("spec.lua.vector.support")
local f32 = support.f32

-- Which of the values are chosen: a stable sort, largest first, lowest index first among equals.
local function reference(values, k, size)
  local order = {}
  for i = 1, #values do
    order[i] = i
  end
  table.sort(order, function(a, b)
    if values[a] ~= values[b] then
      return values[a] > values[b]
    end
    return a < b
  end)
  local chosen = {}
  for i = 1, #values do
    chosen[i] = false
  end
  for i = 1, math.min(k, #order) do
    chosen[order[i]] = values[order[i]] > 0 or k >= size
  end
  return chosen
end

local function check(fill, ratio)
  local P = support.model()
  local x, mask = P:vector("x"), P:mask("mask")
  support.fill(P, x, fill)
  mask:top(x, { keep_ratio = ratio })
  local values = support.read(P, x)
  local k = math.floor(ratio * #values)
  local expected = reference(values, k, #values)
  assert.same(expected, support.read_bits(P, mask))
  return P, mask, k
end

describe("mask:top chooses exactly the largest", function()
  local fills = {
    ["ordinary values"] = function(n) return math.abs(support.finite(n, 1)) end,
    ["many ties"] = function(n) return n * 7 % 5 end,
    ["all equal"] = function() return 0.25 end,
    ["mostly zeros"] = function(n) return n % 17 == 0 and n or 0 end,
    ["negative zeros"] = function(n) return n % 3 == 0 and n or -0.0 end,
    ["all zeros"] = function() return 0 end,
    ["neighbouring floats"] = function(n) return f32(1 + n * 2 ^ -23) end,
    ["denormals"] = function(n) return n % 1000 * 2 ^ -149 end,
    ["infinities"] = function(n) return n % 11 == 0 and 1 / 0 or n end,
    ["every magnitude"] = function(n) return f32(2 ^ (n % 250 - 125)) end,
  }
  for name, fill in pairs(fills) do
    it("among " .. name, function()
      for _, ratio in ipairs({ 0, 0.001, 0.1, 0.5, 0.9, 0.9999, 1 }) do
        check(fill, ratio)
      end
    end)
  end

  it("of an expression that is never stored, with reductions inside it", function()
    local P = support.model()
    local g, v, mask = P.g, P:vector("v"), P:mask("mask")
    support.fill(P, g, function(n) return support.finite(n, 3) end)
    support.fill(P, v, function(n) return math.abs(support.finite(n, 4)) end)
    local key = 0.99 * v + 0.01 * g * g / g:max_abs()
    local stored = P:vector("stored")
    stored:set(key)
    local values = support.read(P, stored)
    mask:top(0.99 * v + 0.01 * g * g / g:max_abs(), { keep_ratio = 0.3 })
    assert.same(reference(values, math.floor(0.3 * #values), #values), support.read_bits(P, mask))
  end)

  it("of each tensor by itself, and of a pool with the rest none or dense", function()
    local P = support.model()
    local x, mask = P:vector("x"), P:mask("mask")
    support.fill(P, x, function(n) return math.abs(support.finite(n, 5)) end)
    mask:top(x, { keep_ratio = 0.25, per = "tensor" })
    local _, density = mask:density()
    for _, parameter in ipairs(P.parameters) do
      local k = parameter.frozen and 0 or math.floor(0.25 * parameter.count)
      assert.near(k / parameter.count, density[parameter.name], 1e-12)
    end
    for _, unmasked in ipairs({ "none", "dense" }) do
      mask:top(x, { keep_ratio = 0.5, pool = { "a.weight", P.by_name.out }, unmasked = unmasked })
      local k = math.floor(0.5 * (130 * 33 + 63))
      local rest = P.trainable - 130 * 33 - 63
      assert.equal(k + (unmasked == "dense" and rest or 0), mask:count())
    end
  end)

  it("and refuses NaN and negative values, leaving the mask as it was", function()
    local P, mask, k = check(function(n) return n end, 0.5)
    for _, bad in ipairs({ 0 / 0, -1, -1 / 0 }) do
      support.fill(P, P.g, function(n) return n == 300 and bad or n end)
      local ok, err = pcall(mask.top, mask, P.g, { keep_ratio = 0.1 })
      assert.is_false(ok)
      assert.truthy(tostring(err):find("negative or not a number", 1, true))
      assert.equal(k, mask:count())
    end
  end)

  it("and says what is wrong with its options", function()
    local P = support.model()
    local mask = P:mask("mask")
    for _, options in ipairs({ { keep_ratio = 2 }, { keep_ratio = 0 / 0 }, {},
      { keep_ratio = 1, per = "layer" }, { keep_ratio = 1, unmasked = "all" },
      { keep_ratio = 1, keep = 1 }, { keep_ratio = 1, pool = { "x" } } }) do
      assert.has_error(function() mask:top(P.g, options) end)
    end
    assert.has_error(function() mask:top(P.g:norm(), { keep_ratio = 1 }) end)
    assert.has_error(function() P.g:top(P.g, { keep_ratio = 1 }) end)
  end)
end)

describe("a mask", function()
  it("is set by conditions, and selects", function()
    local P = support.model()
    local x, y, mask = P:vector("x"), P:vector("y"), P:mask("mask")
    support.fill(P, x, function(n) return support.number(n, 1) end)
    mask:set(x:gt(0))
    y:set(mask * x - mask * 0.5)
    local expected, bits = {}, {}
    for i, value in ipairs(support.read(P, x)) do
      bits[i] = value > 0
      expected[i] = value > 0 and f32(value - 0.5) or 0
    end
    assert.is_nil(support.difference(expected, support.read(P, y)))
    assert.same(bits, support.read_bits(P, mask))
    mask:set(mask:complement() * x:eq(x))
    y:set((1 - mask) * 3)
    for i, value in ipairs(support.read(P, x)) do
      expected[i] = (value <= 0) and 0 or 3
    end
    assert.is_nil(support.difference(expected, support.read(P, y)))
  end)

  it("counts, keeps padding and frozen parameters clear, and overlaps", function()
    local P = support.model()
    local a, b, x = P:mask("a"), P:mask("b"), P:vector("x")
    a:fill(true)
    P:commit()
    assert.equal(P.trainable, a:count())
    assert.equal(1, (a:density()))
    local words, set = require("fsam.C").ffi.cast("uint32_t *", a.raw.data), 0
    for i = 0, P.total / 32 - 1 do
      for k = 0, 31 do
        set = set + require("bit").band(require("bit").rshift(words[i], k), 1)
      end
    end
    assert.equal(P.trainable, set)
    support.fill(P, x, function(n) return n end)
    b:set(x:gt(x:max() / 2))
    P:commit()
    assert.equal(b:count() / P.trainable, a:overlap(b))
    a:fill(false)
    P:commit()
    assert.same({ 0, 0 }, { a:count(), a:overlap(b) })
    assert.equal("a: mask of 4733 bits, 0.00 % set", tostring(a))
  end)

  it("chosen within a step is used there, and replaces the old one at its commit", function()
    local P = support.model()
    local mask, x = P:mask("mask"), P:vector("x")
    support.fill(P, x, function(n) return n end)
    mask:top(x, { keep_ratio = 0.5 })
    local old = mask:count()
    P:begin_step()
    mask:top(x, { keep_ratio = 0.1 })
    P.c:set(mask * x:gt(0))
    P:flush()
    local used = require("fsam.C").ffi.cast("float *", P.c.raw.data)
    local last = P.by_name.out
    assert.same({ 0, 1 }, { used[0], used[last.offset + last.count - 1] })
    P:commit()
    assert.equal(math.floor(0.1 * P.trainable), mask:count())
    assert.is_true(mask:count() < old)
  end)
end)
