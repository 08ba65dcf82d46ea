--- fairseq's dict.txt: ids by line, what a line may be, and the way back.
local dictionaries = require("fsam.data.dictionary")
local helper = require("spec.helper")

describe("a fairseq dictionary", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function read(text)
    return dictionaries.read(helper.write_file(folder .. "/dict.txt", text))
  end

  it("numbers its lines from 4, after <s>, <pad>, </s> and <unk>", function()
    local d = read("acceptable 6023\nunacceptable 2528\nmadeupword0002 0")
    assert.same({ "<s>", "<pad>", "</s>", "<unk>", "acceptable", "unacceptable", "madeupword0002" },
      d.symbols)
    assert.same({ 0, 2, 3, 4, 5 }, { d.ids["<s>"], d.ids["</s>"], d.ids["<unk>"], d.ids.acceptable,
      d.ids.unacceptable })
    assert.same({ 0, 0, 0, 0, 6023, 2528, 0 }, d.counts)
    assert.equal("acceptable 6023\nunacceptable 2528\nmadeupword0002 0\n", d:text())
  end)

  it("has symbols with spaces, in any script, and a last one that replaces an earlier", function()
    local d = read("New York 3 \r\nété 2\nété 9 #fairseq:overwrite\n<s> 1 #fairseq:overwrite\n")
    assert.same({ 4, 6, 7 }, { d.ids["New York"], d.ids["été"], d.ids["<s>"] })
    assert.same({ "New York", "été", "été", "<s>" }, { unpack(d.symbols, 5) })
    assert.same({}, { unpack(read("").symbols, 5) })
  end)

  it("is refused by file and line where a line is none", function()
    for text, expected in pairs({
      ["a\n"] = ', line 1 is "a", expected a symbol and its count',
      ["a 1\n\nb 1\n"] = ', line 2 is "", expected a symbol and its count',
      ["a -1\n"] = ', line 1 is "a -1", expected a symbol and its count',
      ["a 1\nb 2\na 3\n"] = ', line 3 has "a" a second time; a line that replaces an earlier one '
        .. "ends in #fairseq:overwrite",
      ["a 1\n<pad> 3\n"] = ', line 2 has "<pad>" a second time; a line that replaces an earlier '
        .. "one ends in #fairseq:overwrite",
      ["a 1\nb\255 3\n"] = ", line 2: byte 0xFF is not UTF-8",
    }) do
      local ok, err = pcall(read, text)
      assert.is_false(ok)
      assert.equal(folder .. "/dict.txt" .. expected, tostring(err))
    end
  end)

  it("takes time in proportion to its bytes", function()
    local before = os.clock()
    for _, text in ipairs({ ("a "):rep(2e5), (" "):rep(4e5) .. "a", ("1 "):rep(2e5) .. "x" }) do
      assert.is_false(pcall(read, text))
    end
    assert.is_true(os.clock() - before < 2)
  end)
end)
