-- Names and habits of other libraries end in the author's line, with what to write instead.
require("spec.helper")
local errors = require("fsam.errors")
local habits = require("fsam.vector.habits")
local support = require("spec.lua.vector.support")

local P = support.model("f32")

local function refusal(fn)
  local ok, err = pcall(fn)
  assert.is_false(ok, "no error")
  assert.is_true(errors.is(err), tostring(err))
  assert.is_true(err.placed)
  return (tostring(err):gsub("^%S*habits_spec%.lua:%d+: ", ""))
end

describe("a habit", function()
  it("of tensors elsewhere is answered, for vectors and expressions", function()
    for _, of in ipairs({ { P.w, "a vector" }, { P.w + 1, "an expression" } }) do
      for name, instead in pairs(habits.methods) do
        assert.equal(("%s has no %s; write %s"):format(of[2], name, instead), refusal(function()
          return of[1][name]
        end))
      end
      assert.equal(of[2] .. " has no element 1; v:parameter(name):read() gives a parameter's "
        .. "numbers", refusal(function()
        return of[1][1]
      end))
    end
  end)

  it("has no name that vectors have", function()
    for name in pairs(habits.methods) do
      assert.is_nil(rawget(require("fsam.vector.expression").methods, name), name)
    end
  end)

  it("of tests is refused where the outcome would be true whatever the values", function()
    local x = P.w:norm()
    local TESTS = {
      function() if x:gt(3) then return 1 end end,
      function() if not P.w:norm():lt(3) then return 1 end end,
      function() local n = 0 while x:ge(3) and n < 2 do n = n + 1 end end,
      function() repeat local y = 1 until x:le(y) end,
      function() return x:eq(3) and 1 or 2 end,
      function() if x:lt(1) or x:gt(3) then return 1 end end,
      function() return not x:gt(3) end,
    }
    for i, test in ipairs(TESTS) do
      assert.equal("a condition is neither true nor false in Lua; read it: x:read() > y, or choose "
        .. "by vector.where(p, a, b)", refusal(test), i)
    end
    local one = P.w:gt(0)
    assert.is_true(one and x:gt(3) ~= nil)
    assert.near(1, (P.w * 0 + 1):max_abs():gt(0):read(), 0)
    local where = require("fsam.vector").where
    assert.near(2, where(x:gt(-1), 2, 3):read(), 0)
  end)

  it("of comparing with a number by == or ~= is refused, in the line of the comparison", function()
    local x = P.w
    local three = 3
    local COMPARISONS = {
      function() if x:norm() == 3 then return 1 end end,
      function() return x:norm() ~= 3 end,
      function() local n = x:norm() if n == three then return 1 end end,
      function() local n = x:sum() return three ~= n end,
      function() while x:max() == 0 do three = three + 1 end end,
      function() local _ = x:dot(x) == 0 and 1 or 2 end,
    }
    for i, test in ipairs(COMPARISONS) do
      local ok, err = pcall(test)
      assert.is_false(ok, i)
      assert.matches("%(%) returns is no number, so Lua's == and ~= never look", tostring(err))
      assert.equal(debug.getinfo(test).linedefined, tonumber(tostring(err):match(":(%d+): ")))
    end
    local n = x:norm()
    assert.is_true(n ~= nil and x:norm():read() ~= 3)
    assert.is_false(rawequal(n, x:norm()))
  end)

  it("of spelling is answered by a model too, which has no other fields than its own", function()
    local model = require("fsam.models").new({ device = require("fsam.base.device").open("cpu"),
      arch = "tiny", vocab_size = 9, labels = { "no", "yes" } })
    for name, meant in pairs({ predct = "predict", parms = "params", gradients = "gradient" }) do
      assert.equal(("a model has no %s; did you mean %s?"):format(name, meant), refusal(function()
        return model[name]
      end))
    end
    assert.is_nil(model.tokenizer)
    assert.is_nil(model.field_of_a_recipe)
  end)

  it("of optimizers elsewhere leads to a field of s", function()
    local known = require("fsam.define.fields").of
    for name, field in pairs(habits.fields) do
      assert.is_nil(known[name], name)
      assert.is_table(known[field], name)
    end
  end)
end)
