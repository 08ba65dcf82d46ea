local support = require("spec.lua.vector.support")
local vector = require("fsam.vector")

-- (Results stand in parentheses: Lua forgets the line of a tail call.)

-- The message of what fn raises; it must start with this file and the line fn was called from.
local function message(fn)
  local ok, err = pcall(fn)
  assert.is_false(ok, "no error")
  local line = debug.getinfo(fn, "S").linedefined
  local prefix = ("errors_spec.lua:%d: "):format(line)
  local _, at = tostring(err):find(prefix, 1, true)
  assert.truthy(at, ("expected …%s…, got %s"):format(prefix, tostring(err)))
  return tostring(err):sub(at + 1)
end

describe("a mistake in an expression is an error at its line:", function()
  local P, other = support.model(), support.model()
  local x = P:vector("x")

  local cases = {
    ["a nil operand"] = { function() return (x + nil) end,
      "+: expected a vector, mask, scalar or number, got nothing (nil)" },
    ["a table operand"] = { function() return (x * {}) end, "*: expected" },
    ["a NaN constant"] = { function() return (x * (0 / 0)) end, "*: a NaN as a constant" },
    ["vectors of different models"] = { function() return (x + other.w) end,
      "+: the two values belong to different models, of 4810 and 4810 parameters" },
    ["a tensor of one parameter"] = { function() return (x + P:weight("a.bias")) end,
      "+: expected a vector, mask, scalar or number, got a tensor (a.bias [130] f32)" },
    ["each without a function"] = { function() return (P:each({ 1 })) end,
      "each: a function of a parameter is needed, got a table value" },
    ["an unknown field of a parameter"] = { function() P:each(function(s) return s.knd end) end,
      "a parameter's field knd is unknown; did you mean kind?" },
    ["a number where a vector is needed"] = { function() return (x:dot(3)) end,
      "dot: a vector is needed, got the number 3" },
    ["dot without its second vector"] = { function() return (x:dot()) end,
      "dot: two vectors are needed" },
    ["a norm of a scalar"] = { function() return (x:norm():norm()) end,
      "norm: a vector is needed, got a scalar" },
    ["reading a vector"] = { function() return (x:read()) end, "reduce it first" },
    ["an unknown method"] = { function() return ((x + 1):nrom()) end, "did you mean norm?" },
    ["an unknown method of a vector"] = { function() return (x:sett(1)) end, "did you mean set?" },
    ["a comparison with <"] = { function() return (x < P.w) end, "x:lt(y)" },
    ["a comparison with <="] = { function() return (x + 1 <= P.w * 1) end, "x:le(y)" },
    ["a comparison with =="] = { function() return (x * 1 == x * 2) end, "x:eq(y)" },
    ["a remainder"] = { function() return (x % 2) end, "% cannot be an expression" },
    ["a field set on a vector"] = { function() x.value = 1 end, "x:set(…)" },
    ["an element set"] = { function() x[1] = 1 end, "x:set(…)" },
    ["another value for a model's weights"] = { function() P.w = P.w * 2 end,
      "params.w = … would only rename it; change it with params.w:set(…)" },
    ["another value for a gradient"] = { function() P.g = x end, "params.g:set(…)" },
    ["setting an expression"] = { function() return ((x + 1):set(2)) end, "only named vectors" },
    ["setting another model's value"] = { function() return (x:set(other.w)) end,
      "x:set: the value belongs to another model" },
    ["a scalar set to a vector"] = { function() return (P:scalar("n"):set(x)) end,
      "n:set: a scalar or number is needed" },
    ["a mask set to numbers"] = { function() return (P:mask("k"):set(x + 1)) end,
      "k:set: a condition is needed" },
    ["an unknown group"] = { function() return (x:per("row")) end,
      'per: expected "tensor" or "layer", got row' },
    ["an unknown grouped reduction"] = { function() return (x:per("tensor"):median()) end,
      "per(…) has no median" },
    ["each without a number"] = { function() return (P:each(function() end)) end,
      "each: the function gave nothing (nil) for table" },
    ["a random vector without its step"] = { function() return (P:normal({ seed = 1 })) end,
      "normal: a step is needed" },
    ["complement of numbers"] = { function() return (x:complement()) end,
      "complement: a condition or mask is needed" },
    ["where without a value"] = { function() return (vector.where(x:gt(0), x)) end,
      "where: expected" },
    ["a minimum with a missing bound"] = { function() return (x:min(P.by_name.bound)) end,
      "min: expected" },
  }
  for name, case in pairs(cases) do
    it(name, function()
      local text = message(case[1])
      assert.truthy(text:find(case[2], 1, true), text)
    end)
  end

  it("and a look at a vector within a step, in a call that leaves no frame", function()
    local source_line = require("fsam.base.source_line")
    P:begin_step()
    local text = message(function() source_line.call(function() return x:tensor() end) end)
    P:discard()
    assert.truthy(text:find("x is looked at inside a step", 1, true), text)
  end)

  it("and comparing with a number is Lua's own error", function()
    assert.has_error(function() return x < 1 end)
    assert.has_error(function() return x:norm() >= 1 end)
  end)
end)

describe("a traced model", function()
  it("reports where unused results were built", function()
    local P = support.model()
    local x = P:vector("x")
    P:trace(true)
    local line = debug.getinfo(1, "l").currentline + 1
    x:clamp(-1, 1)
    x:set(x:abs() + 1)
    local norm = x:norm()
    assert.equal(math.sqrt(P.trainable), norm:read())
    local unused = P:unused()
    assert.equal(1, #unused)
    assert.equal(line, unused[1].line.currentline)
    P:trace(false)
  end)
end)

describe("values print as one line:", function()
  it("vectors, scalars, rows, conditions, and a table of parameters", function()
    local P = support.model()
    local x = P:vector("x")
    x:set(2)
    assert.equal("x: 4810 f32, norm 137.59", tostring(x))
    assert.equal("vector expression, norm 68.797", tostring(x / 2))
    assert.equal("2", tostring(x:max()))
    assert.equal("row of 7 parameters", tostring(x:per("tensor"):norm()))
    assert.equal("condition on 4733, true for 4733", tostring(x:gt(0)))
    assert.equal("n: 0.5", tostring(P:scalar("n", 0.5)))
    local show = x:show()
    assert.truthy(show:find("\na.weight   130 x 33     131    2\n", 1, true), show)
    assert.equal("the norm is 2", "the norm is " .. x:max())
  end)
end)
