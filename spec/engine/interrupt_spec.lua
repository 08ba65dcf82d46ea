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
    assert.equal("true\tline editor: standard input and output are not a terminal\n", out)
  end)
end)
