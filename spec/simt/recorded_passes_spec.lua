-- Whole training steps by the CUDA kernels, on a GPU where FSAM_TEST_DEVICE is cuda, else on the
-- shim: passes that run from graphs leave the bits of passes that run plainly, whatever differs
-- between batches of one shape; and the loss follows the CPU's.
local C = require("fsam.C")
local attention_rng = require("fsam.pass.attention_rng")
local helper = require("spec.helper")
local cuda_graphs = require("fsam.pass.cuda_graphs")
local simt = require("spec.simt.device")
local small = require("spec.lua.small_bert")

local on_gpu = helper.device == "cuda"

describe("passes on " .. (on_gpu and "a GPU" or "the shim"), function()
  local lib, why = simt.load()
  if not on_gpu and not lib then
    pending(why)
    return
  end
  local device

  local function settings(o)
    o.smaller = not on_gpu
    return o
  end
  local FISHER = settings({ precision = "bf16", sam_type = "fisher-sam" })
  local CUDNN = settings({ precision = "bf16", sam_type = "fisher-sam",
    attention_dropout_rng = "cudnn" }) -- the programs are FISHER's
  local ESAM = settings({ precision = "fp32", sam_type = "esam",
    options = { beta = 0.5, gamma = 0.5 } })
  local MICRO = settings({ precision = "fp32", sam_type = "sam", micro = 5 })
  local SHARED = settings({ precision = "fp32", sam_type = "fisher-sam", shared = true })
  local LONG = settings({ precision = "fp32", sam_type = "fisher-sam", lr = 3e-3 })
  -- Two layers: a gradient's memory is used again while work beside may still read it.
  local DEEP = { precision = "bf16", sam_type = "sam" }
  local LONG_STEPS = on_gpu and 40 or 20

  setup(function()
    device = require("spec.simt.programs").device(on_gpu, function()
      for _, o in ipairs({ FISHER, ESAM, MICRO, SHARED, LONG, DEEP }) do
        small.run(o, 4)
      end
    end)
  end)

  -- Steps on the device. `change` is given the model and the pass first.
  -- @return the bits of the weights, the losses, and the pass
  local function run(o, steps, change)
    return helper.on_device(device, function()
      local model, step, _, pass = small.setup(o)
      if change then
        change(model, pass)
      end
      local losses = {}
      for n = 0, steps - 1 do
        losses[n + 1] = step(n).loss
      end
      return small.bytes(model.params.w), losses, pass
    end)
  end

  -- Steps that run from graphs leave the same bits as steps that run plainly.
  local function agree(o, steps)
    local plain = run(o, steps, function(_, pass)
      pass.graphs.possible = false
    end)
    local recorded, _, pass = run(o, steps)
    assert.equal(plain, recorded)
    assert.is_nil(pass.graphs.refusal)
    local counts = pass.graphs.counts
    assert.is_true(counts.recorded > 0)
    return counts
  end

  it("agree with their graphs in steps of fisher-sam, masks and all", function()
    local counts = agree(FISHER, 6)
    assert.is_true(counts.replayed > counts.plain)
  end)

  -- Three steps; the second and third have no mask to make.
  it("agree where cuDNN draws attention's dropout, and both passes of a step draw the same",
    function()
      local possible, reason = pcall(attention_rng.number, device, "cudnn", "bf16")
      if not possible then
        pending(tostring(reason))
        return
      end
      agree(CUDNN, 3)
      if not on_gpu then
        local seen = {}
        for back = 0, 4 do
          local numbers = C.ffi.new("int64_t[2]")
          assert.is_true(lib.fsam_simt_cudnn_drawn_by(numbers, back))
          seen[back + 1] = tostring(numbers[0])
        end
        local last, before = seen[1], table.remove(seen)
        assert.same({ last, last, last, last }, seen) -- forward and backward, twice
        assert.are_not.equal(last, before)
      end
    end)

  it("agree when esam leaves samples out; those that skip parameters run plainly", function()
    local counts = agree(ESAM, 9)
    assert.is_true(counts.plain >= 9)
    assert.is_true(counts.replayed > 0)
  end)

  -- The most dependencies beyond a chain's that a graph of a pass has.
  local function parted(pass)
    local counts, most = C.ffi.new("int64_t[3]"), 0
    for _, shape in pairs(pass.graphs.shapes) do
      for _, graph in pairs(shape.graphs or {}) do
        C.check(C.lib.fsam_graph_shape(graph, counts))
        most = math.max(most, tonumber(counts[1]))
      end
    end
    return most
  end

  it("agree with parameters' gradients beside other work, and in a chain", function()
    for _, o in ipairs({ DEEP, SHARED }) do
      local beside, _, pass = run(o, 4)
      assert.is_true(parted(pass) > 4)
      local chain, _, other = run(o, 4, function(_, its_pass)
        its_pass.graphs.beside = function() end
      end)
      assert.equal(0, parted(other))
      assert.is_true(chain == beside)
      for _, graphs in ipairs({ pass.graphs, other.graphs }) do
        assert.is_nil(graphs.refusal)
        assert.equal(0, graphs.counts.unchained)
        assert.is_true(graphs.counts.replayed >= 3)
      end
    end
  end)

  it("agree over several micro-batches", function()
    local counts = agree(MICRO, 6)
    assert.is_true(counts.replayed > counts.plain)
  end)

  -- The losses of steps are those of the CPU, about: another order of a sum flips a bit of a mask
  -- or a sign now and then, and the two ways part slowly.
  local function follow(o, steps)
    local _, losses = run(o, steps)
    helper.on_device(nil, function()
      local _, step = small.setup(o)
      for n, loss in ipairs(losses) do
        assert.near(step(n - 1).loss, loss, 1e-3 * math.max(1, n / 10))
      end
    end)
  end

  it("agree, and follow the CPU, where layers share their weights", function()
    local counts = agree(SHARED, 4)
    assert.is_true(counts.replayed > counts.plain)
    follow(SHARED, 2)
  end)

  it("take about the CPU's way", function()
    follow(LONG, LONG_STEPS)
  end)

  it("keep the graphs of the 256 shapes that were used last", function()
    local kept = cuda_graphs.new(device)
    local function run_shape(number)
      local piece = kept:begin("shape " .. number)
      assert.is_true(piece:piece("forward", function() end))
      return piece.mode
    end
    for number = 1, 257 do
      assert.equal("plain", run_shape(number))
      assert.equal("recorded", run_shape(number))
    end
    assert.equal("replayed", run_shape(257))
    assert.equal("replayed", run_shape(2))
    assert.equal("plain", run_shape(1)) -- there are too many: recording must be worth it
    assert.equal("recorded", run_shape(1)) -- in place of the third
    assert.equal("plain", run_shape(3))
    assert.equal("replayed", run_shape(2))
    assert.equal("plain", run_shape(258))
    assert.equal("plain", run_shape(258))
    assert.equal("recorded", run_shape(258))
  end)

  it("run plainly where they cannot be recorded", function()
    local expected = run(MICRO, 4)
    local bits, _, pass = run(MICRO, 4, function(model)
      local graph = model.graph
      model.graph = { forward = function(_, tape)
        local y = graph:forward(tape)
        y:read() -- a graph cannot hold this
        return y
      end }
    end)
    assert.equal(expected, bits)
    assert.equal(0, pass.graphs.counts.replayed)
    assert.matches("cannot read from the GPU while work is being recorded",
      pass.graphs.refusal, 1, true)
  end)
end)
