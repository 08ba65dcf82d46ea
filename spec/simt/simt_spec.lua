-- The shim that runs CUDA kernels on the CPU: it must find what is wrong in kernels made for that.
local C = require("fsam.C")
local scratch = require("spec.kernels.scratch")
local simt = require("spec.simt.device")
local ffi, check = C.ffi, C.check

local COUNT = 1024

describe("simt", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  local s, device

  before_each(function()
    local out = ffi.new("fsam_device *[1]")
    simt.open(out)
    device = out[0]
    s = scratch.new()
  end)

  after_each(function()
    C.lib.fsam_device_close(device)
    s:close()
  end)

  --- The output of a kernel in one order of its threads.
  local function run(name, descending)
    local out = s:tensor("f32", { COUNT })
    lib.fsam_simt_order(descending)
    check(lib.fsam_simt_broken(device, name, ffi.cast("float *", out.data)))
    return out:read()
  end

  local function refused(name)
    local out = s:tensor("f32", { COUNT })
    return s:refused(lib.fsam_simt_broken(device, name, ffi.cast("float *", out.data)))
  end

  local function wrong(got)
    local count = 0
    for i, value in ipairs(got) do
      count = count + (value == i % 256 and 0 or 1)
    end
    return count
  end

  it("runs a right kernel, the same both ways", function()
    assert.equal(0, wrong(run("right", 0)))
    assert.equal(0, wrong(run("right", 1)))
  end)

  it("shows a missing barrier", function()
    assert.equal(4 * 255, wrong(run("no_barrier", 0)))
    assert.equal(4, wrong(run("no_barrier", 1)))
  end)

  it("shows blocks that depend on each other", function()
    assert.not_equal(run("last_block", 0)[1], run("last_block", 1)[1])
  end)

  it("gives NaN for shared memory that was never written", function()
    local got = run("unwritten", 0)
    assert.equal(1, got[31])
    assert.is_true(got[32] ~= got[32])
  end)

  it("puts copies off until they are waited for, group by group", function()
    assert.equal(0, run("copied", 0)[1])
    local early = run("copied_early", 0)[1]
    assert.is_true(early ~= early)
    local got = run("second_group", 0)
    assert.same({ 0, 0 }, { got[513], got[577] })
    assert.is_true(got[545] ~= got[545])
  end)

  it("names what cannot go on, and where", function()
    for name, text in pairs({
      beyond_shared = "wrote outside of its shared memory (or another thread of the block did)",
      lonely_lane = "waits in a function of its warp that other lanes do not come to",
      abandoned = "ends before copies that it has started",
      aslant = "copies from or to a place that is not aligned to the copy's size",
      misaligned = "accesses 16 bytes that are not aligned",
      wild = "touched address 0x1000, where nothing lies",
      greedy = "declares more shared memory than 48 KiB",
      crooked_2 = "an access is not aligned to its size",
      crooked_4 = "an access is not aligned to its size",
      crooked_8 = "an access is not aligned to its size",
    }) do
      local pattern = text:gsub("[().]", "%%%0")
      assert.matches("^" .. name .. "_k: thread %d+ of block %(0, 0, 0%): " .. pattern .. "$",
        refused(name))
    end
  end)

  it("has the shared memory of the GPU that it is", function()
    -- Kilobytes that a block asks for, and the GPUs that have so many.
    for name, fits in pairs({ roomy = { [80] = true, [90] = true }, vast = { [90] = true } }) do
      for _, arch in ipairs({ 80, 86, 89, 90 }) do
        local out = ffi.new("fsam_device *[1]")
        check(lib.fsam_simt_arch(arch))
        simt.open(out)
        local memory = s:tensor("f32", { COUNT })
        local rc = lib.fsam_simt_broken(out[0], name, ffi.cast("float *", memory.data))
        local message = ffi.string(C.lib.fsam_error())
        C.lib.fsam_device_close(out[0])
        assert.equal(fits[arch] or false, rc == 0)
        if rc < 0 then
          assert.equal(("last_block_k: this size needs %.1f KB of shared memory in a block, the "
            .. "GPU (Lazy GPU, 1 GB, compute capability %.1f) has %.1f KB; use the device cpu or "
            .. "a smaller head"):format(name == "roomy" and 100 or 164, arch / 10,
              arch == 80 and 163 or 99), message)
        end
      end
    end
    check(lib.fsam_simt_arch(90))
  end)

  it("goes on after a kernel that could not", function()
    refused("wild")
    assert.equal(0, wrong(run("right", 0)))
  end)
end)
