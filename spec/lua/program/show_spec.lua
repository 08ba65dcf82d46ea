-- How values look to a person.
local show = require("fsam.program.show").show

describe("fsam.show", function()
  it("prints whole numbers in full and others in six digits", function()
    assert.equal("355412057", show(355412057))
    assert.equal("-3", show(-3))
    assert.equal("0.333333", show(1 / 3))
    assert.equal("1e-10", show(1e-10))
    assert.equal("inf", show(math.huge))
    assert.truthy(show(0 / 0):match("nan"))
  end)

  it("quotes strings inside tables, and only there", function()
    assert.equal("a\nb", show("a\nb"))
    assert.equal([[{ "a\nb\"\\\001" }]], show({ 'a\nb"\\\1' }))
  end)

  it("sorts keys, the list part first", function()
    assert.equal("{ 10, 20, a = 1, b = 2 }", show({ 10, 20, b = 2, a = 1 }))
    assert.equal("{ [0] = 0, [2.5] = 1, [true] = 2 }", show({ [2.5] = 1, [0] = 0, [true] = 2 }))
    assert.equal('{ ["a b"] = 1 }', show({ ["a b"] = 1 }))
  end)

  it("aligns what does not fit on one line", function()
    local text = show({ first = ("x"):rep(50), second_name = ("y"):rep(50) })
    assert.equal('{\n  first       = "' .. ("x"):rep(50) .. '",\n  second_name = "'
      .. ("y"):rep(50) .. '",\n}', text)
  end)

  it("wraps long lists of numbers in columns and cuts them", function()
    local list = {}
    for i = 1, 100 do
      list[i] = i
    end
    local text = show(list, 40)
    for line in text:gmatch("[^\n]+") do
      assert.is_true(#line <= 42)
    end
    assert.truthy(text:find("… 60 more", 1, true))
  end)

  it("stops at depth and at cycles", function()
    assert.equal("{ { { { … } } } }", show({ { { { { 1 } } } } }))
    local t = { name = "t" }
    t.self = t
    assert.equal('{ name = "t", self = { … itself } }', show(t))
    local twice = {}
    assert.equal("{ {}, {} }", show({ twice, twice }))
  end)

  it("lets objects say how they look: __show before __tostring", function()
    local shown = { __show = function() return "shown" end, __tostring = function() return "x" end }
    assert.equal("shown", show(setmetatable({}, shown)))
    shown.__show = nil
    assert.equal("{ x }", show({ setmetatable({}, shown) }))
  end)

  it("shows a tensor's first rows and columns, aligned", function()
    local Tensor, device = require("fsam.base.tensor"), require("fsam.base.device")
    local arena = device.arena(device.open("cpu"), "show")
    local t = Tensor.new(arena, "f32", { 2, 3 }, "matrix")
    t:write({ 1, -2.5, 3, 100, 0, 1 / 3 })
    assert.equal("matrix [2, 3] f32\n    1  -2.5         3\n  100     0  0.333333", show(t))
    local long = Tensor.new(arena, "i32", { 20 }, "long", true)
    assert.truthy(show(long):find("0  …", 1, true))
  end)
end)
