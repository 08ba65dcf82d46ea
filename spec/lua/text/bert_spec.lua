--- BERT's normalisation and words, and WordPiece's pieces, where they are delicate. The normalised
-- texts are what Hugging Face's tokenizers gave.

local bert = require("fsam.text.bert")
local wordpiece = require("fsam.text.wordpiece")

local NOTE = "\240\157\133\160" -- a musical note, which decomposes into three code points
local NOTE_APART = "\240\157\133\152\240\157\133\165\240\157\133\174"

-- What it shows, the text, and the text normalised: by default, without lower case, and with
-- nothing but the stripping of accents.
local NORMALIZED = {
  { "case and accents", "\195\128\195\137 Stra\195\159e \206\145\206\163",
    "ae stra\195\159e \206\177\207\131", "\195\128\195\137 Stra\195\159e \206\145\206\163",
    "AE Stra\195\159e \206\145\206\163" },
  { "the lower case of two code points", "\196\176x", "ix", "\196\176x", "Ix" },
  { "lower case newer than the library", "\234\159\156\225\178\137\240\144\181\144\240\150\186\160",
    "\198\155\225\178\138\240\144\181\176\240\150\186\187",
    "\234\159\156\225\178\137\240\144\181\144\240\150\186\160",
    "\234\159\156\225\178\137\240\144\181\144\240\150\186\160" },
  { "Chinese set apart", "a\228\184\173b", "a \228\184\173 b", "a \228\184\173 b",
    "a\228\184\173b" },
  { "Chinese that decomposes", "\239\164\128", " \232\177\136 ", " \239\164\128 ",
    "\232\177\136" },
  { "controls", "a\0\7b\9c\226\128\139d\238\128\128\239\191\189", "ab cd", "ab cd",
    "a\0\7b\9c\226\128\139d\238\128\128\239\191\189" },
  { "spaces", "a\194\160b\227\128\128c\226\128\168d", "a b c d", "a b c d",
    "a\194\160b\227\128\128c\226\128\168d" },
  { "marks that go", "e\204\129\204\163x", "ex", "e\204\129\204\163x", "ex" },
  { "marks that stay, in order, stably",
    "a\240\157\133\165\240\157\133\173\227\128\174\227\128\175\240\157\133\165b",
    "a\240\157\133\165\240\157\133\165\227\128\174\227\128\175\240\157\133\173b",
    "a\240\157\133\165\240\157\133\173\227\128\174\227\128\175\240\157\133\165b",
    "a\240\157\133\165\240\157\133\165\227\128\174\227\128\175\240\157\133\173b" },
  { "marks that stay among some that go",
    "x\227\128\175\240\157\133\165\215\135\227\128\174\224\191\134",
    "x\240\157\133\165\227\128\175\227\128\174",
    "x\227\128\175\240\157\133\165\215\135\227\128\174\224\191\134",
    "x\240\157\133\165\227\128\175\227\128\174" },
  { "a mark that the tables do not know parts a run",
    "a\227\128\175\224\163\138\240\157\133\165\227\128\174",
    "a\227\128\175\224\163\138\240\157\133\165\227\128\174",
    "a\227\128\175\224\163\138\240\157\133\165\227\128\174",
    "a\227\128\175\224\163\138\240\157\133\165\227\128\174" },
  { "a base that goes parts a run, a mark does not",
    "a\227\128\175\224\189\178\227\128\174 \227\128\175\224\164\130\240\157\133\165",
    "a\227\128\175\227\128\174 \227\128\175\240\157\133\165",
    "a\227\128\175\224\189\178\227\128\174 \227\128\175\224\164\130\240\157\133\165",
    "a\227\128\175\227\128\174 \227\128\175\240\157\133\165" },
  { "letters newer than the tables", "\240\145\164\184\240\150\132\161",
    "\240\145\164\184\240\150\132\161", "\240\145\164\184\240\150\132\161",
    "\240\145\164\184\240\150\132\161" },
  { "Hangul", "\237\149\156", "\225\132\146\225\133\161\225\134\171", "\237\149\156",
    "\225\132\146\225\133\161\225\134\171" },
  { "three times as many bytes", NOTE:rep(9), NOTE_APART:rep(9), NOTE:rep(9), NOTE_APART:rep(9) },
  { "nothing", "", "", "", "" },
}

