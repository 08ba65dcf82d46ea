-- Ctrl-C as a flag, and the line editor's refusal where there is no terminal.
local C = require("fsam.C")
local helper = require("spec.helper")
local lib = C.lib

-- (io.popen, because os.execute makes the program deaf to SIGINT while the command runs.)
describe("fsam_interrupt_catch", function()
  after_each(function()
    lib.fsam_interrupt_catch(0)
  end)

  it("turns a Ctrl-C into a flag that reads as 1 once", function()
    lib.fsam_interrupt_catch(1)
    assert.equal(0, lib.fsam_interrupted())
    io.popen("kill -INT $PPID"):close()
    assert.equal(1, lib.fsam_interrupted())
    assert.equal(0, lib.fsam_interrupted())
  end)

  it("begins anew each time it is switched on", function()
    for _ = 1, 3 do
      lib.fsam_interrupt_catch(1)
      io.popen("kill -INT $PPID"):close()
      assert.equal(1, lib.fsam_interrupted())
      lib.fsam_interrupt_catch(0)
    end
  end)

  it("takes the signals that announce an end for a Ctrl-C, however often they come", function()
    for _, name in ipairs({ "TERM", "HUP", "PIPE", "USR1", "XCPU" }) do
      lib.fsam_interrupt_catch(1)
      for _ = 1, 2 do
        io.popen("kill -" .. name .. " $PPID"):close()
        assert.equal(1, lib.fsam_interrupted(), name)
      end
      assert.equal(0, lib.fsam_interrupted(), name)
      lib.fsam_interrupt_catch(0)
    end
  end)

  it("leaves a signal ignored that was ignored, and gives the others back", function()
    local chunk = [[
      local lib = require("fsam.C").lib
      lib.fsam_interrupt_catch(1)
      io.popen("kill -HUP $PPID"):close()
      io.write(lib.fsam_interrupted(), " ")
      lib.fsam_interrupt_catch(0)
      io.stdout:flush()
      io.popen("kill -HUP $PPID"):close()
      print("alive")
    ]]
    local program = helper.quote(helper.build_dir() .. "/fsam-lua") .. " -e " .. helper.quote(chunk)
    local code, out = helper.shell("trap '' HUP; exec " .. program)
    assert.equal(0, code)
    assert.equal("0 alive\n", out)
    code, out = helper.shell(program)
    assert.equal(130, code)
    assert.equal("1 ", out)
  end)

  it("lets the second Ctrl-C end the program", function()
    local code, out = helper.fsam_lua({ "-e", [[
      local lib = require("fsam.C").lib
      lib.fsam_interrupt_catch(1)
      io.popen("kill -INT $PPID"):close()
      io.write("once ") io.flush()
      io.popen("kill -INT $PPID"):close()
      print("twice")
    ]] })
    assert.equal(130, code)
    assert.equal("once ", out)
  end)

  it("gives Ctrl-C back to the program when it is switched off", function()
    local code, _, err = helper.fsam_lua({ "-e", [[
      local lib = require("fsam.C").lib
      lib.fsam_interrupt_catch(1)
      lib.fsam_interrupt_catch(0)
      io.popen("kill -INT $PPID"):close()
      print("not reached")
    ]] })
    assert.equal(130, code)
    assert.equal("fsam-lua: interrupted\n", err)
  end)

  -- A handler on the program's own stack overwrites what the matrix library's kernels keep there
  -- (interrupt.c). The shell sends signals as fast as it can while products run.
  it("disturbs no matrix product that it comes in", function()
    local code, out, err = helper.fsam_lua({ "-e", [[
local C, Tensor = require("fsam.C"), require("fsam.base.tensor")
local devices = require("fsam.base.device")
devices.threads(1)
local arena = devices.arena(devices.open("cpu"), "storm")
local function matrix(rows, columns)
  local values = {}
  for i = 1, rows * columns do
    values[i] = (i * 7919) % 101 / 101 - 0.5
  end
  return Tensor.new(arena, "f32", { rows, columns }, "m"):write(values)
end
local x, w, y = matrix(333, 256), matrix(128, 256), matrix(333, 128)
local function product()
  C.check(C.lib.fsam_linear_forward(y, x, w, nil))
  return C.ffi.string(y.data, 333 * 128 * 4)
end
local expected, ends, wrong = product(), C.lib.fsam_clock() + 1.5, 0
C.lib.fsam_interrupt_catch(1)
local storm = io.popen("p=$PPID; (while kill -USR1 $p; do :; done) 2>/dev/null & echo on")
storm:read()
while C.lib.fsam_clock() < ends do
  wrong = wrong + (product() == expected and 0 or 1)
end
print(wrong, C.lib.fsam_interrupted())
os.exit(0)
]] })
    assert.equal("0\t1\n", out, err)
    assert.equal(0, code)
  end)
end)

describe("the terminal", function()
  it("has no width where there is none", function()
    local _, out = helper.fsam_lua({ "-e", "print(require('fsam.C').lib.fsam_terminal_width(0))" })
    assert.equal("0\n", out)
  end)

  it("is needed for editing lines", function()
    local _, out = helper.fsam_lua({ "-e", [[
      local C = require("fsam.C")
      local out = C.ffi.new("fsam_line *[1]")
      print(C.lib.fsam_line_open(out) == C.lib.FSAM_ENODEV, C.ffi.string(C.lib.fsam_error()))
    ]] })
    assert.equal("true\tline editor: standard input is not a terminal\n", out)
  end)
end)
