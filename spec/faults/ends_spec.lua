--- How the program ends when something outside ends it: a signal while it loads or predicts, a
-- stack or a file's size that is used up, a crash. Each is one line, and a code that says so.
local C = require("fsam.C")
local helper = require("spec.helper")

local sanitized = select(2, helper.shell(("grep -c libasan %s/libfsam.so")
  :format(helper.quote(helper.build_dir())))) ~= "0\n"

local folder, model

setup(function()
  folder = helper.temp_dir()
  assert(helper.shell(("%s/fsam-lua spec/faults/small_run.lua --save-dir %s/model --max-update 1 "
    .. "--log-format none"):format(helper.quote(helper.build_dir()), folder)) == 0)
  model = ("fsam.load(%q)"):format(folder .. "/model/checkpoint_last")
end)

teardown(function()
  helper.remove_dir(folder)
end)

-- In a script: says that it has come so far.
local function ready()
  return ("io.open(%q, 'w'):close()"):format(folder .. "/ready")
end

-- Runs a command that says `ready`; a moment later it gets signals, 0.2 s apart.
local function signalled(command, ...)
  os.remove(folder .. "/ready")
  local kill = "kill -" .. table.concat({ ... }, " $pid; sleep 0.2; kill -") .. " $pid"
  return helper.shell(([[%s/fsam-lua %s & pid=$!
    for i in $(seq 300); do [ -e %s/ready ] && break; sleep 0.1; done
    sleep 0.1; %s; wait $pid]]):format(helper.quote(helper.build_dir()), command, folder, kill))
end

describe("a signal that announces an end", function()
  local WORK = {
    ["while it loads"] = "local fsam = require('fsam') %s while true do %s end",
    ["while it predicts"] = "local fsam = require('fsam') %s local m = %s "
      .. "while true do m:predict('a b') end",
  }
  local NAMES = { ["while it loads"] = { "TERM", "USR1" },
    ["while it predicts"] = { "TERM", "XCPU", "HUP" } }

  for when, script in pairs(WORK) do
    it("ends the program as Ctrl-C does " .. when, function()
      local path = helper.write_file(folder .. "/script.lua", script:format(ready(), model))
      for _, name in ipairs(NAMES[when]) do
        local code, _, err = signalled(path, name)
        assert.equal("script.lua: interrupted\n", err, name)
        assert.equal(130, code)
      end
    end)
  end

  it("ends also what never comes to its next step", function()
    local path = helper.write_file(folder .. "/script.lua", [[
      local ffi = require("ffi")
      ffi.cdef("int usleep(unsigned);")
      ]] .. ready() .. [[

      while true do ffi.C.usleep(1000) end]]) -- compiled: no step of Lua's
    assert.equal(128 + 15, (signalled(path, "TERM")))
  end)
end)

describe("Ctrl-C in a run whose sam-type never comes to an end", function()
  -- The run's first Ctrl-C asks for a save after the update, which never comes.
  it("ends it when it comes again, with the line", function()
    local path = helper.write_file(folder .. "/endless.lua", ([[
      local fsam = require("fsam")
      fsam.sam.define("endless", { ascend = function(s)
        %s
        while true do end
        return s.g
      end })
      dofile("%s/spec/faults/small_run.lua")]]):format(ready(), helper.root))
    local code, _, err = signalled(path .. " --sam-type endless --no-save --log-format none",
      "INT", "INT")
    assert.equal(130, code)
    assert.equal(path .. ":4: interrupted\n", err)
  end)
end)

describe("a program that another of ours waits for", function()
  it("ends with it, whatever ends that one", function()
    local program = helper.build_dir() .. "/fsam-lua"
    local pid = folder .. "/child.pid"
    helper.write_file(folder .. "/child.lua", ([[
      local file = io.open("/proc/self/stat")
      local out = io.open(%q, "w")
      out:write(file:read("*n"))
      out:close()
      while true do end]]):format(pid))
    local parent = helper.write_file(folder .. "/parent.lua",
      ("os.execute(%q)"):format(("FSAM_ENDS_WITH_PARENT=1 exec %s %s/child.lua"):format(program,
        folder)))
    for _, name in ipairs({ "KILL", "TERM" }) do
      os.remove(pid)
      local _, out = helper.shell(([[
        %s %s 2>/dev/null & parent=$!
        for i in $(seq 100); do [ -s %s ] && break; sleep 0.1; done
        child=$(cat %s); kill -%s $parent; wait $parent 2>/dev/null
        for i in $(seq 100); do kill -0 $child 2>/dev/null || break; sleep 0.1; done
        kill -9 $child 2>/dev/null && echo lives || echo gone]]):format(helper.quote(program),
        parent, pid, pid, name))
      assert.equal("gone\n", out, name)
    end
  end)
end)

