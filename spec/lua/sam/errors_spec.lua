-- Mistakes of those who write sam-types and optimizers: each is one line that begins with their
-- file and line, and nothing of the step is kept.
local errors = require("fsam.errors")
local model = require("spec.lua.logistic")
local optim = require("fsam.optim")
local optimizers = require("fsam.step")
local sam = require("fsam.sam")
local support = require("spec.lua.vector.support")

local defined = 0

-- The message of what fn raises, without this file's name and the line, which must be `offset`
-- lines below the one that fn begins on.
local function message(fn, offset)
  local ok, err = pcall(fn)
  assert.is_false(ok, "no error")
  assert.is_true(errors.is(err) and err.placed, tostring(err))
  local line, text = tostring(err):match("^[^:]*errors_spec%.lua:(%d+): ([^\n]*)$")
  assert.truthy(line, tostring(err))
  assert.equal(offset, line - debug.getinfo(fn, "S").linedefined, tostring(err))
  return text
end

-- Trains 20 steps with a type of these parts.
local function train(parts)
  defined = defined + 1
  parts.options = { rho = 0.3 }
  sam.define("mistake" .. defined, parts)
  return model.by_engine("mistake" .. defined, {})
end

local OTHER = require("spec.lua.vector.support").model()

local function sam_ascent(s)
  return s.g * (s.rho / s.g:norm())
end

