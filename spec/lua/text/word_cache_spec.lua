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

  it("appends a word's ids, which it computes once", function()
    local list = { 1 }
    assert.equal(3, cache:append(list, 1, "key"))
    assert.equal(5, cache:append(list, 3, "key"))
    assert.same({ 1, 3, 7, 3, 7 }, list)
    assert.equal(1, calls)
  end)

  it("does not keep long words", function()
    local long = ("x"):rep(65)
    cache:append({}, 0, long)
    cache:append({}, 0, long)
    assert.equal(2, calls)
    assert.is_nil(cache.known[long])
  end)

  it("starts anew when it is full", function()
    for i = 1, 100001 do
      cache:append({}, 0, tostring(i))
    end
    assert.equal(1, cache.count)
    cache:append({}, 0, "1")
    assert.equal(100002, calls)
  end)
end)
