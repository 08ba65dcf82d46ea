local support = require("spec.lua.vector.support")
local where = require("fsam.vector").where
local f32, number = support.f32, support.number

-- x, y: vectors of awkward numbers; z of ordinary ones.
local function filled()
  local P = support.model()
  local x, y, z = P:vector("x"), P:vector("y"), P:vector("z")
  support.fill(P, x, function(n) return number(n, 1) end)
  support.fill(P, y, function(n) return number(n, 2) end)
  support.fill(P, z, function(n) return f32(1 + n % 97 / 8) end)
  return P, x, y, z
end

-- An expression equals plain Lua's f32 arithmetic in every bit.
local function check(expression, plain, tolerance)
  local P, x, y, z = filled()
  local to = P:vector("to")
  to:set(expression(x, y, z, P))
  local a, b, c = support.read(P, x), support.read(P, y), support.read(P, z)
  local expected = {}
  for i = 1, #a do
    expected[i] = f32(plain(a[i], b[i], c[i]))
  end
  if tolerance then
    assert.near_relative(expected, support.read(P, to), tolerance)
  else
    assert.is_nil(support.difference(expected, support.read(P, to)))
  end
end

local function smaller(a, b)
  if a ~= a or b ~= b then
    return 0 / 0
  end
  return a < b and a or b
end

local function larger(a, b)
  if a ~= a or b ~= b then
    return 0 / 0
  end
  return a > b and a or b
end

local function truth(condition)
  return condition and 1 or 0
end

describe("an elementwise operation equals f32 arithmetic bit for bit:", function()
  local s = f32(0.1)
  local cases = {
    ["x + y"] = { function(x, y) return x + y end, function(a, b) return a + b end },
    ["x + number"] = { function(x) return x + 0.1 end, function(a) return a + s end },
    ["number + x"] = { function(x) return 0.1 + x end, function(a) return s + a end },
    ["x - y"] = { function(x, y) return x - y end, function(a, b) return a - b end },
    ["x - number"] = { function(x) return x - 0.1 end, function(a) return a - s end },
    ["number - x"] = { function(x) return 0.1 - x end, function(a) return s - a end },
    ["x * y"] = { function(x, y) return x * y end, function(a, b) return a * b end },
    ["x * number"] = { function(x) return x * 0.1 end, function(a) return a * s end },
    ["x / y"] = { function(x, y) return x / y end, function(a, b) return a / b end },
    ["x / number"] = { function(x) return x / 0.1 end, function(a) return a / s end },
    ["number / x"] = { function(x) return 0.1 / x end, function(a) return s / a end },
    ["x / 0, a plain number"] = { function(x) return x / 0 end, function(a) return a / 0 end },
    ["-x"] = { function(x) return -x end, function(a) return -a end },
    ["abs"] = { function(x) return x:abs() end, math.abs },
    ["sqrt"] = { function(x) return x:abs():sqrt() end,
      function(a) return math.sqrt(math.abs(a)) end },
    ["sign"] = { function(x) return x:sign() end,
      function(a) return a > 0 and 1 or a < 0 and -1 or a end },
    ["floor"] = { function(x) return x:floor() end, math.floor },
    ["floor of halves"] = { function(_, _, z) return (-z * 0.5):floor() end,
      function(_, _, c) return math.floor(-c * 0.5) end },
    ["floor around 2^23"] = { function(_, _, z) return (8388600.5 - z):floor() end,
      function(_, _, c) return math.floor(f32(8388600.5 - c)) end },
    ["min"] = { function(x, _, z) return x:min(z) end, function(a, _, c) return smaller(a, c) end },
    ["max"] = { function(x, _, z) return x:max(z) end, function(a, _, c) return larger(a, c) end },
    ["min of a number"] = { function(x) return x:min(0.1) end,
      function(a) return smaller(a, s) end },
    ["max of a number"] = { function(x) return x:max(0.1) end,
      function(a) return larger(a, s) end },
    ["clamp"] = { function(x) return x:clamp(-0.5, 2) end,
      function(a) return smaller(larger(a, -0.5), 2) end },
    ["gt"] = { function(x, y) return x:gt(y) + 0 end, function(a, b) return truth(a > b) end },
    ["ge"] = { function(x, y) return x:ge(y) + 0 end, function(a, b) return truth(a >= b) end },
    ["lt"] = { function(x, y) return x:lt(y) + 0 end, function(a, b) return truth(a < b) end },
    ["le"] = { function(x, y) return x:le(y) + 0 end, function(a, b) return truth(a <= b) end },
    ["eq"] = { function(x, y) return x:eq(y) + 0 end, function(a, b) return truth(a == b) end },
    ["gt number"] = { function(x) return x:gt(0) + 0 end, function(a) return truth(a > 0) end },
    ["lt number"] = { function(x) return x:lt(0) + 0 end, function(a) return truth(a < 0) end },
    ["where"] = { function(x, y, z) return where(x:gt(y), z, x) end,
      function(a, b, c) if a > b then return c end return a end },
    ["where with numbers"] = { function(x) return where(x:gt(0), 3, -0.1) end,
      function(a) return a > 0 and 3 or -s end },
    ["and, or, not"] = {
      function(x, y) return (x:gt(0) * y:gt(0)):max(x:lt(-1)):complement() + 0 end,
      function(a, b) return truth(not ((a > 0 and b > 0) or a < -1)) end },
    ["x ^ 2"] = { function(x) return x ^ 2 end, function(a) return a * a end },
    ["x ^ 3"] = { function(x) return x ^ 3 end, function(a) return f32(a * a) * a end },
    ["x ^ 0.5"] = { function(_, _, z) return z ^ 0.5 end,
      function(_, _, c) return math.sqrt(c) end },
    ["x ^ -1"] = { function(_, _, z) return z ^ -1 end, function(_, _, c) return 1 / c end },
    ["x ^ 0"] = { function(x) return x ^ 0 end, function() return 1 end },
    ["x ^ 1.5"] = { function(_, _, z) return z ^ 1.5 end, function(_, _, c) return c ^ 1.5 end },
    ["number ^ x"] = { function(_, _, z) return 2 ^ z end, function(_, _, c) return 2 ^ c end },
  }
  for name, case in pairs(cases) do
    it(name, function()
      check(case[1], case[2])
    end)
  end

  it("exp and log, within an ulp or two", function()
    check(function(_, _, z) return (-z):exp() end, function(_, _, c) return math.exp(-c) end, 3e-7)
    check(function(_, _, z) return z:log() end, function(_, _, c) return math.log(c) end, 3e-7)
  end)
end)