-- Each: the line of the mistake within the function, the message's beginning, the function.
local cases = {
  ["ascend returns nothing"] = { 1, "ascend of %w+ returned nothing %(nil%); it must return the "
    .. "perturbation, a vector of the whole model", function()
      train({ ascend = function() end })
    end },
  ["ascend returns what was made in an earlier step"] = { 1, "this reads g as it was before a "
    .. "model pass set it, and that has already run; use it before, or keep", (function()
      local kept
      return function()
        train({ ascend = function(s) kept = kept or s.g * 2; return kept end })
      end
    end)() },
  ["ascend returns a vector of another model"] = { 1, "ascend of %w+ returned a vector of another "
    .. "model; it must return the perturbation", function()
      train({ ascend = function() return OTHER.w * 0.1 end })
    end },
  ["ascend raises a table"] = { 1, "%(the error is a table value%)$", function()
    train({ ascend = function() error({ 1 }) end })
  end },
  ["ascend raises nothing"] = { 1, "an error without a message$", function()
    train({ ascend = function() error() end })
  end },
  ["ascend raises what says nothing"] = { 1, "an error whose own __tostring fails: it returned "
    .. "a nil value$", function()
      train({ ascend = function() error(setmetatable({}, { __tostring = function() end })) end })
    end },
  ["ascend calls itself without end"] = { 1, "stack overflow; th%w+ %w+ ",
    function()
      train({ ascend = function(s) local function f() return 1 + f() end return s.g * f() end })
    end },
  ["ascend returns a scalar"] = { 1, "ascend of %w+ returned a scalar; it must", function()
    train({ ascend = function(s) return (s.g:norm()) end })
  end },
  ["ascend returns a number"] = { 1, "ascend of %w+ returned the number 3; it must", function()
    train({ ascend = function() return 3 end })
  end },
  ["descend returns a row"] = { 1, "descend of %w+ returned a row; it must return the direction",
    function()
      train({ descend = function(s) return (s.g:per("tensor"):norm()) end })
    end },
  ["update returns a table"] = { 1, "update of %w+ returned a table value; it must return what",
    function()
      train({ update = function() return {} end })
    end },
  ["every returns a condition"] = { 1, "every of %w+ returned a condition; it must return true",
    function()
      train({ ascend = sam_ascent, every = function(s) return (s.g:norm():gt(1)) end })
    end },
  ["select names samples that are not there"] = { 1, "select of %w+ returned a table value; it "
    .. "must return a list of ordinals from 0 to s.N %- 1", function()
      train({ ascend = sam_ascent, select = function(s) return { 0, s.N } end })
    end },
  ["schedule returns nothing"] = { 1, "schedule of %w+ returned nothing %(nil%); it must return "
    .. "rho, a number", function()
      train({ ascend = sam_ascent, schedule = function() end })
    end },
  ["a misspelt name"] = { 1, "s.rhoo is unknown in mistake%d+; did you mean s.rho%?", function()
    train({ ascend = function(s) return s.g * s.rhoo end })
  end },
  ["a misspelt state"] = { 2, "s.mm is unknown in mistake%d+; did you mean s.m%?", function()
    train({ state = { "m" }, ascend = function(s)
      return s.mm * 2
    end })
  end },
  ["a state assigned instead of set"] = { 2, "s.m = … would only rename it; change it with "
    .. "s.m:set%(…%)", function()
      train({ state = { "m" }, ascend = function(s)
        s.m = s.m * 0.9 + s.g
        return s.m
      end })
    end },
  ["the weights assigned"] = { 2, "s.w = … would only rename it", function()
    train({ ascend = function(s)
      s.w = s.w - s.g
      return s.g
    end })
  end },
  ["a number of the step assigned"] = { 2, "s.lr cannot be changed by a part", function()
    train({ ascend = function(s)
      s.lr = 0.1
      return s.g
    end })
  end },
  ["an option assigned"] = { 2, "s.rho cannot be changed by a part", function()
    train({ ascend = function(s)
      s.rho = s.rho * 2
      return s.g
    end })
  end },
  ["a scalar compared with a number"] = { 2, "attempt to compare number with table; vectors and "
    .. "scalars are compared with x:gt%(y%)", function()
      train({ ascend = function(s)
        if s.g:norm() > 1 then
          return s.g
        end
      end })
    end },
  ["a scalar compared with =="] = { 2, "what norm%(%) returns is no number, so Lua's == and ~= "
    .. "never look at its value; read it first: ", function()
      train({ ascend = function(s)
        if s.g:norm() == 0 then
          return s.w
        end
        return s.g
      end })
    end },
  ["a result that is not used"] = { 2, "a vector is computed here and never used; return it, keep "
    .. "it with s.NAME:set%(…%), or leave it out", function()
      train({ ascend = function(s)
        s.g:clamp(-1, 1)
        return s.g
      end })
    end },
  ["a descend that computes and returns nothing"] = { 2, "a vector is computed here and never used",
    function()
      train({ state = { "m" }, descend = function(s)
        local _ = s.m * 0.9 + s.g
      end })
    end },
  ["a result unused on the steps without a second pass"] = { 3, "a vector is computed here and",
    function()
      train({ ascend = sam_ascent, every = function(s) return s.step < 5 end, descend = function(s)
        if not s.g2 then
          s.g:abs()
        end
        return s.g2
      end })
    end },
  ["a call that is returned"] = { 3, "a vector has no nrom; did you mean norm%?",
    function()
      train({ ascend = function(s)
        local d = s.g
        return d:nrom()
      end })
    end },
  ["a function of math"] = { 2, "bad argument #1 to 'sqrt' %(number expected, got table%); "
    .. "functions of numbers do not take vectors", function()
      train({ ascend = function(s)
        return s.g * math.sqrt(s.g:norm())
      end })
    end },
  ["a nil in arithmetic"] = { 3, "attempt to perform arithmetic on local 'a' %(a nil value%)",
    function()
      train({ ascend = function(s)
        local a = s.g2
        return a * 3
      end })
    end },
  ["an error of one's own"] = { 2, "not today", function()
    train({ ascend = function()
      error("not today")
    end })
  end },
  ["a tensor among vectors"] = { 2, "%*: expected a vector, mask, scalar or number, got a tensor",
    function()
      train({ ascend = function(s)
        return s.g * model.new_params():weight("a")
      end })
    end },
  ["looking at a vector"] = { 2, "g is looked at inside a step; only scalars can be read there",
    function()
      train({ ascend = function(s)
        return s.g * s.g:tensor():read()[1]
      end })
    end },
  ["reading a vector"] = { 2, "read: a scalar is needed, got a vector; reduce it first", function()
    train({ ascend = function(s)
      return s.g * s:read(s.g)
    end })
  end },
  ["a value that a pass has overwritten"] = { 2, "this reads g as it was before a model pass set "
    .. "it, and that has already run", function()
      train({ ascend = function(s)
        s.w:set(s.w + s.g)
        return s.g
      end })
    end },
  ["a parameter's misspelt field"] = { 2, "a parameter's field knd is unknown; did you mean kind%?",
    function()
      train({ ascend = function(s)
        return s.g * s:each(function(parameter) return parameter.knd == "norm" end)
      end })
    end },
  ["a stream that is no number"] = { 2, "random: the stream is a number, got a table value",
    function()
      train({ ascend = function(s)
        return s.g * s:random({})
      end })
    end },
  ["a part that does not exist"] = { 1, 'sam.define%("x"%): part ascent is unknown; did you mean '
    .. "ascend%?", function()
      sam.define("x", { ascent = sam_ascent })
    end },
  ["a part of the wrong kind"] = { 1, 'sam.define%("x"%): passes is a string, expected a number',
    function()
      sam.define("x", { ascend = sam_ascent, passes = "1" })
    end },
  ["as many passes as no step has"] = { 1, 'sam.define%("x"%): passes is 3, expected 1 or 2',
    function()
      sam.define("x", { ascend = sam_ascent, passes = 3 })
    end },
  ["an option's default that is no number"] = { 1, 'sam.define%("x"%): option rho: the default big '
    .. "is no number; declare", function()
      sam.define("x", { ascend = sam_ascent, options = { rho = "big" } })
    end },
  ["an option of an unknown type"] = { 1, 'optim.define%("x"%): option a: its type flaot is '
    .. "unknown", function()
      optim.define("x", { options = { { name = "a", type = "flaot" } }, update = sam_ascent })
    end },
  ["an option without a default"] = { 1, 'sam.define%("x"%): options has "rho", expected NAME = '
    .. "DEFAULT, as in { rho = 0.05 }", function()
      sam.define("x", { ascend = sam_ascent, options = { "rho" } })
    end },
  ["an option without a name"] = { 1, 'sam.define%("x"%): options has a table, expected NAME = ',
    function()
      sam.define("x", { ascend = sam_ascent, options = { { "rho", 0.1 } } })
    end },
  ["a default that is NaN"] = { 1, 'sam.define%("x"%): option rho: the default nan is not a number',
    function()
      sam.define("x", { ascend = sam_ascent, options = { rho = 0 / 0 } })
    end },
  ["a default out of its range"] = { 1, 'optim.define%("x"%): option a: the default 5 is out of '
    .. "range; it must be at most 1", function()
      optim.define("x", { update = sam_ascent,
        options = { { name = "a", type = "number", default = 5, max = 1 } } })
    end },
  ["a default that is not whole"] = { 1, 'sam.define%("x"%): option k: the default 1.5 is not a '
    .. "whole number", function()
      sam.define("x", { ascend = sam_ascent,
        options = { { name = "k", type = "integer", default = 1.5 } } })
    end },
  ["a choice without its words"] = { 1, 'sam.define%("x"%): option k: choices is missing',
    function()
      sam.define("x", { ascend = sam_ascent,
        options = { { name = "k", type = "choice", default = "a" } } })
    end },
  ["state that is no list"] = { 1, 'sam.define%("x"%): state is a list of names', function()
    sam.define("x", { ascend = sam_ascent, state = { m = 0 } })
  end },
  ["state under a name that is taken"] = { 1, 'sam.define%("x"%): scratch: s.g2 is taken',
    function()
      sam.define("x", { ascend = sam_ascent, scratch = { "g2" } })
    end },
  ["an optimizer without update"] = { 1, 'optim.define%("x"%): a name and a table with update',
    function()
      optim.define("x", { ascend = sam_ascent })
    end },
}