describe("in one line the program says", function()
  it("that the stack is used up, where, and goes on at the prompt", function()
    local CASES = {
      "local function f() return 1 + f() end f()",
      "local f, g function f() return 1 + g() end function g() return 1 + f() end f()",
      "local t = setmetatable({}, { __index = function(t, k) return (t[k]) end }) print(t.x)",
      "local t = setmetatable({}, { __tostring = function(t) return '<' .. tostring(t) end }) "
        .. "print(tostring(t))",
      "local function f() return 1 + f() end xpcall(f, function(e) error(e, 0) end) f()",
      "local function f() table.sort({ 1, 2, 3 }, f) return false end f()",
      not sanitized and "local function f(s) return (s:gsub('.', f)) end f('x')" or nil,
    }
    local MESSAGE = ":2: stack overflow; the call in this line leads back to it without end\n"
    for _, case in ipairs(CASES) do
      local path = helper.write_file(folder .. "/endless.lua", "\n" .. case .. "\n")
      local code, _, err = helper.fsam_lua({ path })
      -- Where the machine code is in that uses the stack up, which varies, decides the words.
      err = err:gsub("this function calls itself", "the call in this line leads back to it")
      assert.equal(path .. MESSAGE, err, case)
      assert.equal(1, code)
      helper.write_file(folder .. "/input", case .. "\n1 + 1\n")
      local _, out, session = helper.shell(("%s/fsam-lua -i < %s/input"):format(
        helper.quote(helper.build_dir()), folder))
      assert.equal("2\n", out)
      assert.matches("^[^\n]*stack overflow[^\n]*\n$", session)
    end
  end)

  it("where the stack is used up outside of Lua's own", function()
    if sanitized then
      pending("the sanitizer says it")
      return
    end
    local path = helper.write_file(folder .. "/endless.lua",
      "local function f()\n  return 1 + coroutine.wrap(f)()\nend\nf()\n")
    local code, _, err = helper.shell(("ulimit -s 8192; %s/fsam-lua %s"):format(
      helper.quote(helper.build_dir()), path))
    assert.matches("endless%.lua:%d: the stack is used up; [^\n]*\n$", err)
    assert.equal(1, code)
  end)

  it("that it crashes", function()
    if sanitized then
      pending("the sanitizer says it")
      return
    end
    local code, _, err = helper.shell(helper.quote(helper.build_dir() .. "/fsam-lua")
      .. " -e 'require([[ffi]]).cast([[char *]], 4096)[0] = 1'")
    assert.matches("^fsam%-lua: crash %(segmentation fault%): [^\n]*\n", err)
    assert.equal(128 + 11, code)
  end)

  it("that a file may not be longer (ulimit -f), and a checkpoint goes on from there", function()
    local run = folder .. "/run"
    local command = ("%s/fsam-lua spec/faults/small_run.lua --save-dir %s --max-epoch 1 "
      .. "--threads 1 --log-format none"):format(helper.quote(helper.build_dir()), run)
    local code, _, err = helper.shell("ulimit -f 8; " .. command)
    assert.equal(("small_run.lua: cannot write %s/checkpoint_best.new/model.safetensors: "
      .. "File too large\n"):format(run), err)
    assert.equal(1, code)
    code, _, err = helper.shell(command)
    assert.equal("", err)
    assert.equal(0, code)
  end)
end)

describe("a message of the library", function()
  it("names paths whole, and ends with the reason however long they are", function()
    local out = C.ffi.new("fsam_file *[1]")
    for _, size in ipairs({ 500, 4000, 4095, 8990, 9000, 100000 }) do
      local path = "/" .. ("ab/"):rep(size / 3) .. "end"
      C.lib.fsam_file_map(out, path)
      local message = C.ffi.string(C.lib.fsam_error())
      assert.matches("^cannot open /ab/ab/", message)
      assert.matches("/ab/end: [%a ]+$", message)
      assert.equal(size < 8900, message:find(path, 1, true) ~= nil)
    end
  end)
end)
