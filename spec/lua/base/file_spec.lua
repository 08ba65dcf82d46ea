--- Paths. What files hold, and what fails, is in spec/engine/file_spec.lua.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local lfs = require("lfs")

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

  it("that cannot be seen is an error, not absent: no vocabulary is passed over", function()
    local folder = helper.temp_dir()
    finally(function()
      helper.remove_dir(folder)
    end)
    assert.is_nil(file.kind(folder .. "/none"))
    helper.write_file(folder .. "/plain", "")
    assert.equal("file", file.kind(folder .. "/plain"))
    assert.is_nil(file.kind(folder .. "/plain/inside"))
    -- A link to itself is neither there nor absent, also for the superuser.
    for _, name in ipairs({ "tokenizer.json", "config.json", "model.safetensors" }) do
      local path = folder .. "/" .. name
      assert(lfs.link(name, path, true))
      local ok, err = pcall(file.kind, path)
      assert.is_false(ok)
      assert.matches(path .. "': Too many levels of symbolic links", tostring(err), 1, true)
    end
    local ok, err = pcall(require("fsam.text").load, folder)
    assert.is_false(ok)
    assert.matches("Too many levels of symbolic links", tostring(err), 1, true)
  end)
end)
