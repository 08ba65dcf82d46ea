--- Remembering the ids of words: what is computed again, and what is not.

local word_cache = require("fsam.text.word_cache")

describe("a cache of words", function()
  local calls, cache
  before_each(function()
    calls = 0
    cache = word_cache.new(function(word)
      calls = calls + 1
      return { #word, 7 }
    end)
  end)

  it("computes a word's ids once", function()
    assert.same({ 3, 7 }, cache:get("key"))
    assert.same({ 3, 7 }, cache:get("key"))
    assert.equal(1, calls)
  end)

  it("does not keep long words", function()
    local long = ("x"):rep(65)
    assert.same({ 65, 7 }, cache:get(long))
    assert.same({ 65, 7 }, cache:get(long))
    assert.equal(2, calls)
  end)

  it("starts anew when it is full", function()
    for i = 1, 100001 do
      cache:get(tostring(i))
    end
    assert.equal(1, cache.count)
    cache:get("1")
    assert.equal(100002, calls)
  end)
end)
