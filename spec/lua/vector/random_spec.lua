local support = require("spec.lua.vector.support")

local function draw(P, what, options)
  local x = P:scratch("drawn")
  x:set(P[what](P, options))
  return support.read(P, x)
end

-- Mean, variance, third and fourth standardised moment.
local function moments(list)
  local mean, m2, m3, m4 = 0, 0, 0, 0
  for _, x in ipairs(list) do
    mean = mean + x / #list
  end
  for _, x in ipairs(list) do
    local d = x - mean
    m2, m3, m4 = m2 + d ^ 2 / #list, m3 + d ^ 3 / #list, m4 + d ^ 4 / #list
  end
  return mean, m2, m3 / m2 ^ 1.5, m4 / m2 ^ 2
end

local function correlation(a, b)
  local mean_a, var_a = moments(a)
  local mean_b, var_b = moments(b)
  local sum = 0
  for i = 1, #a do
    sum = sum + (a[i] - mean_a) * (b[i] - mean_b) / #a
  end
  return sum / math.sqrt(var_a * var_b)
end

local function big()
  return support.model("f32", { { name = "a", kind = "matrix", shape = { 200, 301 } },
    { name = "b", kind = "bias", shape = { 77 } } })
end

describe("random vectors", function()
  it("are normal, and uniform in [0, 1)", function()
    local P = big()
    local mean, variance, skew, kurtosis = moments(draw(P, "normal", { seed = 1, step = 7 }))
    assert.near({ 0, 1, 0, 3 }, { mean, variance, skew, kurtosis }, 0.06)
    local list = draw(P, "uniform", { seed = 1, step = 7 })
    mean, variance, skew, kurtosis = moments(list)
    assert.near({ 0.5, 1 / 12, 0, 1.8 }, { mean, variance, skew, kurtosis }, 0.03)
    local bins = {}
    for _, x in ipairs(list) do
      assert(x >= 0 and x < 1)
      local bin = math.floor(x * 16)
      bins[bin] = (bins[bin] or 0) + 1
    end
    local chi = 0
    for bin = 0, 15 do
      chi = chi + (bins[bin] - #list / 16) ^ 2 / (#list / 16)
    end
    assert.is_true(chi < 40, "chi squared " .. chi) -- 15 degrees of freedom: p about 5e-4
  end)

  it("equal Philox of their key and place", function()
    local P = support.model()
    local C = require("fsam.C")
    local words = C.ffi.new("uint32_t[4]")
    P:scratch("drawn"):set(P:uniform({ seed = 5, step = 9, stream = 2 }))
    P:commit()
    for _, parameter in ipairs(P.parameters) do
      local list = P:view(P:scratch("drawn"), parameter):read()
      for i = 0, parameter.frozen and -1 or math.min(parameter.count, 200) - 1 do
        local at = parameter.offset + i
        C.lib.fsam_philox(words, math.floor(at / 64) * 16 + at % 16, 0, 2, 0xffffff01, 5, 9)
        local word = words[math.floor(at % 64 / 16)]
        assert.equal(math.floor(word / 256) / 16777216, list[i + 1])
      end
    end
  end)

  it("depend on seed, step and stream, and on nothing else", function()
    local P = big()
    local base = draw(P, "normal", { seed = 1, step = 7 })
    assert.same(base, draw(P, "normal", { seed = 1, step = 7, stream = 0 }))
    for _, key in ipairs({ { seed = 2, step = 7 }, { seed = 1, step = 8 },
      { seed = 1, step = 7, stream = 1 } }) do
      local other = draw(P, "normal", key)
      assert.near(0, correlation(base, other), 0.02)
    end
    local shifted = {}
    for i = 1, #base do
      shifted[i] = base[i % #base + 1]
    end
    assert.near(0, correlation(base, shifted), 0.02)
    local sum = P:scratch("drawn")
    sum:set(P:normal({ seed = 1, step = 7 }) - P:normal({ seed = 1, step = 7 }))
    assert.equal(0, sum:max_abs():read())
  end)
end)

describe("stochastic rounding of the working copy", function()
  local function rounded(P, value, step)
    P.c:set(value, { rounding = "stochastic", seed = 3, step = step })
    local list = {}
    for _, parameter in ipairs(P.parameters) do
      if parameter.compute == "act" then
        P:commit()
        for _, x in ipairs(P:weight(parameter):read()) do
          list[#list + 1] = x
        end
      end
    end
    return list
  end

  it("goes to one of the two neighbours, up with the remainder's probability", function()
    local P = support.model("bf16", { { name = "a", kind = "matrix", shape = { 100, 400 } } })
    local value = 1 + 0.3 / 128 -- neighbours 1 and 1 + 1 / 128
    local up = 0
    local list = rounded(P, P.w * 0 + value, 1)
    for _, x in ipairs(list) do
      assert(x == 1 or x == 1 + 1 / 128)
      up = up + (x > 1 and 1 or 0)
    end
    assert.near(0.3, up / #list, 0.01)
  end)

  it("uses the same bits for the same step, so that equal values round alike", function()
    local P = support.model("bf16")
    support.fill(P, P.w, function(n) return support.finite(n, 2) / 3 end)
    local first = rounded(P, P.w, 4)
    assert.same(first, rounded(P, P.w + P:vector("zero"), 4))
    assert.is_not.same(first, rounded(P, P.w, 5))
  end)

  it("leaves what bf16 can hold, the f32 part, infinities and NaN alone", function()
    local P = support.model("bf16")
    support.fill(P, P.w, function(n)
      return ({ 1, -0.5, 0, 1 / 0, -1 / 0, 3e38 - 3e38 % 2 ^ 121 })[n % 6 + 1]
    end)
    P.c:set(P.w, { rounding = "stochastic", seed = 3, step = 1 })
    P:commit()
    for _, parameter in ipairs(P.parameters) do
      if not parameter.frozen then
        assert.is_nil(support.difference(P:master(parameter):read(), P:weight(parameter):read()))
      end
    end
    P.w:set(0.1)
    P.c:set(P.w, { rounding = "stochastic", seed = 3, step = 1 })
    P:commit()
    assert.equal(support.f32(0.1), P:weight("a.bias"):read()[1])
    P.c:set(P.w / 0 - P.w / 0, { rounding = "stochastic", seed = 3, step = 1 })
    P:commit()
    local x = P:weight("table"):read()[1]
    assert.is_true(x ~= x)
  end)
end)
