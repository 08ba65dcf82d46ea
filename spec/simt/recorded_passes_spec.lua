-- Whole training steps by the CUDA kernels, on the shim: passes that run from a recording leave the
-- bits of passes that run as they are, whatever differs between batches of one shape; and the loss
-- follows the CPU's.
local C = require("fsam.C")
local devices = require("fsam.device")
local simt = require("spec.simt.device")
local small = require("spec.lua.small_bert")

describe("passes on the shim", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  local programs = require("spec.simt.programs")
  local open, device = devices.open, nil

  setup(function()
    local out = C.ffi.new("fsam_device *[1]")
    simt.open(out)
    device = out[0]
  end)

  after_each(function()
    devices.open = open
  end)

  -- Builds the vector programs that these steps run.
  local function build(o, steps)
    programs.build(programs.record(function()
      small.run(o, steps)
    end))
  end

  -- Steps on the shim. Returns the bits of the weights, the losses, and the pass.
  local function run(o, steps, as_they_are)
    devices.open = function()
      return device
    end
    local model, step, _, pass = small.setup(o)
    pass.recordings.possible = not as_they_are and pass.recordings.possible
    local losses = {}
    for n = 0, steps - 1 do
      losses[n + 1] = step(n).loss
    end
    devices.open = open
    return small.bytes(model.params.w), losses, pass
  end

  -- Recorded or not, the same.
  local function agree(o, steps)
    build(o, steps)
    local plain = run(o, steps, true)
    local recorded, _, pass = run(o, steps)
    assert.equal(plain, recorded)
    local counts = pass.recordings.counts
    assert.is_true(counts.recorded > 0)
    assert.is_true(counts.replayed > counts.plain)
    return counts
  end

  it("agree with their recordings in steps of fisher-sam, masks and all", function()
    agree({ precision = "bf16", sam_type = "fisher-sam" }, 8)
  end)

  it("agree when esam leaves parameters and samples out", function()
    agree({ precision = "fp32", sam_type = "esam", options = { beta = 0.5, gamma = 0.5 } }, 12)
  end)

  it("agree over several micro-batches", function()
    agree({ precision = "fp32", sam_type = "sam", micro = 5 }, 8)
  end)

  it("take about the CPU's way", function()
    local o, steps = { precision = "fp32", sam_type = "fisher-sam", lr = 3e-4 }, 30
    build(o, 6)
    local _, losses = run(o, steps)
    local _, step = small.setup(o)
    for n = 1, steps do
      assert.near(step(n - 1).loss, losses[n], 1e-3)
    end
  end)

  it("run as they are where they cannot be recorded", function()
    local o = { precision = "fp32", sam_type = "sam" }
    build(o, 6)
    local expected = run(o, 6)
    devices.open = function()
      return device
    end
    local model, step, _, pass = small.setup(o)
    local graph = model.graph
    model.graph = { forward = function(_, tape)
      local y = graph:forward(tape)
      y:read() -- a recording cannot hold this
      return y
    end }
    for n = 0, 5 do
      step(n)
    end
    assert.equal(expected, small.bytes(model.params.w))
    assert.equal(0, pass.recordings.counts.replayed)
  end)
end)