describe("two operations in one instruction", function()
  local operations = {
    ["+"] = function(a, b) return a + b end,
    ["-"] = function(a, b) return a - b end,
    ["*"] = function(a, b) return a * b end,
    ["/"] = function(a, b) return a / b end,
  }
  local s = f32(0.3)

  for first, one in pairs(operations) do
    for second, two in pairs(operations) do
      it(("round each by itself: %s then %s"):format(first, second), function()
        check(function(x, y, z) return two(one(x, y), z) end,
          function(a, b, c) return two(f32(one(a, b)), c) end)
        check(function(x, y, z) return two(z, one(x, y)) end,
          function(a, b, c) return two(c, f32(one(a, b))) end)
        check(function(x, _, z) return two(one(x, 0.3), z) end,
          function(a, _, c) return two(f32(one(a, s)), c) end)
        check(function(x, _, z) return two(one(0.3, x), z) end,
          function(a, _, c) return two(f32(one(s, a)), c) end)
        check(function(x, y) return two(one(x, y), 0.3) end,
          function(a, b) return two(f32(one(a, b)), s) end)
        check(function(x, y) return two(0.3, one(x, y)) end,
          function(a, b) return two(s, f32(one(a, b))) end)
        check(function(x) return two(one(0.3, x), 0.3) end,
          function(a) return two(f32(one(s, a)), s) end)
      end)
    end
  end

  it("round both products of a sum and of a difference", function()
    check(function(x, y, z) return x * y + z * x end,
      function(a, b, c) return f32(a * b) + f32(c * a) end)
    check(function(x, _, z) return x * 0.3 - 0.3 * z end,
      function(a, _, c) return f32(a * s) - f32(s * c) end)
  end)
end)

