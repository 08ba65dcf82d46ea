--- Errors for a person: the error object, and the nearest valid name.

local errors = require("fsam.errors")

describe("errors", function()
  it("raises one line that knows itself", function()
    local ok, err = pcall(errors.raise, "100%% of %d", 7)
    assert.is_false(ok)
    assert.are.equal("100% of 7", tostring(err))
    ok, err = pcall(errors.raise, "100% is plain")
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.are.equal("cola.lua: 100% is plain", "cola.lua: " .. err)
    assert.is_false(errors.is("text"))
  end)

  it("finds the nearest name", function()
    local names = { "sam", "esam", "gsam", "fisher-sam", "keep-ratio", "accuracy", "mcc" }
    assert.are.equal("fisher-sam", errors.nearest("fishersam", names))
    assert.are.equal("fisher-sam", errors.nearest("Fisher_Sam", names))
    assert.are.equal("keep-ratio", errors.nearest("kepe-ratio", names))
    assert.are.equal("accuracy", errors.nearest("acuracy", names))
    assert.is_nil(errors.nearest("zebra", names))
    assert.is_nil(errors.nearest("x", {}))
  end)

  it("suggests a name at the end of a sentence, where one is near", function()
    assert.are.equal("; did you mean mcc?", errors.suggestion("mc", { "accuracy", "mcc" }))
    assert.are.equal("", errors.suggestion("zebra", { "accuracy", "mcc" }))
    assert.are.equal("--x mc is unknown; did you mean mcc? (accuracy, mcc)",
      errors.unknown_text("--x", "mc", { "accuracy", "mcc" }))
  end)

  it("say in one printable line what a file or a command holds", function()
    for text, shown in pairs({
      ["caf\195\169 \226\128\166 \240\159\152\128"] = "caf\195\169 \226\128\166 \240\159\152\128",
      ["a\27[31mred\0\127"] = "a?[31mred??", ["a\r\n  b\nc"] = "a b c",
      ["x\255y\192\128z\195"] = "x?y?z?", ["\194\155m"] = "?m", ["\226\128\174evil"] = "?evil",
      ["\226\128\168two"] = "?two",
    }) do
      assert.are.equal(shown, tostring(errors.new(text)))
      local ok, err = pcall(errors.raise, "%s", text)
      assert.is_false(ok)
      assert.are.equal(shown, err.message)
    end
    local long = tostring(errors.new("begin " .. ("\195\169"):rep(5000) .. " end"))
    assert.is_true(#long <= 1200)
    assert.matches("^begin .* … .* end$", long)
  end)
end)
