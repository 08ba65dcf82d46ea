--- JSON in both directions, and the one line that each malformed text gets.

local errors = require("fsam.errors")
local json = require("fsam.base.json")

local function message_of(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err))
  return tostring(err)
end

describe("json.decode", function()
  it("reads every kind of value", function()
    local value = json.decode(' {"a": [1, -2.5e3, true, false], "b": {"c": "x"}, "": 0} ')
    assert.are.same({ a = { 1, -2500, true, false }, b = { c = "x" }, [""] = 0 }, value)
  end)

  it("reads numbers exactly", function()
    for _, text in ipairs({ "0", "-0", "1", "-7", "123456789012345", "1234567890123456789", "0.1",
      "1e-12", "1E+5", "2.5e-320", "999999999999999.9", "1.7976931348623157e308" }) do
      assert.are.equal(tonumber(text), json.decode(text))
    end
  end)

  it("reads escapes and surrogate pairs", function()
    assert.are.equal('"\\/\b\f\n\r\t', json.decode([["\"\\\/\b\f\n\r\t"]]))
    assert.are.equal("é€😀\0Ġ", json.decode([["\u00e9\u20AC\uD83D\ude00\u0000Ġ"]]))
  end)

  it("leaves out members that are null unless asked, and keeps null in arrays", function()
    assert.are.same({ b = 1 }, json.decode('{"a": null, "b": 1}'))
    assert.are.equal(json.null, json.decode('{"a": null}', "x", true).a)
    local list = json.decode("[null, 2]")
    assert.are.equal(json.null, list[1])
    assert.are.equal(2, #list)
    assert.are.equal(json.null, json.decode("null"))
  end)

  it("takes the largest vocabularies, and refuses what would take a lot of memory", function()
    local long = ("1"):rep(1000)
    assert.are.equal(tonumber(long), json.decode(long))
    for _, case in ipairs({
      { "[" .. ("[],"):rep(4e6) .. "0]", "column %d+: it holds too many values" },
      { '"' .. ("\\n"):rep(7e6) .. '"', "column %d+: it holds too many values" },
      { long .. "1", "column 1: a number of more than 1000 characters" },
      { "[" .. ("0"):rep(1e7) .. "]", "column 2: a number of more than 1000 characters" },
      { ("["):rep(1e7), "column 201: nested deeper than 200 levels" },
      { ('{"a":'):rep(1e6), "column 1001: nested deeper than 200 levels" },
    }) do
      collectgarbage()
      local before = collectgarbage("count")
      local message = message_of(json.decode, case[1], "file")
      assert.matches("^file: line 1, " .. case[2], message)
      assert.is_true(collectgarbage("count") - before < 450 * 1024, message)
    end
    -- As many pieces, and merges as pairs, as the tokenizers of large language models have.
    local pieces, pair = {}, '["a","b"],'
    for i = 1, 128000 do
      pieces[i] = ('"w%x":%d'):format(i, i)
    end
    local value = json.decode(('{"vocab":{%s},"merges":[%s0]}'):format(table.concat(pieces, ","),
      pair:rep(280000)))
    assert.are.equal(280001, #value.merges)
    assert.are.equal(128000, value.vocab.w1f400)
  end)

  it("skips a byte order mark", function()
    assert.are.same({ 1 }, json.decode("\239\187\191[1]"))
  end)

  it("names the text, line and column of a fault", function()
    local cases = {
      { "", "line 1, column 1: expected a value, got the end of the text" },
      { "{", "line 1, column 2: expected a key in quotes, got the end of the text" },
      { '{"a" 1}', "line 1, column 6: expected ':' after a key, got '1'" },
      { '{"a": 1,}', "line 1, column 9: expected a key in quotes, got '}'" },
      { '{\n  "a": tru\n}', "line 2, column 8: expected a value, got 't'" },
      { "[1 2]", "line 1, column 4: expected ',' or ']' in an array, got '2'" },
      { "[1,]", "line 1, column 4: expected a value, got ']'" },
      { "[1] x", "line 1, column 5: expected the end of the text, got 'x'" },
      { "[01]", "line 1, column 2: 01 is not a number" },
      { "1.", "line 1, column 1: 1. is not a number" },
      { ".5", "line 1, column 1: .5 is not a number" },
      { "-", "line 1, column 1: - is not a number" },
      { "1e", "line 1, column 1: 1e is not a number" },
      { "1\0", "line 1, column 2: expected the end of the text, got byte 0x00" },
      { "NaN", "line 1, column 1: expected a value, got 'N'" },
      { '"abc', "line 1, column 5: the text ends inside a string" },
      { '"a\nb"', "line 1, column 3: a control character inside a string" },
      { [["\x"]], "line 1, column 2: unknown escape: a backslash before 'x'" },
      { [["\u12g4"]], "line 1, column 4: \\u needs four hexadecimal digits" },
      { [["\ud800x"]], "line 1, column 2: half of a surrogate pair" },
      { [["\udc00"]], "line 1, column 2: half of a surrogate pair" },
    }
    for _, case in ipairs(cases) do
      local message = message_of(json.decode, case[1], "x.json")
      assert.are.equal("x.json: " .. case[2], message:sub(1, #case[2] + 8))
    end
  end)

  it("refuses nesting without end", function()
    for _, opening in ipairs({ "[", '{"a":' }) do
      local message = message_of(json.decode, opening:rep(1e6))
      assert.is_truthy(message:find("nested deeper than 200", 1, true))
    end
    assert.is_table(json.decode(("["):rep(200) .. ("]"):rep(200)))
  end)
end)

describe("json.encode", function()
  it("sorts keys, or follows the order given", function()
    assert.are.equal('{"a": 1, "b": 2, "c": 3}', json.encode({ c = 3, a = 1, b = 2 }))
    assert.are.equal('{"c": 3, "b": 2, "a": 1}',
      json.encode({ c = 3, a = 1, b = 2 }, { order = { "c", "b" } }))
  end)

  it("indents", function()
    assert.are.equal('{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}',
      json.encode({ a = { 1, {} }, b = json.array() }, { indent = true }))
  end)

  it("writes numbers so that they read back as the same", function()
    for _, x in ipairs({ 0, 1, -1, 0.1, 1 / 3, 1e-12, 5e-324, 2 ^ 53, 2 ^ 53 - 1, -2 ^ 31, 1e22,
      1.7976931348623157e308, 0.1 + 0.2, 123456.789 }) do
      assert.are.equal(x, json.decode(json.encode(x)))
    end
    assert.are.equal("[1, 0.1, 1e-12, 9007199254740991, -0.0]",
      json.encode({ 1, 0.1, 1e-12, 2 ^ 53 - 1, -1 / math.huge }))
    assert.are.equal("9223372036854775807", json.encode(0x7fffffffffffffffLL))
  end)

  it("escapes what must be, and replaces what is not UTF-8", function()
    assert.are.equal([["\"\\\n\u0000\u001f\u007fé😀"]], json.encode("\"\\\n\0\31\127é😀"))
    assert.are.equal('"a\239\191\189b"', json.encode("a\255b"))
  end)

  it("keeps what decode marked as an array", function()
    local text = '{"a": [], "b": {}, "c": [null, [1]]}'
    assert.are.equal(text, json.encode(json.decode(text)))
  end)

  it("names what cannot be written", function()
    local loop = {}
    loop.loop = loop
    local cases = {
      { { a = { 1, 0 / 0 } }, "json: the value.a[2] is" },
      { { a = math.huge }, "json: the value.a is inf" },
      { { f = print }, "json: the value.f is a function" },
      { { 1, 2, x = 3 }, "json: the value has the key 1" },
      { loop, "json: the value.loop.loop" },
    }
    for _, case in ipairs(cases) do
      assert.are.equal(case[2], message_of(json.encode, case[1]):sub(1, #case[2]))
    end
  end)
end)
