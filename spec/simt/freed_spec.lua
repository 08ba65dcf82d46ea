-- Memory of a GPU that is freed while work that was queued before still uses it (engine/late.c).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("a GPU's memory that is freed", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end

  -- A device that is closed when it is collected, and two arenas of it.
  local function open(first, second)
    local out, slot = ffi.new("fsam_device *[1]"), ffi.new("fsam_arena *[2]")
    check(shim.fsam_simt_open_lazy(out))
    local device = ffi.gc(out[0], lib.fsam_device_close)
    check(lib.fsam_arena_new(slot, device, first))
    check(lib.fsam_arena_new(slot + 1, device, second))
    return device, slot
  end

  it("is not used by what was queued before", function()
    local device, slot = open("first", "second")
    local from = Tensor.new(slot[1], "f32", { 3 }, "from"):write({ 1, 2, 3 })
    local to = Tensor.new(slot[0], "f32", { 3 }, "to"):copy(from) -- a kernel, which has not run
    local memory = ffi.new("void *[1]")
    check(lib.fsam__workspace(memory, device, 100))
    lib.fsam_arena_free(slot[1])
    check(lib.fsam__workspace(memory, device, 1000))
    assert.same({ 1, 2, 3 }, to:read())
    lib.fsam_arena_free(slot[0])
  end)

  -- A read that no one ends goes back to the device; the next one waits for it, here in vain.
  it("leaves a read its memory, where the wait for that fails", function()
    local device, slot = open("kept", "lost")
    local to = Tensor.new(slot[0], "f32", { 3 }, "to"):fill(1)
    local from = Tensor.new(slot[1], "f32", { 3 }, "from"):fill(2)
    assert.same({ 1, 1, 1 }, to:later():to_host() and to:read())
    collectgarbage()
    collectgarbage() -- devices of other specs
    local pinned = shim.fsam_simt_pinned()
    to:copy(from) -- a kernel, which has not run when its memory goes
    shim.fsam_simt_call(device, "free", from.data)
    to:later() -- dropped
    collectgarbage()
    collectgarbage()
    local ok, err = pcall(to.later, to)
    assert.is_false(ok)
    assert.matches("^cuda: waiting for a copy: .* touched address", tostring(err))
    assert.is_truthy(to:later():to_host())
    assert.equal(pinned, shim.fsam_simt_pinned())
    lib.fsam_arena_free(slot[0])
  end)
end)
