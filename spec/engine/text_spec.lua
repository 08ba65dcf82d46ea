--- The C side of text: categories, lower case, normal forms, regular expressions, unigram, BERT's
-- normalisation and words, WordPiece.

local C = require("fsam.C")

local ffi = C.ffi

local function normalize(text, form, capacity)
  local size, out = ffi.new("int64_t[1]"), ffi.new("uint8_t[?]", 256)
  local rc = C.lib.fsam_unicode_normalize(out, size, capacity or 256, text, #text, form)
  return rc, tonumber(size[0]), ffi.string(out, math.min(256, tonumber(size[0])))
end

local function regex(pattern)
  local out = ffi.new("fsam_regex *[1]")
  C.check(C.lib.fsam_regex_new(out, pattern))
  return ffi.gc(out[0], C.lib.fsam_regex_free)
end

local function matches(pattern, text, capacity)
  local count, bounds = ffi.new("int64_t[1]"), ffi.new("int64_t[?]", 2 * #text + 4)
  local compiled = regex(pattern)
  local rc = C.lib.fsam_regex_find_all(compiled, count, bounds, capacity or #text + 1, text, #text)
  local found = {}
  for i = 0, rc == 0 and tonumber(count[0]) - 1 or -1 do
    found[i + 1] = text:sub(tonumber(bounds[2 * i]) + 1, tonumber(bounds[2 * i + 1]))
  end
  return found, rc
end

describe("unicode", function()
  it("knows categories and lower case", function()
    for code, category in pairs({ [0x41] = "Lu", [0x301] = "Mn", [0x20] = "Zs", [0x378] = "Cn",
      [0xE000] = "Co", [0x10FFFF] = "Cn", [0x110000] = "Cn", [-1] = "Cn" }) do
      assert.are.equal(category, ffi.string(C.lib.fsam_unicode_category(code)))
    end
    assert.are.equal(0xE9, C.lib.fsam_unicode_lower(0xC9))
    assert.are.equal(0x3C3, C.lib.fsam_unicode_lower(0x3A3))
    assert.are.equal(0x31, C.lib.fsam_unicode_lower(0x31))
  end)

  it("gives the four normal forms", function()
    local _, _, nfd = normalize("é한ﬁ", 0)
    assert.are.equal("e\204\129\225\132\146\225\133\161\225\134\171ﬁ", nfd)
    assert.are.equal("é한ﬁ", select(3, normalize(nfd, 1)))
    assert.are.equal("e\204\129fi", select(3, normalize("éﬁ", 2)))
    assert.are.equal("éfi", select(3, normalize("éﬁ", 3)))
    assert.are.equal("", select(3, normalize("", 0)))
    assert.are.equal("a\0b", select(3, normalize("a\0b", 0)))
  end)

  it("writes nothing when the result does not fit", function()
    local rc, size, out = normalize("éé", 0, 5)
    assert.are.equal(0, rc)
    assert.are.equal(6, size)
    assert.are.equal(("\0"):rep(6), out)
  end)

  it("refuses bytes that are not UTF-8, and unknown forms", function()
    assert.are.equal(C.lib.FSAM_EINVAL, (normalize("a\255", 0)))
    assert.is_truthy(ffi.string(C.lib.fsam_error()):find("unicode_normalize: ", 1, true))
    assert.are.equal(C.lib.FSAM_EINVAL, (normalize("a", 4)))
    assert.are.equal("unicode_normalize: form is 4, expected 0 … 3",
      ffi.string(C.lib.fsam_error()))
  end)
end)

describe("regex", function()
  it("finds all matches, with Unicode classes", function()
    assert.are.same({ "naïve", "Ωmega", "中" }, (matches("\\p{L}+", "naïve 1 Ωmega, 中")))
    assert.are.same({}, (matches("x", "abc")))
    assert.are.same({}, (matches("x", "")))
  end)

  it("steps over empty matches by whole characters", function()
    assert.are.same({ "", "", "" }, (matches("", "é中")))
    assert.are.same({ "aa", "", "" }, (matches("a*", "aaé")))
  end)

  it("takes long texts", function()
    assert.are.equal(2, #matches("\\s+(?!\\S)|\\s+", (" "):rep(200000) .. "x"))
    assert.are.equal(1, #matches("(?:a|b)+", ("ab"):rep(50000)))
  end)

  it("reports bad patterns, bad text and too little room", function()
    local out = ffi.new("fsam_regex *[1]")
    assert.are.equal(C.lib.FSAM_EINVAL, C.lib.fsam_regex_new(out, "a("))
    assert.are.equal("regex_new: missing closing parenthesis, at byte 2 of the pattern",
      ffi.string(C.lib.fsam_error()))
    local _, rc = matches("a", "a\255")
    assert.are.equal(C.lib.FSAM_EINVAL, rc)
    assert.is_truthy(ffi.string(C.lib.fsam_error()):find("regex_find_all: UTF-8 error", 1, true))
    _, rc = matches("a", "aaa", 2)
    assert.are.equal(C.lib.FSAM_EINVAL, rc)
    assert.are.equal("regex_find_all: more than 2 matches", ffi.string(C.lib.fsam_error()))
  end)
end)

describe("unigram", function()
  -- Pieces a, b, ab of these scores; ids 5, 6, 7; unknown is 9.
  local function encode(scores, text, capacity, ends)
    local pieces = ffi.new("fsam_pieces", { bytes = ffi.cast("const uint8_t *", "abab"),
      ends = ffi.new("int64_t[3]", ends or { 1, 2, 4 }), scores = ffi.new("double[3]", scores),
      ids = ffi.new("int32_t[3]", { 5, 6, 7 }), whole = ffi.new("uint8_t[3]"), count = 3,
      unknown = -20, unknown_id = 9 })
    local out, count = ffi.new("fsam_unigram *[1]"), ffi.new("int64_t[1]")
    local ids = ffi.new("int32_t[?]", #text + 1)
    local rc = C.lib.fsam_unigram_new(out, pieces)
    if rc == 0 then
      rc = C.lib.fsam_unigram_encode(out[0], ids, count, capacity or #text, text, #text, 0)
      C.lib.fsam_unigram_free(out[0])
    end
    local found = {}
    for i = 1, tonumber(count[0]) do
      found[i] = ids[i - 1]
    end
    return rc == 0 and found or ffi.string(C.lib.fsam_error())
  end

  it("takes the split of the largest sum, and one id for unknown neighbours", function()
    assert.are.same({ 7, 5 }, encode({ -1, -1, -1.5 }, "aba"))
    assert.are.same({ 5, 6, 5 }, encode({ -1, -1, -2.5 }, "aba"))
    assert.are.same({ 7 }, encode({ -1, -1, -2 }, "ab")) -- of equal sums, the longest last piece
    assert.are.same({ 9, 6, 9 }, encode({ -1, -1, -2 }, "xé中bx\255\226"))
    assert.are.same({}, encode({ -1, -1, -2 }, ""))
  end)

  it("reports too little room and pieces out of order", function()
    assert.are.equal("unigram_encode: a text of 3 bytes with room for 2 ids",
      encode({ 0, 0, 0 }, "aba", 2))
    assert.are.equal("unigram_new: piece 1 ends before it begins",
      encode({ 0, 0, 0 }, "a", nil, { 2, 1, 4 }))
  end)
end)

describe("BERT's rules", function()
  local classes = ffi.new("uint8_t[?]", 0x110000)
  classes[0x20], classes[0x21] = C.lib.FSAM_CLASS_SPACE, C.lib.FSAM_CLASS_PUNCTUATION
  classes[0x301], classes[0x4E2D] = C.lib.FSAM_CLASS_MARK, C.lib.FSAM_CLASS_CHINESE
  classes[0xFFFD], classes[0xC9] = C.lib.FSAM_CLASS_DROPPED, C.lib.FSAM_CLASS_INERT
  local lower = ffi.new("int32_t[4]", { 0xC8, 0x78, 0x4E2D, 0x79 })

  local function by_rules(text, capacity, flags)
    local rules = ffi.new("fsam_bert", { classes = classes, lower = lower, lower_count = 2,
      clean_text = 1, chinese = 1, strip_accents = 1, lowercase = 1 })
    for name, value in pairs(flags or {}) do
      rules[name] = value
    end
    local size, out = ffi.new("int64_t[1]"), ffi.new("uint8_t[?]", 256)
    local rc = C.lib.fsam_bert_normalize(out, size, capacity or 256, text, #text, rules)
    return rc == 0 and ffi.string(out, size[0]) or ffi.string(C.lib.fsam_error()),
      tonumber(size[0])
  end

  it("are those of the classes and of the pairs", function()
    assert.are.equal("ab \195\169jx y ", (by_rules("A\255B \195\137J\195\136\228\184\173", nil,
      { strip_accents = 0 })))
    assert.are.equal("e\204\128a\195\169", (by_rules("\195\136\195\129\195\137")))
    assert.are.equal("\228\184\173\195\129\239\191\189", (by_rules("\228\184\173\195\129\255", nil,
      { clean_text = 0, chinese = 0, strip_accents = 0, lowercase = 0 })))
  end)

  it("report the size of what does not fit, and write within the room", function()
    local text, size = by_rules("\228\184\173", 3)
    assert.are.equal(3, size) -- a space, y, a space
    assert.are.equal(" y ", text)
    for room = 0, 9 do
      text, size = by_rules("ab\195\137\195\137", room, { lowercase = 0 })
      assert.are.equal(6, size)
      assert.are.equal(0, #text:sub(room + 1):gsub("%z", ""))
    end
    assert.are.equal("bert_normalize: a text of 1 bytes with room for -1", (by_rules("a", -1)))
  end)

  it("part words", function()
    local bounds, count = ffi.new("int64_t[18]"), ffi.new("int64_t[1]")
    local text = " \195\169a!! b\255"
    assert.are.equal(0, C.lib.fsam_bert_words(bounds, count, 9, text, #text, classes))
    local found = {}
    for i = 0, 2 * tonumber(count[0]) - 1 do
      found[i + 1] = tonumber(bounds[i])
    end
    assert.are.same({ 1, 4, 4, 5, 5, 6, 7, 9 }, found)
    assert.are.equal(C.lib.FSAM_EINVAL, C.lib.fsam_bert_words(bounds, count, 8, text, #text,
      classes))
    assert.are.equal("bert_words: a text of 9 bytes with room for 8 words",
      ffi.string(C.lib.fsam_error()))
  end)

  local function encode(text, with_classes, capacity, ends)
    local pieces = ffi.new("fsam_word_pieces", { bytes = ffi.cast("const uint8_t *", "ab##b##bb!"),
      ends = ffi.new("int64_t[5]", ends or { 1, 2, 5, 9, 10 }),
      ids = ffi.new("int32_t[5]", { 5, 6, 7, 8, 9 }), count = 5,
      prefix = ffi.cast("const uint8_t *", "##"), prefix_bytes = 2, max_characters = 4,
      unknown_id = 3 })
    local out, count = ffi.new("fsam_wordpiece *[1]"), ffi.new("int64_t[1]")
    local ids = ffi.new("int32_t[?]", #text + 1)
    local rc = C.lib.fsam_wordpiece_new(out, pieces)
    if rc == 0 then
      rc = C.lib.fsam_wordpiece_encode(out[0], ids, count, capacity or #text, text, #text,
        with_classes and classes or nil)
      C.lib.fsam_wordpiece_free(out[0])
    end
    local found = {}
    for i = 1, tonumber(count[0]) do
      found[i] = ids[i - 1]
    end
    return rc == 0 and found or ffi.string(C.lib.fsam_error())
  end

  it("lead to the longest pieces of each word, and of a whole text", function()
    assert.are.same({ 5, 8, 7, 9, 3, 6 }, encode("abbb! aa b", true))
    assert.are.same({ 3, 5 }, encode("abbbb a", true)) -- five characters are too many
    assert.are.same({ 5, 8 }, encode("abb", false))
    assert.are.same({ 3 }, encode("a b", false))
    assert.are.same({}, encode("", false))
    assert.are.same({}, encode("", true))
  end)

  it("report too little room and pieces out of order", function()
    assert.are.equal("wordpiece_encode: a text of 2 bytes with room for 1 ids",
      encode("ab", true, 1))
    assert.are.equal("wordpiece_new: piece 1 ends before it begins",
      encode("a", true, nil, { 2, 1, 5, 9, 10 }))
  end)
end)
