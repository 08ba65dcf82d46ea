-- The program itself: options, scripts, standard input, what errors look like, exit codes.
local helper = require("spec.helper")

describe("fsam-lua", function()
  local folder

  setup(function()
    folder = helper.temp_dir()
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  local function script(name, text)
    return helper.write_file(folder .. "/" .. name, text)
  end

  it("runs a script with its arguments in arg and in the varargs", function()
    local path = script("args.lua", "print(arg[0], arg[1], arg[2], arg[3], select('#', ...), ...)")
    local code, out = helper.fsam_lua({ path, "one", "-e", "" })
    assert.equal(0, code)
    assert.equal(path .. "\tone\t-e\t\t3\tone\t-e\t\n", out)
  end)

  it("puts its own options at negative indices", function()
    local path = script("negative.lua", "print(arg[-1], arg[-2], (arg[-3]:match('[^/]*$')))")
    local _, out = helper.fsam_lua({ "-e", "x = 1", path })
    assert.equal("x = 1\t-e\tfsam-lua\n", out)
  end)

  it("runs -e chunks in order, then the script, in one state", function()
    local path = script("order.lua", "print(x)")
    local code, out = helper.fsam_lua({ "-e", "x = 1", "-ex = x + 1", path })
    assert.equal(0, code)
    assert.equal("2\n", out)
  end)

  it("never compiles loops over pairs where LuaJIT breaks them", function()
    local path = script("walk.lua", [[
      local util = require("jit.util")
      local walk, of, start = pairs({})
      local plain = util.funcinfo(require("lfs").currentdir).ffid
      assert(jit.version ~= "LuaJIT 2.1.0-beta3" or util.funcinfo(walk).ffid == plain, "compiled")
      assert(walk == next and type(of) == "table" and start == nil and next({}) == nil)
      local sum, names = 0, {}
      for key, value in pairs({ 1, 2, nil, 4, a = 8, b = 16, [0.5] = 32 }) do
        sum, names[#names + 1] = sum + value, tostring(key)
      end
      table.sort(names)
      print(sum, table.concat(names, " "), select(2, pcall(next, {}, "x")))
      for _ in pairs(nil) do print("never") end
    ]])
    local code, out, err = helper.fsam_lua({ path })
    assert.equal(1, code)
    assert.equal("63\t0.5 1 2 4 a b\tinvalid key to 'next'\n", out)
    assert.matches("walk.lua:12: bad argument #1 to 'pairs' (table expected, got nil)", err, 1,
      true)
  end)

  it("knows the library as fsam in -e, and only there", function()
    local path = script("global.lua", "print(type(rawget(_G, 'fsam')))")
    local _, out = helper.fsam_lua({ "-e", "print(type(fsam), fsam == require('fsam'))" })
    assert.equal("table\ttrue\n", out)
    _, out = helper.fsam_lua({ path })
    assert.equal("nil\n", out)
  end)

  it("finds its modules whatever the current folder", function()
    local code, out = helper.shell("cd / && " .. helper.quote(helper.build_dir() .. "/fsam-lua")
      .. " -e 'print(require(\"fsam.errors\").raise ~= nil)'")
    assert.equal(0, code)
    assert.equal("true\n", out)
  end)

  it("finds its modules and the system's whatever LUA_PATH and LUA_CPATH leave out", function()
    for _, env in ipairs({ "LUA_PATH=", "LUA_CPATH=", "LUA_PATH='/x/?.lua' LUA_CPATH='/x/?.so'",
      "LUA_PATH='/x/?.lua;;'" }) do
      local code, out, err = helper.fsam_lua({ env = env, "-e", "type = 'mine' table = nil "
        .. "print(fsam.options.read({ '--x=3' }, { name = 'a', flags = { { name = 'x', type = "
        .. "'number' } } }).x)" })
      assert.same({ 0, "3\n", "" }, { code, out, err }, env)
    end
    local _, out = helper.fsam_lua({ env = "LUA_PATH='/x/?.lua'", "-e", "print(package.path)" })
    assert.matches("/x/%?%.lua;/", out) -- and the user's come first
  end)

  it("takes modules from FSAM_LUA_PATH, where ;; stands for its own", function()
    script("mine.lua", "return 'mine'")
    local env = "FSAM_LUA_PATH='" .. folder .. "/?.lua;;'"
    local code, out = helper.fsam_lua({ "-l", "fsam", "-e", "print(require('mine'))", env = env })
    assert.equal(0, code)
    assert.equal("mine\n", out)
  end)

  it("runs standard input when it is no terminal, and for -", function()
    local _, out = helper.fsam_lua({ input = "print('piped', ...)" })
    assert.equal("piped\n", out)
    _, out = helper.fsam_lua({ "-", "a", "b", input = "print(arg[0], ...)" })
    assert.equal("-\ta\tb\n", out)
  end)

  it("takes a script whose name begins with a dash after --", function()
    local path = script("-odd.lua", "print('odd')")
    local code, out = helper.shell(("cd %s && %s -- -odd.lua"):format(helper.quote(folder),
      helper.quote(helper.build_dir() .. "/fsam-lua")))
    assert.is_string(path)
    assert.equal(0, code)
    assert.equal("odd\n", out)
  end)

  it("prints version and help, and returns 0", function()
    local code, out = helper.fsam_lua({ "-v" })
    assert.equal(0, code)
    assert.truthy(out:match("^fsam%-lua %d+%.%d+%.%d+ %(LuaJIT 2"))
    code, out = helper.fsam_lua({ "--help" })
    assert.equal(0, code)
    assert.truthy(out:match("^usage: fsam%-lua"))
  end)

  it("controls the compiler with -j and -O as luajit does", function()
    local _, out = helper.fsam_lua({ "-joff", "-e", "print((jit.status()))" })
    assert.equal("false\n", out)
    local code = helper.fsam_lua({ "-O1", "-e", "" })
    assert.equal(0, code)
  end)

  it("passes on the code of os.exit", function()
    assert.equal(7, (helper.fsam_lua({ "-e", "os.exit(7)" })))
  end)

  describe("says in one line", function()
    it("what a script refused by an error of the library", function()
      local path = script("cola.lua", "require('fsam.errors').raise('--rho is %d', 2)")
      local code, out, err = helper.fsam_lua({ path })
      assert.equal(1, code)
      assert.equal("", out)
      assert.equal("cola.lua: --rho is 2\n", err)
    end)

    it("where a script called the library, but not of a command", function()
      local call = "local fsam = require('fsam')\n%s\nlocal function f()\n%s\nend\nlocal x = f()"
      local parse = "fsam.options.parse({ [0] = 'mine.lua' }, { name = 'mine', flags = {} })"
      for _, case in ipairs({
        { "", "local m = fsam.load('nosuch') return m", "mine%.lua:4: nosuch does not exist" },
        { "", "local t = fsam.data.tsv.read('nosuch', 1) return t", "mine%.lua:4: .*nosuch" },
        { "", "return coroutine.wrap(function() local m = fsam.load('nosuch') end)()",
          "mine%.lua:%d: nosuch does not exist" },
        { "", "fsam.errors.raise('my own words')", "mine%.lua: my own words\n" },
        { "", "fsam.sam.define('sam', {})", "[^ ]*mine%.lua:4: sam%.define" },
        { parse, "local m = fsam.load('nosuch') return m", "mine%.lua: nosuch does not exist" },
        { "fsam.options.parse({ '--x' }, { name = 'mine', flags = {} })", "",
          "mine%.lua: %-%-x is unknown" },
      }) do
        local path = script("mine.lua", call:format(case[1], case[2]))
        local code, _, err = helper.fsam_lua({ path })
        assert.equal(1, code)
        assert.matches("^[^ ]*" .. case[3], err)
        assert.is_nil(err:find("\n."), err)
      end
      local _, _, err = helper.fsam_lua({ "recipes/convert.lua", "nosuch", folder .. "/out" })
      assert.matches("^convert%.lua: nosuch", err)
    end)

    it("that a sam-type's option is a flag of every run", function()
      for name, flag in pairs({ seed = "--seed", batch_size = "--batch-size", save_dir =
          "--save-dir" }) do
        local path = script("mine.lua", ([[local fsam = require("fsam")
          fsam.sam.define("mine", { options = { rho = 1, %s = 0.5 },
            ascend = function(s) return s.g end })
          dofile("recipes/cola.lua")]]):format(name))
        local code, _, err = helper.fsam_lua({ path, "--sam-type", "mine" })
        assert.same({ 1, ("mine.lua: mine: its option %s would be %s, which every run has; choose "
          .. "another name\n"):format(name, flag) }, { code, err })
      end
    end)

    it("the same with a traceback under FSAM_TRACE=1", function()
      local path = script("cola.lua", "require('fsam.errors').raise('--rho is %d', 2)")
      local _, _, err = helper.fsam_lua({ path, env = "FSAM_TRACE=1" })
      assert.truthy(err:match("^cola%.lua: %-%-rho is 2\nstack traceback:\n.*cola%.lua:1:"))
    end)

    it("what is wrong with a missing script", function()
      local code, _, err = helper.fsam_lua({ "no/such.lua" })
      assert.equal(1, code)
      assert.equal("fsam-lua: no/such.lua: No such file or directory\n", err)
    end)

    it("what is wrong with a script's syntax", function()
      local path = script("bad.lua", "x = = 1")
      local code, _, err = helper.fsam_lua({ path })
      assert.equal(1, code)
      assert.truthy(err:match("^fsam%-lua: .*bad%.lua:1: unexpected symbol near '='\n$"))
    end)

    it("that an option is unknown or lacks its value", function()
      local code, _, err = helper.fsam_lua({ "--rho", "1" })
      assert.equal(2, code)
      assert.equal("fsam-lua: option --rho is unknown; fsam-lua -h lists the options\n", err)
      code, _, err = helper.fsam_lua({ "-e" })
      assert.equal(2, code)
      assert.equal("fsam-lua: option -e needs a value; fsam-lua -h lists the options\n", err)
    end)
  end)

  it("shows a fault of the program with its traceback, without frames of its own", function()
    local path = script("fault.lua", "local function f() return nil .. 'x' end\nprint(f())")
    local code, _, err = helper.fsam_lua({ path })
    assert.equal(1, code)
    assert.truthy(err:match("^fsam%-lua: .*fault%.lua:1: attempt to concatenate a nil value\n"))
    assert.truthy(err:match("stack traceback:"))
    assert.falsy(err:match("host%.lua"))
  end)

  -- Slow for the sanitized build, which cannot run in so little memory.
  it("says that memory or stack is used up, or that an error has no text #slow", function()
    local path = script("memory.lua", "local t = {} for i = 1, 1e9 do t[i] = { i } end")
    local code, _, err = helper.shell(("ulimit -v 600000; %s %s"):format(
      helper.quote(helper.build_dir() .. "/fsam-lua"), helper.quote(path)))
    assert.equal(1, code)
    assert.equal("fsam-lua: not enough memory (ulimit -v, or a value that grows without end?)\n",
      err)
    path = script("stack.lua", "local t = setmetatable({}, { __index = function(t, k)\n"
      .. "return t[k] end })\nprint(t.x)")
    code, _, err = helper.fsam_lua({ path })
    assert.equal(1, code)
    assert.matches("^[^\n]*stack overflow", err)
    path = script("textless.lua", "error(setmetatable({}, { __tostring = error }))")
    code, _, err = helper.fsam_lua({ path })
    assert.equal(1, code)
    assert.equal("textless.lua: an error whose own __tostring fails\n", err)
  end)

  it("goes on in the REPL when a chunk used up the memory #slow", function()
    local code, out, err = helper.shell(("ulimit -v 600000; printf %s | %s -i"):format(
      helper.quote("local t = {} for i = 1, 1e9 do t[i] = { i } end\nprint('alive')\n"),
      helper.quote(helper.build_dir() .. "/fsam-lua")))
    assert.equal(0, code)
    assert.equal("alive\n", out)
    assert.matches("^not enough memory %(", err)
  end)

  it("says that an expression may have used the stack up", function()
    local code, out, err = helper.fsam_lua({ script("deep.lua", [[local fsam = require("fsam")
      local specs = { { name = "a", shape = { 4 }, kind = "bias" } }
      local x = fsam.params.new(fsam.device.open("cpu"), specs).g
      for i = 1, 20000 do x = x * 2 + i end
      print(x:norm():read())]]) })
    assert.same({ 1, "" }, { code, out })
    assert.matches("deep.lua:5: stack overflow; functions that call each other without end, or one "
      .. "expression of thousands of terms?", err, 1, true)
  end)

  it("says when standard output takes no more, and is quiet when its reader has left", function()
    if not require("lfs").attributes("/dev/full") then
      pending("no /dev/full")
    end
    local path = script("full.lua", "for i = 1, 20000 do print(i) end os.exit(...)")
    local few = script("few.lua", "print(1)")
    for command, expected in pairs({
      [path .. " >/dev/full"] = 1, [few .. " >/dev/full"] = 1, ["-e 'print(1)' >/dev/full"] = 1,
      ["-h >/dev/full"] = 1, [few .. " >/dev/null"] = 0, [path .. " | head -n 1 >/dev/null"] = 0,
    }) do
      local code, _, err = helper.shell(helper.quote(helper.build_dir() .. "/fsam-lua") .. " "
        .. command)
      assert.same({ command, expected, expected }, { command, code,
        err:find("^fsam%-lua: cannot write standard output") and 1 or #err })
    end
  end)

  -- A data file that became descriptor 1 or 2 would take the screen's lines.
  it("keeps the screen out of files when the standard streams are closed", function()
    local path = script("closed.lua", [[
      local file = io.open(arg[1], "w")
      print("for the screen")
      io.stdout:flush()
      io.stderr:write("for the screen\n")
      file:write("mine", tostring(io.read()))
      file:close()
    ]])
    for _, closed in ipairs({ "<&- >&- 2>&-", "</dev/null >&-", "</dev/null 2>&-" }) do
      local code = helper.shell(("(exec %s %s %s %s)"):format(
        helper.quote(helper.build_dir() .. "/fsam-lua"), helper.quote(path),
        helper.quote(folder .. "/data"), closed))
      assert.equal(0, code, closed)
      assert.equal("minenil", helper.read_file(folder .. "/data"), closed)
    end
  end)

  it("is silent about error() without a value, and fails", function()
    local code, _, err = helper.fsam_lua({ "-e", "error()" })
    assert.equal(1, code)
    assert.equal("", err)
  end)

  it("stops an endless -e loop at Ctrl-C and returns 130", function()
    -- Without --foreground, timeout signals twice: the second one ends the program at once.
    local code, _, err = helper.shell("timeout --foreground --preserve-status -s INT 1.5 "
      .. helper.quote(helper.build_dir() .. "/fsam-lua") .. " -e 'while true do end'")
    assert.equal(130, code)
    assert.truthy(err:match("interrupted"))
  end)

  it("runs the recipes that came with it where the path does not exist, and says so", function()
    local recipe = helper.root .. "/recipes/cola.lua"
    if not helper.read_file(recipe) then
      pending("recipes/cola.lua is not there")
    end
    local code, out, err = helper.shell(("cd %s && %s recipes/cola.lua --help"):format(
      helper.quote(folder), helper.quote(helper.build_dir() .. "/fsam-lua")))
    assert.equal(0, code)
    assert.truthy(out:match("%-%-rho"))
    assert.truthy(err:match("^fsam%-lua: recipes/cola%.lua is not here; running /"))
  end)
end)
