-- The interactive session: through a pipe for what it says, on a terminal of its own (made by
-- util-linux's `script`) for what keys do.
local helper = require("spec.helper")

--- Runs the REPL on lines from a pipe; returns what it printed and what it complained.
local function session(...)
  local input = table.concat({ ... }, "\n") .. "\n"
  local code, out, err = helper.fsam_lua({ "-i", input = input })
  assert.equal(0, code)
  return out, err
end

describe("the REPL", function()
  it("prints the values of expressions, with and without =", function()
    assert.equal("2\n3\n1\tnil\t2\n", (session("1 + 1", "=1 + 2", "1, nil, 2")))
  end)

  it("prints nothing for statements and for calls without a value", function()
    assert.equal("hello\n", (session("x = 1", "print('hello')", "", "-- a remark")))
  end)

  it("keeps globals, and the last result in _", function()
    assert.equal("42\n43\n", (session("x = 42", "x", "_ + 1")))
  end)

  it("hides no global of the user's", function()
    assert.equal("7\n8\n", (session("pass, identity = 7, 8", "pass", "= identity")))
  end)

  it("knows the library as fsam", function()
    assert.equal("true\n", (session("fsam == require('fsam')")))
  end)

  it("reads on until a chunk is complete", function()
    local out, err = session("function double(a)", "  return 2 * a", "end", "double(", "21)",
      "s = [[", "two", "lines]]", "#s")
    assert.equal("42\n9\n", out)
    assert.equal("", err)
  end)

  it("survives errors of every kind", function()
    local out, err = session("error('one')", "x = = 1", "nil .. 'a'", "error({})", "error()",
      "require('fsam.errors').raise('for people')", "'alive'")
    assert.equal("alive\n", out)
    assert.truthy(err:find("stdin:1: one\n", 1, true))
    assert.truthy(err:find("unexpected symbol near '='", 1, true))
    assert.truthy(err:find("attempt to concatenate a nil value", 1, true))
    assert.truthy(err:find("\nfor people\n", 1, true))
  end)

  it("shows a traceback only where it says more than the message", function()
    local _, err = session("error('here')")
    assert.equal("stdin:1: here\n", err)
    _, err = session("function f() error('deep') end", "f()")
    assert.truthy(err:match("^stdin:1: deep\nstack traceback:\n.*in function 'f'"))
    assert.falsy(err:match("repl%.lua") or err:match("host%.lua"))
  end)

  it("says that a local ends with its line, and only then", function()
    local _, err = session("local x = 1")
    assert.truthy(err:find("(local x ends with its line", 1, true))
    _, err = session("local x = 1; print(x)")
    assert.equal("", err)
  end)

  it("survives a value that cannot be printed", function()
    for text, shown in pairs({
      ["function() error('no') end"] = "fails: stdin:1: no",
      ["function() error({}) end"] = false, -- what is raised on purpose is an error
      ["function() return nil end"] = "returned a nil value",
      ["function() return 5 end"] = "returned a number value",
      ["5"] = "fails: attempt to call a number value",
    }) do
      for _, name in ipairs({ "__tostring", "__show" }) do
        local out, err = session(("setmetatable({}, { %s = %s })"):format(name, text), "1")
        assert.equal((shown and "{ … its own __tostring " .. shown .. " }\n" or "") .. "1\n", out)
        assert.equal(shown and "" or "(the error is a table value)", err:match("^[^\n]*"))
      end
    end
  end)

  it("and the library keep their names, whatever the user calls his variables", function()
    local names = {}
    for _, name in ipairs({ "_G", "assert", "error", "getmetatable", "io", "ipairs", "math", "next",
      "os", "pairs", "pcall", "print", "rawget", "select", "setmetatable", "string", "table",
      "tonumber", "tostring", "type", "unpack", "xpcall" }) do
      names[#names + 1] = name .. " = 'mine'"
    end
    local out, err = session(table.concat(names, " "), "type", "1, { 2.5, a = 'b' }",
      "fsam.sam.names()[1]", "specs = {{ name = 'x', shape = { 2 }, kind = 'bias' }}",
      "P = fsam.params.new(fsam.device.open('cpu'), specs)", "P.w:norm()", "fsam.load('nosuch')",
      "help(fsam.load)")
    assert.equal("mine\n1\t{ 2.5, a = \"b\" }\naesam\n0\n", out:match("^.-\n0\n"))
    assert.truthy(out:find("Loads a checkpoint", 1, true), out)
    assert.matches("^nosuch does not exist[^\n]*\n$", err)
    out, err = session("setmetatable(_G, { __newindex = error, __index = error })", "5", "5")
    assert.matches("\n5\n5\n$", out)
    assert.equal("", err)
  end)

  it("says of any error what it can", function()
    local object = "error(setmetatable({}, { __tostring = function() %s end }))"
    for source, said in pairs({
      ["error({})"] = "(the error is a table value)", ["error(true)"] = "(the error is a boolean",
      ["error(1LL)"] = "1LL", ["error(12)"] = "stdin:1: 12",
      [object:format("return 5")] = "__tostring fails: it returned a number value",
      [object:format("return nil")] = "__tostring fails: it returned a nil value",
      [object:format("error('no')")] = "__tostring fails: stdin:1: no",
      [object:format("return 'mine'")] = "mine",
    }) do
      local out, err = session(source, "1")
      assert.equal("1\n", out)
      assert.truthy(err:find(said, 1, true), err)
      assert.is_nil(err:find("repl.lua", 1, true), err)
    end
  end)

  it("says that the input ended within a chunk, which was not run", function()
    for source, said in pairs({ ["function f()"] = "'end' expected", ["x = [[abc"] = "long string",
      ["print('a') if true then"] = "'end' expected" }) do
      local out, err = session("1", source)
      assert.equal("1\n", out)
      assert.truthy(err:find(said, 1, true), err)
      assert.truthy(err:find("the input ends here, and this was not run", 1, true), err)
    end
  end)

  it("is left by exit and quit as words and as calls, unless these are variables", function()
    for _, word in ipairs({ "exit", "quit", "exit()", " quit ( ) ;" }) do
      assert.equal("1\n", (session("1", word, "2")), word)
    end
    assert.equal("3\n4\n", (session("exit = 3", "exit", "function quit() return 4 end", "quit()")))
  end)

  it("helps: with itself, functions, parts, models, vectors and names that are none", function()
    local out, err = session("help()", "?", "?fsam.sam.define", " ? fsam.load ", "help(fsam.sam)",
      "specs = {{ name = 'x', shape = { 2 }, kind = 'bias' }}",
      "P = fsam.params.new(fsam.device.open('cpu'), specs)",
      "?P.w", "?P", "?P.sync", "?nosuch", "?1 +", "?print")
    for _, text in ipairs({ "help(x) or ?x", "Defines a sam-type, and with it",
      "Loads a checkpoint.", "Sam-types by name.", "The vector language: arithmetic",
      "A model's parameters as one vector.",
      "c ← round(w) for every parameter", "nil: there is nothing of this name",
      "a function without a comment" }) do
      assert.truthy(out:find(text, 1, true), text)
    end
    assert.truthy(err:find("unexpected symbol near ')'", 1, true), err)
  end)

  it("leaves a help of the user's alone", function()
    local _, out = helper.fsam_lua({ "-e", "help = 7", "-i", input = "help\n" })
    assert.equal("7\n", out)
  end)

  -- Slow for the sanitized build, which cannot run in so little memory.
  it("survives what takes all memory and what calls itself without end #slow", function()
    for source, said in pairs({
      ["t = {} for i = 1, 1e9 do t[i] = { i } end"] = "not enough memory (ulimit -v",
      ["s = ('x'):rep(1e8) while true do s = s .. s end"] = "not enough memory (ulimit -v",
      ["function f() return 1 + f() end f()"] = "stack overflow",
      ["x = setmetatable({}, { __index = function(t, k) return t[k] end }).x"] = "stack overflow",
      ["error(setmetatable({}, { __tostring = function(t) error(t) end }))"] = "__tostring fails",
    }) do
      local code, out, err = helper.shell(("ulimit -v 600000; %s -i"):format(
        helper.quote(helper.build_dir() .. "/fsam-lua")), source .. "\n41471 + 41472\n")
      assert.equal(0, code)
      assert.equal("82943\n", out)
      assert.truthy(err:find(said, 1, true), err)
    end
  end)

  it("bounds what it reads of input that is no session", function()
    for _, byte in ipairs({ "a", "\0" }) do
      local code, out, err = helper.fsam_lua({ "-i", input = byte:rep(2 ^ 20 + 9) })
      assert.equal(1, code)
      assert.equal("", out)
      assert.equal("fsam-lua: a line of more than 1 MB is no line of Lua; is it the right input?\n",
        err)
    end
    local _, out, err = helper.fsam_lua({ "-i",
      input = "x = [[\n" .. ("a"):rep(2 ^ 18) .. "\n1 + 1\n" })
    assert.equal("2\n", out)
    assert.equal("no end after 2 lines; put a long chunk into a file\n", err)
  end)

  it("is refused where a launcher started several processes", function()
    for _, words in ipairs({ { "-i" }, { "-" }, {} }) do
      words.env = "RANK=0 WORLD_SIZE=2 LOCAL_RANK=0"
      words.input = "1 + 1\n"
      local code, out, err = helper.fsam_lua(words)
      assert.equal("fsam-lua: torchrun started 2 processes, and standard input is for one: start "
        .. "the REPL alone, or name a script\n", err)
      assert.equal("", out)
      assert.equal(2, code)
    end
  end)

  it("ends at the end of input, at exit and at quit", function()
    assert.equal("1\n", (session("1", "exit", "2")))
    assert.equal("1\n", (session("1", "quit", "2")))
  end)

  it("is entered after a script with -i", function()
    local folder = helper.temp_dir()
    local path = helper.write_file(folder .. "/a.lua", "y = 5")
    local _, out = helper.fsam_lua({ "-i", path, input = "y\n" })
    helper.remove_dir(folder)
    assert.equal("5\n", out)
  end)
end)

describe("the REPL on a terminal", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  --- Types `steps` = {{keys, text that must then appear}…}. Returns all that the terminal showed,
  -- and the history file. The shell around the program gets its Ctrl-C too, and must survive it.
  local function type_keys(steps)
    if helper.shell("command -v script") ~= 0 then
      pending("no `script` (util-linux) to make a terminal")
    end
    local typed = {}
    for _, step in ipairs(steps) do
      typed[#typed + 1] = ("printf '%%s' %s; await %s"):format(helper.quote(step[1]),
        helper.quote(step[2]))
    end
    local code = helper.shell(([[
      cd %s; export XDG_STATE_HOME="$PWD" HOME="$PWD" TERM=xterm; touch out
      await() {
        n=0
        while ! grep -qF -- "$1" out; do
          sleep 0.02
          n=$((n + 1))
          if [ $n -gt 1000 ]; then echo "waited in vain for: $1" >>late; break; fi
        done
      }
      { await "Ctrl-D"; %s; # Ctrl-D is lost where the terminal changes from cooked to raw
        n=0
        until grep -qF end-of-session out; do
          printf '\004'; sleep 0.1; n=$((n + 1))
          if [ $n -gt 300 ]; then echo "the session did not end" >>late; break; fi
        done; } |
        script -qec "trap : INT; stty cols 80 rows 24; '%s/fsam-lua'; echo end-of-session" \
          /dev/null >out]]):format(folder, table.concat(typed, "; "), helper.build_dir()))
    assert.equal(0, code)
    assert.is_nil(helper.read_file(folder .. "/late"))
    return helper.read_file(folder .. "/out"), helper.read_file(folder .. "/fsam-lua/history")
  end

  it("edits, evaluates and remembers a multi-line chunk as one entry", function()
    local _, history = type_keys({
      { "function f(a)\r  return 2 * a\rend\r", ">> end" },
      { "f(20)\127\1271)\r", "42" }, -- backspace twice
    })
    assert.equal("function f(a) return 2 * a end\nf(21)\n", history)
  end)

  it("recalls the line before with the arrow key", function()
    local out = type_keys({ { "a = (a or 0) + 1\r", "+ 1" }, { "\27[A\r", "> " },
      { "'a is ' .. a\r", "a is 2" } })
    assert.truthy(out:find("a is 2", 1, true))
  end)

  it("completes names and fields with Tab, and shows the choices", function()
    local out = type_keys({
      { "t = { alpha_one = 11, alpha_two = 22 }\r", "22 }" },
      { "t.al\t\t", "alpha_one  alpha_two" },
      { "tw\t + 100\r", "122" },
    })
    assert.truthy(out:find("122", 1, true))
  end)

  it("takes pasted lines as typed, tabs included", function()
    local out = type_keys({
      { "\27[200~function g(n)\n\tlocal s = n\n\treturn s + 300\nend\ng(\27[201~", "> g(" },
      { "33)\r", "333" },
    })
    assert.truthy(out:find("333", 1, true))
  end)

  it("stops an endless loop at Ctrl-C and goes on", function()
    local out = type_keys({
      { "print('lo' .. 'op') while true do end\r", "loop" },
      { "\3", "interrupted" },
      { "'still ' .. 'here'\r", "still here" },
    })
    assert.truthy(out:find("still here", 1, true))
  end)

  it("ends at a Ctrl-D that was typed while a chunk ran", function()
    local out = type_keys({
      { "print('bu' .. 'sy') do local t = os.clock() while os.clock() < t + 0.3 do end end\r",
        "busy" },
      { "\4", "end-of-session" },
    })
    assert.truthy(out:find("busy", 1, true))
  end)

  it("gives a half-typed chunk up at Ctrl-C", function()
    local out = type_keys({
      { "for i = 1, 3 do\r", ">> " },
      { "print(\3", "> " },
      { "'fre' .. 'sh'\r", "fresh" },
    })
    assert.truthy(out:find("fresh", 1, true))
  end)
end)

describe("fsam.program.complete", function()
  local complete = require("fsam.program.complete").complete

  it("inserts what all candidates share", function()
    local addition, candidates = complete("x = string.re")
    assert.same({ "rep", "reverse" }, candidates)
    assert.equal("", addition)
    assert.equal("at", (complete("string.form")))
  end)

  it("takes no longer for a long line", function()
    local started = os.clock()
    assert.same({}, select(2, complete(("a"):rep(1e5) .. "(" .. ("b."):rep(1e5))))
    assert.is_true(os.clock() - started < 0.5)
  end)

  it("knows keywords and globals, but not inside fields", function()
    assert.equal("tion", (complete("func")))
    assert.same({}, select(2, complete("string.func")))
  end)

  it("knows modules before their first use", function()
    _G.fsam = require("fsam")
    local candidates = select(2, complete("fsam.data.t"))
    assert.same({ "tables", "task", "tasks", "text_file", "tsv" }, candidates)
    assert.equal("d", (complete("fsam.data.tsv.rea")))
  end)

  it("offers only functions after a colon, inherited ones too", function()
    local Base = { __index = { method = function() end, value = 1 } }
    _G.completed = setmetatable({ own = function() end, number = 2 }, Base)
    assert.same({ "method", "own" }, select(2, complete("completed:")))
    assert.same({ "method", "number", "own", "value" }, select(2, complete("completed.")))
    _G.completed = nil
  end)

  it("does not run a table's __index", function()
    _G.completed = setmetatable({}, { __index = function() error("ran") end })
    assert.same({}, select(2, complete("completed.field.")))
    _G.completed = nil
  end)

  it("completes paths inside quotes", function()
    local folder = helper.temp_dir()
    helper.write_file(folder .. "/model.safetensors", "")
    assert.equal(".safetensors", (complete('fsam.load "' .. folder .. "/model")))
    helper.remove_dir(folder)
  end)

  it("offers nothing in a folder that cannot be read", function()
    local file = require("fsam.base.file")
    local entries = file.entries
    finally(function()
      file.entries = entries
    end)
    function file.entries() -- root may read every folder
      error("Permission denied", 0)
    end
    assert.same({ "", {} }, { complete('fsam.load "/etc/s') })
  end)
end)
