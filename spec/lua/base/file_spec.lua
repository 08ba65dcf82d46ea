--- Paths. What files hold, and what fails, is in spec/engine/file_spec.lua.

local file = require("fsam.base.file")

describe("a path", function()
  it("loses slashes at its end, but the root stays", function()
    for path, expected in pairs({ ["a/b"] = "a/b", ["a/b/"] = "a/b", ["a//"] = "a", ["/"] = "/",
      ["//"] = "/", [""] = "" }) do
      assert.equal(expected, file.bare(path))
    end
  end)

  it("is in a folder", function()
    for path, expected in pairs({ ["a/b"] = "a", ["/a"] = "/", a = ".", ["./a/b"] = "./a" }) do
      assert.equal(expected, file.parent(path))
    end
  end)
end)