describe("a condition times a value", function()
  it("selects: 0 where it does not hold, whatever the value", function()
    check(function(x, y) return x:eq(x) * y end, function(a, b) return a == a and b or 0 end)
    check(function(x, y) return y * x:eq(x) end, function(a, b) return a == a and b or 0 end)
    check(function(x) return x:gt(0) * 0.3 end, function(a) return a > 0 and f32(0.3) or 0 end)
  end)

  it("selects whole parameters when it is a row of booleans", function()
    local P, x = filled()
    local to = P:vector("to")
    to:set(x * P:each(function(parameter) return parameter.kind == "bias" end))
    local expected = {}
    for _, parameter in ipairs(P.parameters) do
      for i = 0, parameter.frozen and -1 or parameter.count - 1 do
        local value = x.raw:view({ P.total }, 0).data
        value = require("fsam.C").ffi.cast("float *", value)[parameter.offset + i]
        expected[#expected + 1] = parameter.kind == "bias" and value or 0
      end
    end
    assert.is_nil(support.difference(expected, support.read(P, to)))
  end)
end)

describe("sets", function()
  it("leave padding and frozen parameters untouched", function()
    local P = support.model()
    local x, ffi = P:vector("x"), require("fsam.C").ffi
    local data = ffi.cast("float *", x.raw.data)
    for i = 0, P.total - 1 do
      data[i] = 7
    end
    P:touch(x)
    x:set(x * 2 + 1)
    P:commit()
    x:set(P:normal({ seed = 1, step = 2 }) * 0 + 15)
    P:commit()
    local real = {}
    for _, parameter in ipairs(P.parameters) do
      for i = 0, parameter.frozen and -1 or parameter.count - 1 do
        real[parameter.offset + i] = true
      end
    end
    for i = 0, P.total - 1 do
      assert.equal(real[i] and 15 or 7, data[i])
    end
  end)

  it("spread numbers, scalars and rows", function()
    local P = support.model()
    local x, y = P:vector("x"), P:vector("y")
    x:set(0.5)
    y:set(P:each(function(parameter) return parameter.index end))
    local total = 0
    for _, parameter in ipairs(P.parameters) do
      total = total + (parameter.frozen and 0 or parameter.count * parameter.index)
    end
    assert.equal(P.trainable / 2, x:sum():read())
    assert.equal(total, y:sum():read())
    x:set(y:sum())
    assert.equal(total, x:max():read())
  end)

  it("round the working copy to nearest even in bf16 and leave its f32 part exact", function()
    local P = support.model("bf16")
    support.fill(P, P.w, function(n) return support.finite(n, 4) end)
    P.c:set(P.w)
    local w, c = P.w, P:vector("c read back")
    c:set(P.c)
    P:commit()
    for _, parameter in ipairs(P.parameters) do
      if not parameter.frozen then
        local from, to = P:master(parameter):read(), P:weight(parameter):read()
        local through = c:parameter(parameter):read()
        local halves = require("fsam.base.tensor").new(P.state_arena, "bf16", { parameter.count },
          "h")
        halves:write(from)
        local expected = parameter.compute == "act" and halves:read() or from
        assert.is_nil(support.difference(expected, to))
        assert.is_nil(support.difference(expected, through))
      end
    end
    assert.truthy(w)
  end)

  it("give the working copy the same bits as through a vector", function()
    local P = support.model("bf16")
    local x, e, kept = P:vector("x"), P:vector("e"), P:vector("kept")
    support.fill(P, P.w, function(n) return support.number(n, 5) end)
    support.fill(P, x, function(n) return support.number(n, 6) end)
    support.fill(P, e, function(n) return support.number(n, 7) end)
    local row = P:each(function(parameter) return parameter.index / 7 end)
    local expressions = {
      function() return P.w + e end,
      function() return P.w + 0.25 end,
      function() return P.w + x * e end,
      function() return P.w + e * row end,
      function() return x * e + 3 end,
      function() return x * row + 3 end,
    }
    local function stored()
      local list = {}
      for _, parameter in ipairs(P.parameters) do
        list[#list + 1] = parameter.frozen and {} or P:weight(parameter):read()
      end
      return list
    end
    for i, build in ipairs(expressions) do
      P.c:set(build())
      P:commit()
      local direct = stored()
      P.c:set(0)
      P:commit()
      kept:set(build())
      P:commit()
      P.c:set(kept)
      P:commit()
      for k, expected in ipairs(stored()) do
        assert.is_nil(support.difference(expected, direct[k]), i)
      end
    end
  end)

  it("give |x| + y and the norm of a product the same bits as step by step", function()
    local P = support.model()
    local x, y, kept = P:vector("x"), P:vector("y"), P:vector("kept")
    support.fill(P, x, function(n) return support.finite(n, 8) end)
    support.fill(P, y, function(n) return support.finite(n, 9) end)
    local norm = ((x:abs() + 0.01) * y):norm():read()
    kept:set(x:abs())
    P:commit()
    kept:set(kept + 0.01)
    P:commit()
    kept:set(kept * y)
    P:commit()
    assert.equal(kept:norm():read(), norm)
    kept:set(x:abs() + y)
    P:commit()
    local xs, ys = support.read(P, x), support.read(P, y)
    for i, value in ipairs(support.read(P, kept)) do
      assert.equal(support.bits(support.f32(math.abs(xs[i]) + ys[i])), support.bits(value))
    end
  end)
end)
