--- The place of the largest value.
local argmax = require("fsam.base.argmax")

describe("argmax", function()
  it("is the first of the largest", function()
    assert.equal(2, argmax({ -1, 5, 3, 5 }))
    assert.equal(1, argmax({ -1, -1 }))
    assert.is_nil(argmax({}))
  end)

  it("is none where a value is not a finite number, wherever it stands", function()
    local nan, inf = 0 / 0, math.huge
    for _, list in ipairs({ { nan, 1 }, { 1, nan }, { 0, nan, 2 }, { nan, nan },
      { inf, 1 }, { 1, -inf }, { inf, inf } }) do
      assert.is_nil(argmax(list))
    end
  end)
end)
