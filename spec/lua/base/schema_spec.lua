local errors = require("fsam.errors")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")

-- value, shape, and the line about it; nil where it fits.
local point = schema.record { x = schema.number(), y = schema.optional(schema.integer(0, 9)) }
local strict = schema.closed { rho = schema.number(0), lr = schema.optional(schema.number()) }
local CASES = {
  { "a", schema.string },
  { 1, schema.string, "v is 1, expected a text" },
  { "a b", schema.path },
  { "", schema.path, 'v is "", expected a path, which is not empty and has no NUL bytes' },
  { "a\0b", schema.path, "^v is .*, expected a path, which is not empty and has no NUL bytes$" },
  { 1, schema.path, "v is 1, expected a path, which is not empty and has no NUL bytes" },
  { nil, schema.string, "v is missing, expected a text" },
  { json.null, schema.boolean, "v is null, expected true or false" },
  { 0 / 0, schema.number(), "^v is %-?nan, expected a number$" },
  { 3, schema.number(0, 2), "v is 3, expected a number from 0 to 2" },
  { 2.5, schema.integer(0, 9), "v is 2.5, expected an integer from 0 to 9" },
  { "b", schema.one_of { "a", "b" } },
  { "c", schema.one_of { "a", "b" }, 'v is "c", expected a or b' },
  { json.null, schema.optional(schema.string) },
  { 5, schema.either("a text or a number", schema.string, schema.number()) },
  { true, schema.either("a text or a number", schema.string, schema.number()),
    "v is true, expected a text or a number" },
  { { 1, 2 }, schema.list(schema.number()) },
  { {}, schema.list(schema.number()) },
  { {}, schema.list(schema.number(), 1), "v has 0 elements, expected at least 1" },
  { { 1, "x" }, schema.list(schema.number()), 'v[2] is "x", expected a number' },
  { { 1, [3] = 2 }, schema.list(schema.number()), "v has a hole, expected a list" },
  { { a = 1 }, schema.list(schema.number()), "v is a table, expected a list" },
  { { a = 1 }, schema.map(schema.number()) },
  { { a = "x" }, schema.map(schema.number()), 'v.a is "x", expected a number' },
  { { 1 }, schema.map(schema.number()), "v is a table, expected a table of names" },
  { { x = 1, z = 2 }, point },
  { { y = 1 }, point, "v.x is missing, expected a number" },
  { { x = 1, y = -1 }, point, "v.y is -1, expected an integer from 0 to 9" },
  { 7, point, "v is 7, expected a table" },
  { { rho = 1 }, strict },
  { { rho = 1, rl = 2 }, strict, "v has no field rl; did you mean lr? (lr, rho)" },
  { { rho = -1 }, strict, "v.rho is -1, expected a number from 0 to inf" },
}

describe("schema", function()
  for i, case in ipairs(CASES) do
    it(("case %d: %s"):format(i, case[3] or "fits"), function()
      local fault = case[2](case[1], "v")
      if case[3] and case[3]:sub(1, 1) == "^" then
        assert.is_truthy(fault:find(case[3]))
      else
        assert.equal(case[3], fault)
      end
    end)
  end

  it("check names the file and gives the value back", function()
    assert.equal(3, schema.check(3, schema.number(), "a.json"))
    local ok, err = pcall(schema.check, { x = "1" }, point, "a.json", "")
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.equal('a.json: x is "1", expected a number', err.message)
  end)

  it("shows texts short and printable", function()
    assert.equal('"a??b"', schema.show("a\27\nb"))
    assert.equal('"' .. ("x"):rep(60) .. '…"', schema.show(("x"):rep(1e6)))
  end)
end)
