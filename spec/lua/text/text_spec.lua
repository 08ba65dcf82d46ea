--- Tokenizers against Hugging Face's: ids of the golden texts by five tokenizers, and every code
-- point by checksum. spec/golden/make_tokenizer_golden.py wrote what is expected.

local bit = require("bit") -- in a spec, a global is looked up through busted's nested environments
local bert = require("fsam.text.bert")
local bpe = require("fsam.text.bpe")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local small = require("spec.lua.text.tokenizers")
local text = require("fsam.text")
local utf8 = require("fsam.base.utf8")

local golden, agree = small.golden, small.agree

--- RoBERTa's vocabulary from fairseq's files: ids are the order of dict.txt.
local function roberta(folder)
  local piece_of, merges = {}, {}
  for piece, id in pairs(json.decode(helper.read_file(folder .. "/encoder.json"))) do
    piece_of[tostring(id)] = piece
  end
  local ids, n = { ["<s>"] = 0, ["<pad>"] = 1, ["</s>"] = 2, ["<unk>"] = 3 }, 4
  for line in io.lines(folder .. "/dict.txt") do
    local symbol = line:match("^%S+")
    ids[piece_of[symbol] or symbol] = n
    n = n + 1
  end
  ids["<mask>"] = n
  for line in io.lines(folder .. "/vocab.bpe") do
    local left, right = line:match("^(%S+) (%S+)$")
    if left ~= "#version:" then
      merges[#merges + 1] = { left, right }
    end
  end
  return text.bpe({ ids = ids, merges = merges })
end

local CRC_TABLE = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do
    local low = bit.band(c, 1)
    c = bit.bxor(bit.rshift(c, 1), low == 1 and 0xEDB88320 or 0)
  end
  CRC_TABLE[i] = c
end

local function crc32(bytes, crc)
  crc = bit.bnot(crc)
  for i = 1, #bytes do
    local index = bit.band(bit.bxor(crc, bytes:byte(i)), 255)
    crc = bit.bxor(bit.rshift(crc, 8), CRC_TABLE[index])
  end
  return bit.bnot(crc)
end

--- Checksums of the words of all code points in a few contexts, as the golden script makes them.
local function check_every_code_point(name, words)
  local contexts = "a%sB e\204\150%s\204\129\204\180 1%s !%s "
  for block, expected in ipairs(golden.checksums[name]) do
    local first, crc = (block - 1) * 0x1000, 0
    for row = first, first + 0xFFF, 64 do
      local parts = {}
      for code = row, row + 63 do
        if code < 0xD800 or code > 0xDFFF then
          local c = utf8.char(code)
          parts[#parts + 1] = (contexts:gsub("%%s", { ["%s"] = c }))
        end
      end
      crc = crc32(table.concat(words(table.concat(parts)), "\n"), crc)
    end
    assert.are.equal(bit.tobit(expected), crc, ("code points from U+%04X"):format(first))
  end
end

describe("tokenizers agree with Hugging Face on", function()
  it("at least 500 texts, with a small WordPiece vocabulary", function()
    assert.is_true(#golden.texts >= 500)
    local folder = small.folder("wordpiece")
    agree(text.load(folder), "wordpiece")
    helper.remove_dir(folder)
  end)

  it("the same texts, with a small BPE vocabulary", function()
    local folder = small.folder("bpe")
    agree(text.load(folder), "bpe")
    helper.remove_dir(folder)
  end)

  it("the same texts, with bert-base-uncased's vocabulary, uncased and cased", function()
    local path = helper.data_dir("bert/vocab.txt")
    if not path then
      pending("no ../shared/data/bert")
    end
    local folder = helper.temp_dir()
    helper.write_file(folder .. "/vocab.txt", helper.read_file(path))
    agree(text.load(folder), "bert_uncased")
    helper.write_file(folder .. "/tokenizer_config.json", '{"do_lower_case": false}')
    agree(text.load(folder), "bert_cased")
    helper.remove_dir(folder)
  end)

  it("the same texts, with RoBERTa's vocabulary", function()
    local folder = helper.data_dir("gpt2_bpe")
    if not folder then
      pending("no ../shared/data/gpt2_bpe")
    end
    local tokenizer = roberta(folder)
    agree(tokenizer, "roberta")
    -- The examples of fairseq's README.
    assert.are.same({ 0, 31414, 232, 328, 2 }, (tokenizer:encode("Hello world!")))
    assert.are.same({ 0, 46496, 4349, 1542, 7192, 37070, 2 },
      (tokenizer:encode("Roberta base Model Comparison")))
  end)

  it("every code point, through BERT's normalisation and word split #slow", function()
    for _, lowercase in ipairs({ true, false }) do
      local normalizer = bert.new({ lowercase = lowercase })
      check_every_code_point(lowercase and "bert_uncased" or "bert_cased", function(sample)
        return bert.words(normalizer:normalize(sample))
      end)
    end
  end)

  it("every code point, through GPT-2's regular expression #slow", function()
    local model = bpe.new({ ids = {}, merges = {} })
    check_every_code_point("gpt2", function(sample)
      local words = {}
      model:each_word(sample, function(word)
        words[#words + 1] = word
      end)
      return words
    end)
  end)
end)
