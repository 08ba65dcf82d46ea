--- SentencePiece's tokenizers against SentencePiece itself and against Hugging Face's library: ids
-- of the golden texts and checksums over random ones. spec/golden/make_unigram_golden.py wrote what
-- is expected.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local spiece = require("spec.lua.text.spiece")
local text = require("fsam.text")
local utf8 = require("fsam.base.utf8")

local GOLDEN = helper.root .. "/spec/golden/unigram/"

local golden = json.decode(helper.read_file(GOLDEN .. "golden.json"))

local LATER = {}
for _, code in ipairs(golden.later) do
  LATER[code] = true
end

--- The random texts of the golden script.
local function random_texts(count)
  local state, atoms, texts = 1, golden.atoms, {}
  local function below(limit)
    state = state * 16807 % 2147483647
    return state % limit
  end
  for i = 1, count do
    local parts = {}
    for k = 1, below(14) + 1 do
      local kind = below(6)
      if kind < 4 then
        parts[k] = atoms[below(#atoms) + 1]
      else
        local code = below(kind == 4 and 0x3100 or 0x110000)
        local plain = code >= 0xD800 and code <= 0xDFFF or LATER[code]
        parts[k] = plain and " " or utf8.char(code)
      end
    end
    texts[i] = table.concat(parts)
  end
  return texts
end

local BLOCK = 500

local function checksums(tokenizer, texts)
  local sums, sum = {}, 0
  for i, sample in ipairs(texts) do
    for _, id in ipairs((tokenizer:encode(sample))) do
      sum = (sum * 31 + id) % 2147483647
    end
    if i % BLOCK == 0 then
      sums[#sums + 1], sum = sum, 0
    end
  end
  return sums
end

local ALBERT = { ["config.json"] = '{ "model_type": "albert" }' }
local XLM_ROBERTA = { ["config.json"] = '{ "model_type": "xlm-roberta" }' }

-- What a folder holds: file of the golden folder, its name, the other files.
local FOLDERS = {
  ["albert.model"] = { "spiece.model", ALBERT },
  ["xlm_roberta.model"] = { "sentencepiece.bpe.model", XLM_ROBERTA },
  ["bytes.model"] = { "sentencepiece.bpe.model", {} },
  ["albert.json"] = { "tokenizer.json", ALBERT },
  ["xlm_roberta.json"] = { "tokenizer.json",
    { ["tokenizer_config.json"] = '{ "tokenizer_class": "XLMRobertaTokenizerFast" }' } },
}

describe("a unigram tokenizer", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function load(files)
    for name, bytes in pairs(files) do
      helper.write_file(folder .. "/" .. name, bytes)
    end
    return text.load(folder)
  end

  local function golden_tokenizer(name)
    local entry = FOLDERS[name]
    helper.write_file(folder .. "/" .. entry[1], helper.read_file(GOLDEN .. name))
    return load(entry[2])
  end

  local function agree(tokenizer, name)
    for i, sample in ipairs(golden.texts) do
      assert.are.equal(golden.ids[name][i], table.concat(tokenizer:encode(sample), " "),
        ("text %d: %s"):format(i, json.encode(sample)))
    end
  end

  for name in pairs(FOLDERS) do
    it("gives the ids of " .. name, function()
      local tokenizer = golden_tokenizer(name)
      agree(tokenizer, name)
      local sums = golden.checksums[name]
      assert.are.same(sums, checksums(tokenizer, random_texts(#sums * BLOCK)))
    end)

    it("is written and read again, " .. name, function()
      local tokenizer, copy = golden_tokenizer(name), helper.temp_dir()
      tokenizer:save(copy)
      local again = text.load(copy)
      for i = 1, #golden.texts, 8 do
        local sample = golden.texts[i]
        assert.are.same({ tokenizer:encode(sample) }, { again:encode(sample) })
      end
      helper.remove_dir(copy)
    end)
  end

  for name, parts in pairs(golden.variants) do
    it("does what a tokenizer.json says: " .. name, function()
      local whole = json.decode(helper.read_file(GOLDEN .. "xlm_roberta.json"), "golden", true)
      local charsmap = json.encode(whole.normalizer):match('"precompiled_charsmap":%s*"([^"]*)"')
      for _, member in ipairs({ "normalizer", "pre_tokenizer" }) do
        local written = json.encode(parts[member] or json.null):gsub("CHARSMAP", charsmap)
        whole[member] = json.decode(written, "part", true)
      end
      agree(load({ ["tokenizer.json"] = json.encode(whole) }), name)
    end)
  end

  it("keeps accents and capitals where the folder says so", function()
    local files = { ["spiece.model"] = spiece.piece("<pad>", 0, 3) .. spiece.piece("<unk>", 0, 2)
      .. spiece.piece("[CLS]", 0, 3) .. spiece.piece("[SEP]", 0, 3) .. spiece.piece("e", -1)
      .. spiece.piece("E", -1) .. spiece.piece("\195\169", -1) .. spiece.piece("\226\150\129", -1) }
    local cases = {
      { '{ "tokenizer_class": "AlbertTokenizer" }', { 2, 7, 4, 4, 3 } },
      { '{ "tokenizer_class": "AlbertTokenizer", "keep_accents": true }', { 2, 7, 4, 6, 3 } },
      { '{ "tokenizer_class": "AlbertTokenizer", "do_lower_case": false }', { 2, 7, 5, 4, 3 } },
    }
    for _, case in ipairs(cases) do
      files["tokenizer_config.json"] = case[1]
      assert.are.same(case[2], (load(files):encode("E\195\169")), case[1])
    end
  end)

  it("parts a number from the comma after it, with ALBERT's own vocabulary", function()
    local data = helper.data_dir("albert")
    if not data then
      pending("no ../shared/data")
      return
    end
    local tokenizer = text.load(data)
    assert.are.same({ 2, 10975, 126, 15, 390, 15, 21997, 9, 3 },
      (tokenizer:encode("Hello world, 12,345.")))
    assert.are.equal(30000, tokenizer.vocab_size)
  end)

  it("frames pairs as its class does", function()
    local ids, types = golden_tokenizer("albert.model"):encode("(", "(")
    assert.are.same({ 2, 13, 5, 3, 13, 5, 3 }, ids)
    assert.are.same({ 0, 0, 0, 0, 1, 1, 1 }, types)
    helper.remove_dir(folder)
    folder = helper.temp_dir()
    ids, types = golden_tokenizer("xlm_roberta.model"):encode("\227\128\130", "\227\128\130")
    assert.are.same({ 0, 4, 3, 2, 2, 4, 3, 2 }, ids)
    assert.are.same({ 0, 0, 0, 0, 0, 0, 0, 0 }, types)
  end)

  it("gives readable text back", function()
    local tokenizer = golden_tokenizer("bytes.model")
    assert.are.equal("the keys \240\159\152\128 to",
      tokenizer:decode((tokenizer:encode("the keys \240\159\152\128 to"))))
  end)
end)

-- -- files of unknown origin ---------------------------------------------------------------------

local function with_rules(charsmap)
  return spiece.PIECES .. spiece.field(3, spiece.field(2, charsmap))
end

local UNITS = ("\0\0\0\0"):rep(256)

-- What is wrong, the bytes of spiece.model, what the message says.
local DAMAGED = {
  { "an empty file", "", "none of its 0 pieces is of type unknown" },
  { "a length past the end", "\10\255\255\255\255\15", "a field of 4294967295 bytes is cut off" },
  { "a length past all memory", "\10\255\255\255\255\255\255\255\255\255\1", "is cut off after 0" },
  { "an integer without end", ("\255"):rep(40), "an integer has more than 10 bytes at byte 0" },
  { "a group", "\11\12", "a field has the number 1 and the type 3" },
  { "a field without number", "\0\0", "a field has the number 0" },
  { "a piece that is an integer", "\8\1", "field 1 is an integer, expected a length and bytes" },
  { "a score of 8 bytes", spiece.field(1, "\10\1a\17\0\0\0\0\0\0\0\0"),
    "field 2 is 8 bytes, expected 4 bytes" },
  { "a score that is no number", spiece.PIECES .. spiece.piece("x", 0 / 0), "no finite score" },
  { "a score that LuaJIT could take for nil", spiece.PIECES .. spiece.field(1,
    "\10\1x\21\255\255\255\255"), "no finite score" },
  { "an infinite score", spiece.PIECES .. spiece.piece("x", math.huge), "no finite score" },
  { "a piece of an unknown type", spiece.PIECES .. spiece.piece("x", 0, 77), "has the type 77" },
  { "a piece without text", spiece.PIECES .. spiece.field(1, spiece.float(2, -1)),
    "piece 13 has 0 bytes, expected 1 to 1024" },
  { "a piece that is too long", spiece.PIECES .. spiece.piece(("x"):rep(1025), -1),
    "piece 13 has 1025 bytes, expected 1 to 1024" },
  { "a piece that is not UTF-8", spiece.PIECES .. spiece.piece("\255", -1), "not UTF-8" },
  { "a piece twice", spiece.PIECES .. spiece.piece("a", -1), '"a" is there twice' },
  { "two unknown pieces", spiece.PIECES .. spiece.piece("u", 0, 2), "both of type unknown" },
  { "a byte without fallback", spiece.PIECES .. spiece.piece("<0x41>", 0, 6),
    "has pieces for 1 bytes, expected 0" },
  { "a byte that is none", spiece.PIECES .. spiece.piece("<0xZZ>", 0, 6), "no piece for a byte" },
  { "fallback without bytes", spiece.PIECES .. spiece.field(2, spiece.field(35, 1)),
    "has pieces for 0 bytes, expected 256" },
  { "another algorithm", spiece.PIECES .. spiece.field(2, spiece.field(3, 2)),
    "a model of the kind bpe, expected unigram" },
  { "rules without size", with_rules("\1"), "it has no size" },
  { "rules of no units", with_rules("\0\0\0\0"), "expected 0, a multiple of 4 that is not 0" },
  { "rules of half a unit", with_rules("\2\0\0\0\0\0"), "expected 2, a multiple of 4" },
  { "rules past their end", with_rules("\0\0\0\240" .. UNITS), "expected 4026531840" },
  { "rules with bytes that are no text", with_rules("\0\4\0\0" .. UNITS .. "\255"), "not UTF-8" },
  { "a replacement that is too long", with_rules("\0\4\0\0" .. UNITS .. ("x"):rep(2000)),
    "a replacement has more than 1024 bytes" },
}

describe("SentencePiece's file", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
    helper.write_file(folder .. "/config.json", ALBERT["config.json"])
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function load(bytes)
    helper.write_file(folder .. "/spiece.model", bytes)
    return pcall(text.load, folder)
  end

  for _, case in ipairs(DAMAGED) do
    it("is refused with " .. case[1], function()
      local done, message = load(case[2])
      assert.is_false(done)
      assert.is_truthy(tostring(message):find(case[3], 1, true), tostring(message))
      assert.is_truthy(tostring(message):find("spiece.model", 1, true), tostring(message))
      assert.is_nil(tostring(message):find("\n"))
    end)
  end

  it("is read whole or refused in one line, cut at any byte", function()
    local whole = spiece.PIECES .. spiece.field(2, spiece.field(3, 1)) .. spiece.field(3,
      spiece.field(1, "rules"))
    for bytes = 0, #whole do
      local done, got = load(whole:sub(1, bytes))
      if done then
        assert.are.equal("unigram", got.kind)
      else
        assert.is_truthy(tostring(got):find("spiece.model", 1, true), tostring(got))
        assert.is_nil(tostring(got):find("\n"))
      end
    end
  end)

  it("applies its rules", function()
    local done, tokenizer = load(spiece.model())
    assert.is_true(done, tostring(tokenizer))
    assert.are.same({ 2, 9, 7, 8, 5, 6, 10, 12, 3 }, (tokenizer:encode("CC( 1,")))
  end)

  it("does not run in circles over rules that do", function()
    -- Every unit has the label a, a complete key, and children at its own place.
    local cycle = {}
    for i = 1, 256 do
      cycle[i] = 97 + 256
    end
    for _, units in ipairs({ cycle, { 97 + 256 + 1024 }, { 2 ^ 32 - 1 }, { 2 ^ 31 + 97 } }) do
      local done, tokenizer = load(with_rules(spiece.charsmap(units, "b\0")))
      assert.is_true(done, tostring(tokenizer))
      local ids = tokenizer:encode(("a"):rep(1000))
      assert.is_true(#ids <= 1003)
    end
  end)
end)

describe("a tokenizer.json of type Unigram", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  -- What is wrong: how the document is changed, what the message says.
  local CASES = {
    { "vocabulary that is a map", function(d) d.model.vocab = { a = 1 } end, "list of pieces" },
    { "piece without score", function(d) d.model.vocab[5] = { "x" } end, "item 5 is not a piece" },
    { "piece that is a number", function(d) d.model.vocab[5] = { 1, 2 } end, "item 5 is not" },
    { "unknown id past the end", function(d) d.model.unk_id = 1e6 end, "model.unk_id is 1000000" },
    { "unknown id that is missing", function(d) d.model.unk_id = nil end, "unk_id" },
    { "rules that are no base64", function(d) d.normalizer = { type = "Precompiled",
      precompiled_charsmap = "a===" } end, "no precompiled_charsmap in base64" },
    { "rules that are damaged", function(d) d.normalizer = { type = "Precompiled",
      precompiled_charsmap = "/////w==" } end, "precompiled_charsmap is damaged" },
    { "another expression", function(d) d.normalizer = { type = "Replace",
      pattern = { Regex = "a+" }, content = "" } end, "of type Replace is supported with" },
    { "another sign for space", function(d) d.pre_tokenizer = { type = "Metaspace",
      replacement = "_" } end, "replacement" },
    { "flags that contradict", function(d) d.pre_tokenizer = { type = "Metaspace",
      prepend_scheme = "always", add_prefix_space = false } end, "contradict each other" },
    { "words of bytes", function(d) d.pre_tokenizer = { type = "ByteLevel" } end,
      "a pre_tokenizer of type ByteLevel is not supported" },
  }

  for _, case in ipairs(CASES) do
    it("is refused with a " .. case[1], function()
      local document = json.decode(helper.read_file(GOLDEN .. "xlm_roberta.json"), "golden", true)
      case[2](document)
      helper.write_file(folder .. "/tokenizer.json", json.encode(document))
      local done, message = pcall(text.load, folder)
      assert.is_false(done)
      assert.is_truthy(tostring(message):find(case[3], 1, true), tostring(message))
    end)
  end
end)