describe("a mistake in a type is an error at its line:", function()
  for name, case in pairs(cases) do
    it(name, function()
      assert.matches("^" .. case[2], message(case[3], case[1]))
    end)
  end

  it("and of a base optimizer too", function()
    optim.define("mistaken", { update = function() end })
    local P = support.model()
    local optimizer = optimizers.build({ params = P, optimizer = "mistaken" })
    local ok, err = pcall(optimizer.step, optimizer, { step = 0, lr = 1, samples = 1,
      evaluate = function()
        P:touch(P.g)
        return { mean = function() return 1 end, losses = function() return { 1 } end,
          correct = function() end }
      end })
    assert.is_false(ok)
    assert.matches("errors_spec.lua:%d+: update of mistaken returned nothing", tostring(err))
    assert.is_false(P.queue:is_in_step())
  end)
end)

describe("what is no mistake", function()
  it("parts hand values to later parts of the same step", function()
    train({ ascend = function(s)
      s.length = s.g:norm()
      return s.g * (s.rho / s.length)
    end, descend = function(s)
      return s.g2 * s.length:min(1)
    end })
    local ok, err = pcall(train, { every = function(s) return s.step == 0 end, ascend = function(s)
      s.length = 1
      return s.g
    end, descend = function(s)
      return s.g * s.length
    end })
    assert.is_false(ok) -- the second step has no ascend, so no part handed it
    assert.matches("s.length is unknown in mistake%d+$", tostring(err))
  end)

  it("values that are read, printed or requested count as used", function()
    train({ ascend = function(s)
      local printed, requested = s.g * 2, s.g:norm():request()
      assert.matches("vector expression", tostring(printed))
      assert.is_true(s:read(s.g:norm()) > 0 and requested ~= nil)
      return s.g
    end })
  end)

  it("nonsense as the argument of any method is one line too", function()
    local P = support.model()
    local x = P:vector("x")
    local nonsense = { "text", {}, function() end, true, P, P:weight("a.bias") }
    local count = 0
    for _, name in ipairs({ "min", "max", "gt", "ge", "lt", "le", "eq", "dot", "per", "clamp" }) do
      for _, value in ipairs(nonsense) do
        local ok, err = pcall(function() return (x[name](x, value, value)) end)
        assert.is_true(not ok and errors.is(err) and err.placed, name .. ": " .. tostring(err))
        count = count + 1
      end
    end
    assert.equal(60, count)
  end)
end)
