--- The first lines of a run: which values neither the command nor a default made.

local flags = require("fsam.train.flags")
local header = require("fsam.report.header")
local options = require("fsam.options")

local SPEC = flags.spec({ name = "own.lua", task = "cola", profiles = {
  { label = "without --restore-file", when = function(typed) return not typed.restore_file end,
    values = { lr = 7e-4, power = 1, rho = { sam = 0.02 } } } } })

-- The lines behind machine, data and model.
local function more(...)
  local o = options.read({ ... }, SPEC)
  local run = { precision = "fp32", began_from = function() return o.restore_file or o.arch end }
  local lines = header.lines({ options = o, run = run,
    task = { name = "t", train = {}, dev = {} },
    model = { count = 1, config = { num_hidden_layers = 1, hidden_size = 1 } } })
  return { unpack(lines, 4) }
end

describe("the header", function()
  it("says what a profile or a choice set to other than the default", function()
    assert.same({ "options  rho 0.02, lr 0.0007 (without --restore-file)" },
      more("--sam-type", "sam"))
    assert.same({ "options  lr 0.0007 (without --restore-file)" }, more("--sam-type", "asam"))
    assert.same({ "options  head-init hf, pooler-dropout 0.1, no-decay bias,LayerNorm, adam-form "
      .. "torch (preset hf)" }, more("--preset", "hf", "--restore-file", "m"))
  end)

  it("says nothing where the command and the defaults made everything", function()
    assert.same({}, more("--restore-file", "m", "--rho", "0.3"))
  end)

  it("breaks its lines at 100 columns", function()
    local lines = more("--compat", "fsam4plm")
    assert.equal("         rho 0.02, lr 0.0007 (without --restore-file)", lines[#lines])
    assert.matches("(compat fsam4plm)", lines[#lines - 1], 1, true)
    assert.is_true(#lines > 3)
    for i, line in ipairs(lines) do
      assert.is_true(#line <= 100 and (i == 1 or line:find("^         %S") == 1), line)
    end
  end)
end)
