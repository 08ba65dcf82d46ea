--- The C side of text: categories, lower case, normal forms, regular expressions.

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
