-- The current folder: its modules are found for the user's code and never run for ours.
local helper = require("spec.helper")
local lfs = require("lfs")

describe("modules of the current folder", function()
  local folder

  setup(function()
    folder = helper.temp_dir()
    lfs.mkdir(folder .. "/jit")
    lfs.mkdir(folder .. "/fsam")
    for _, name in ipairs({ "lfs", "argparse", "dkjson", "ffi", "jit/v", "jit/util", "jit/vmdef",
      "fsam/nosuch", "fsam/errors", "mine" }) do
      helper.write_file(folder .. "/" .. name .. ".lua",
        ("io.stderr:write('ran %s\\n') return { start = print }"):format(name))
    end
    helper.write_file(folder .. "/broken.lua", "x = = 1")
    helper.write_file(folder .. "/lfs.so", "no library at all")
    helper.write_file(folder .. "/native.so", "no library at all")
    lfs.mkdir(folder .. "/empty")
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  -- Runs fsam-lua in the folder.
  local function here(words, env)
    for i, word in ipairs(words) do
      words[i] = helper.quote(word)
    end
    return helper.shell(("cd %s && %s %s %s"):format(helper.quote(folder), env or "",
      helper.quote(helper.build_dir() .. "/fsam-lua"), table.concat(words, " ")))
  end

  it("run for nothing that the program requires", function()
    for _, words in ipairs({
      { helper.root .. "/recipes/cola.lua", "--help" },
      { "-e", "pcall(fsam.load, 'empty')" },
      { "-e", "fsam.options.parse({}, { name = 'x', usage = '', summary = '', groups = {} })" },
      { "-jv", "-e", "fsam = nil" },
    }) do
      local _, _, err = here(words)
      assert.is_nil(err:find("ran ", 1, true), err)
      assert.is_nil(err:find("./", 1, true), err)
    end
  end)

  it("run for no module that the library wants and the system does not have", function()
    local wanted = helper.root .. "/lua/fsam/wants_mine.lua"
    local code, out, err = here({ "-e", ([[
      local wants = loadstring("print((pcall(require, 'mine'))) print((pcall(require, 'native')))",
        %q)
      wants()
      print((pcall(require, "fsam.nosuch")))
    ]]):format("@" .. wanted) })
    assert.equal(0, code, err)
    assert.equal("false\nfalse\nfalse\n", out)
    assert.equal("", err)
  end)

  it("are found by scripts, chunks and -l, behind those of the system", function()
    helper.write_file(folder .. "/script.lua", "require('mine') print(require('lfs').currentdir())")
    for _, words in ipairs({ { "script.lua" }, { "-l", "mine", "-e", "print(lfs)" },
      { "-e", "print(pcall(require, 'mine'))" } }) do
      local code, _, err = here(words)
      assert.equal(0, code, err)
      assert.equal("ran mine\n", err)
    end
    local code, out = here({ "-e", "print(require('elsewhere'))" },
      "LUA_PATH='empty/../?.lua;;' LUA_CPATH=';;'")
    assert.equal(1, code)
    assert.equal("", out)
    code = here({ "-e", "require('mine')" }, "LUA_PATH='empty/../?.lua'")
    assert.equal(0, code)
  end)

  it("are named when they cannot be loaded, as all places when none has the name", function()
    local code, _, err = here({ "-l", "broken" })
    assert.equal(1, code)
    assert.matches("^fsam%-lua: error loading module 'broken' from file './broken.lua':\n"
      .. "\t./broken.lua:1: unexpected symbol near '='\n", err)
    code, _, err = here({ "-l", "native" })
    assert.equal(1, code)
    assert.matches("^fsam%-lua: error loading module 'native' from file './native.so':\n", err)
    code, _, err = here({ "-l", "nosuch" })
    assert.equal(1, code)
    assert.matches("\n\tno file './nosuch.lua'\n\tno file './nosuch.so'\n", err)
  end)
end)
