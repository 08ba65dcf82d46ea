--- fairseq's dict.txt with GPT-2's encoder.json and vocab.bpe as a tokenizer.
local helper = require("spec.helper")
local json = require("fsam.base.json")
local text = require("fsam.text")

describe("fairseq's dictionary", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
    helper.write_file(folder .. "/encoder.json", json.encode({ a = 0, b = 1, ab = 2 }))
    helper.write_file(folder .. "/vocab.bpe", "#version: 0.2\na b\n")
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function load(dictionary)
    helper.write_file(folder .. "/dict.txt", dictionary)
    return text.load(folder)
  end

  it("gives ids in the order of its lines, <mask> after the last", function()
    local tokenizer = load("2 900\n0 30\nmadeupword0000 0\n1 7\n")
    assert.same({ 0, 4, 5, 2 }, (tokenizer:encode("aba")))
    assert.same({ 0, 7, 2 }, (tokenizer:encode("b")))
    assert.equal("madeupword0000", tokenizer:token_of(6))
    assert.equal("<mask>", tokenizer:token_of(8))
    assert.equal(9, tokenizer.vocab_size)
  end)

  it("is refused where a line is none, or names what is not there", function()
    for dictionary, expected in pairs({
      ["2\n"] = "line 1 is not a symbol and its count",
      ["2 1\n9 1\n"] = "line 2 names piece 9, which " .. folder .. "/encoder.json does not have",
      ["2 1\n2 1\n"] = "line 2 has 2 a second time",
    }) do
      local ok, err = pcall(load, dictionary)
      assert.is_false(ok)
      assert.equal(folder .. "/dict.txt: " .. expected, tostring(err))
    end
  end)

  it("has fairseq's ids of the real files", function()
    local real = helper.data_dir("gpt2_bpe")
    if not real then
      pending("no ../shared/data/gpt2_bpe")
      return
    end
    local tokenizer = text.load(real)
    assert.equal(50265, tokenizer.vocab_size)
    assert.same({ 0, 31414, 232, 328, 2 }, (tokenizer:encode("Hello world!")))
  end)
end)
