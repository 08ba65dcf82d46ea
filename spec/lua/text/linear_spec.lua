--- Encoding is linear in its input: twice the text takes about twice the time, whatever it is made
-- of, for every normaliser and splitter. Time is the processor's; the least of two tries counts.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local small = require("spec.lua.text.tokenizers")
local text = require("fsam.text")
local unicode = require("fsam.text.unicode")

-- What a text is made of, over and over.
local UNITS = {
  letters = "x", spaces = " ", ["space and letter"] = " x", ["two marks"] = "\204\128\204\163",
  ["a mark and a newer one"] = "\240\158\163\144\204\128",
  ["many marks"] = "e\204\129\204\163\204\180",
  ["an inert mark between"] = "\224\163\138\204\128\204\163", Hangul = "\237\149\156",
  ["conjoining letters"] = "\225\132\146\225\133\161\225\134\171", Chinese = "\228\184\173",
  ["no UTF-8"] = "\255", ["cut sequences"] = "\240\159\152", ["open brackets"] = "[",
  ["almost a token"] = "[MASK", tokens = "[MASK] ", ["tokens that strip"] = " <mask>",
  quotes = "'", punctuation = "!?", digits = "1", controls = "\0\1", ["long s"] = "\196\176",
}

local BYTES = 16000 -- of the shorter text

--- Seconds of one call, the least of two. The collector rests: what it has to do depends on all
-- that other specs have left.
local function seconds(f)
  local least = math.huge
  collectgarbage("stop")
  for _ = 1, 2 do
    local start = os.clock()
    f()
    least = math.min(least, os.clock() - start)
  end
  collectgarbage("restart")
  return least
end

--- Four times as much takes not sixteen times as long but about four. The rest is what the clock
-- and the machine's other work may add.
local function check_linear(encode, unit, what)
  local short = unit:rep(math.ceil(BYTES / #unit))
  local long = short:rep(4)
  encode(short)
  local once, fourfold = seconds(function() encode(short) end), seconds(function() encode(long) end)
  assert.is_true(fourfold < 9 * once + 0.05,
    ("%s: %.3f s for %d bytes, %.3f s for four times as many"):format(what, once, #short, fourfold))
end

describe("encoding", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  --- The small tokenizer.json with these members changed.
  local function tokenizer_with(kind, members)
    local source = small.folder(kind)
    local data = json.decode(helper.read_file(source .. "/tokenizer.json"), kind, true)
    helper.remove_dir(source)
    for name, value in pairs(members) do
      data[name] = value
    end
    if members.model_limit then
      data.model.max_input_chars_per_word, data.model_limit = members.model_limit, nil
    end
    helper.write_file(folder .. "/tokenizer.json", json.encode(data))
    return text.load(folder)
  end

  local function sequence(...)
    local parts = {}
    for i, name in ipairs({ ... }) do
      parts[i] = { type = name }
    end
    return { type = "Sequence", normalizers = parts, pretokenizers = parts }
  end

  local KINDS = {
    { "BERT's", "wordpiece", {} },
    { "RoBERTa's", "bpe", {} },
    { "words without limit", "wordpiece", { model_limit = 2 ^ 30,
      normalizer = { type = "NFC" } } },
    { "Whitespace", "wordpiece", { pre_tokenizer = { type = "Whitespace" },
      normalizer = sequence("NFD", "Lowercase", "StripAccents") } },
    { "Punctuation", "wordpiece", { pre_tokenizer = sequence("WhitespaceSplit", "Punctuation"),
      normalizer = sequence("NFKC", "Lowercase") } },
    { "Strip", "wordpiece", { normalizer = { type = "Strip", strip_left = true,
      strip_right = true }, pre_tokenizer = json.null } },
    { "Replace", "wordpiece", { normalizer = { type = "Replace", pattern = { String = "xx" },
      content = "y" } } },
    { "one word of bytes", "bpe", { pre_tokenizer = { type = "ByteLevel", use_regex = false },
      normalizer = { type = "NFKD" } } },
  }

  for _, kind in ipairs(KINDS) do
    it("is linear with " .. kind[1] .. " #slow", function()
      local tokenizer = tokenizer_with(kind[2], kind[3])
      for name, unit in pairs(UNITS) do
        check_linear(function(sample) tokenizer:encode(sample) end, unit, name)
      end
    end)
  end

  -- The golden model under the name of its class's file, and as a tokenizer.json.
  for _, names in ipairs({ { "albert.model", "spiece.model" },
    { "albert.json", "tokenizer.json" } }) do
    it("is linear with ALBERT's " .. names[2] .. " #slow", function()
      helper.write_file(folder .. "/" .. names[2],
        helper.read_file(helper.root .. "/spec/golden/unigram/" .. names[1]))
      helper.write_file(folder .. "/config.json", '{ "model_type": "albert" }')
      local tokenizer = text.load(folder)
      for name, unit in pairs(UNITS) do
        check_linear(function(sample) tokenizer:encode(sample) end, unit, name)
      end
    end)
  end

  it("takes a word of a million letters, whatever the limit of a word", function()
    local tokenizer = tokenizer_with("wordpiece", { model_limit = 2 ^ 30 })
    local start = os.clock()
    local ids = tokenizer:encode(("the"):rep(333334))
    assert.is_true(#ids > 10000) -- its pieces, and not one unknown word
    assert.is_true(os.clock() - start < 10)
  end)

  it("orders a long run of marks as their classes say, stably", function()
    local function run(n)
      return "e" .. ("\204\129\204\163\204\180\204\128"):rep(n) .. "x\204\163\204\180"
    end
    for _, n in ipairs({ 1, 2, 50, 5000 }) do
      local expected = "e" .. ("\204\180"):rep(n) .. ("\204\163"):rep(n)
        .. ("\204\129\204\128"):rep(n) .. "x\204\180\204\163"
      assert.are.equal(expected, unicode.decompose(run(n)))
    end
  end)
end)
