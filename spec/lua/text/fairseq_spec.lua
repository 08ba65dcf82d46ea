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

  it("is refused where its files do not fit each other", function()
    local function message_of(dictionary, encoder)
      if encoder then
        helper.write_file(folder .. "/encoder.json", encoder)
      end
      local ok, err = pcall(load, dictionary)
      assert.is_false(ok)
      return (tostring(err):gsub(folder .. "/", ""))
    end
    assert.equal('dict.txt, line 1 is "2", expected a symbol and its count', message_of("2\n"))
    assert.equal('dict.txt names piece "9", which encoder.json does not have',
      message_of("2 1\n9 1\n"))
    assert.equal('dict.txt has the piece "ab" twice, once as its number',
      message_of("2 1\nab 1\n"))
    for encoder, expected in pairs({
      ['{"a":0,"b":"1"}'] = 'the vocabulary.b is "1", expected an integer from 0 to 67108864',
      ['{"a":-1}'] = "the vocabulary.a is -1, expected an integer from 0 to 67108864",
      ['["a"]'] = "the vocabulary is a list, expected a table of names",
      ['{"a":0,"b":0}'] = '"a" and "b" have one number, 0',
    }) do
      assert.equal("encoder.json: " .. expected, message_of("0 1\n", encoder))
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