describe("BERT's normaliser", function()
  local NORMALIZERS = { bert.new({}), bert.new({ lowercase = false }),
    bert.new({ lowercase = false, strip_accents = true, clean_text = false, chinese = false }) }

  for _, row in ipairs(NORMALIZED) do
    it("has exactly " .. row[1], function()
      for k, normalizer in ipairs(NORMALIZERS) do
        assert.are.equal(row[2 + k], normalizer:normalize(row[2]))
      end
    end)
  end

  it("takes each ill-formed part for one U+FFFD", function()
    local keeps = bert.new({ clean_text = false })
    for text, count in pairs({ ["\255"] = 1, ["\128\128"] = 2, ["\226\130"] = 1,
      ["\240\159\152"] = 1, ["\224\128\175"] = 3, ["\237\160\128"] = 3, ["\244\144\128\128"] = 4,
      ["\240\128\128"] = 3, ["\193\191"] = 2, ["\245\128"] = 2, ["\226\130\226\130"] = 2,
      ["\240\159\152\240"] = 2 }) do
      local replaced = ("\239\191\189"):rep(count)
      assert.are.equal("x" .. replaced .. "y", keeps:normalize("x" .. text .. "Y"))
      assert.are.equal(replaced, keeps:normalize(text))
      assert.are.equal("xy", NORMALIZERS[1]:normalize("x" .. text .. "Y"))
    end
  end)
end)

describe("BERT's words", function()
  it("are parted by spaces and punctuation of every script", function()
    assert.are.same({ "a", "-", "b", "'", "c" }, bert.words(" a-b' \t\r\nc "))
    assert.are.same({ "\228\184\173", "\227\128\130", "!", "x" },
      bert.words("\228\184\173\227\128\130!\226\128\131x"))
    assert.are.same({ "a\0b" }, bert.words("a\0b"))
    assert.are.same({}, bert.words(" \194\160 "))
    assert.are.same({}, bert.words(""))
  end)
end)

describe("WordPiece", function()
  local IDS = { ["[UNK]"] = 0, a = 1, ab = 2, abc = 3, ["##c"] = 4, ["##cd"] = 5, ["##"] = 6,
    [""] = 7, ["\195\169"] = 8, ["##\195\169"] = 9, ["\195"] = 10, ["##\195"] = 11, ["#"] = 12 }

  local function ids_of(text, changes)
    local config, ids = { ids = IDS }, {}
    for key, value in pairs(changes or {}) do
      config[key] = value
    end
    wordpiece.new(config):append(ids, text)
    return ids
  end

  it("names the file whose pieces are too many", function()
    local long = ("x"):rep(2 ^ 24)
    local message = ": the pieces have 16777221 bytes, expected fewer than 16777216"
    local ok, err = pcall(wordpiece.new, { name = "a/vocab.txt",
      ids = { ["[UNK]"] = 0, [long] = 1 } })
    assert.is_false(ok)
    assert.equal("a/vocab.txt" .. message, tostring(err))
    ok, err = pcall(require("fsam.text.unigram").new, { name = "a/spiece.model", unk_id = 0,
      pieces = { { text = "<unk>", score = 0, kind = "normal" },
        { text = long, score = -1, kind = "normal" } } })
    assert.is_false(ok)
    assert.equal("a/spiece.model" .. message, tostring(err))
  end)

  it("takes the longest piece that fits, again and again", function()
    assert.are.same({ 3 }, ids_of("abc"))
    assert.are.same({ 3, 5 }, ids_of("abccd"))
    assert.are.same({ 2, 9, 4, 12, 12 }, ids_of("ab\195\169c ##"))
    assert.are.same({}, ids_of(""))
  end)

  it("takes a word for unknown as a whole", function()
    assert.are.same({ 0, 3 }, ids_of("abcx abc"))
    assert.are.same({ 0 }, ids_of("x"))
    assert.are.same({ 0 }, ids_of("a" .. "\195\168")) -- no piece ends within a character
    assert.are.same({ 0 }, ids_of("\195\168"))
  end)

  it("counts the characters of a word, not its bytes", function()
    assert.are.same({ 8, 9, 9 }, ids_of("\195\169\195\169\195\169", { max_characters = 3 }))
    assert.are.same({ 0 }, ids_of("\195\169\195\169\195\169c", { max_characters = 3 }))
    assert.are.same({ 0 }, ids_of("abc", { max_characters = 2 }))
  end)

  it("has pieces within a word by any prefix", function()
    assert.are.same({ 2, 1 }, ids_of("aba", { prefix = "" }))
    assert.are.same({ 0 }, ids_of("aba", { prefix = "%%" }))
  end)

  it("splits by another function", function()
    assert.are.same({ 0, 3 }, ids_of("a-c", { split = function()
      return { "a-c", "abc" }
    end }))
  end)

  it("raises one line when pieces have too many bytes", function()
    local ok, message = pcall(ids_of, "a", { ids = { ["[UNK]"] = 0, [("x"):rep(2 ^ 24)] = 1 } })
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find("pieces have 16777221 bytes, expected fewer than", 1,
      true))
  end)
end)
