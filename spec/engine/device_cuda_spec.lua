-- What device.cu does with streams, events and pinned memory, and graph.cu with graphs, on a
-- runtime that puts everything off until it is waited for (spec/simt/runtime.cpp).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("a GPU's memory", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena

  before_each(function()
    device, arena = simt.open_lazy("lazy")
  end)

  after_each(function()
    simt.close(device, arena)
  end)

  local function new(count, name)
    return Tensor.new(arena, "i32", { count }, name or "t")
  end

  local function counted(count, first)
    local host = ffi.new("int32_t[?]", count)
    for i = 0, count - 1 do
      host[i] = first + i
    end
    return host
  end

  local function is_counted(host, count, first)
    for i = 0, count - 1 do
      if host[i] ~= first + i then
        return false
      end
    end
    return true
  end

  it("has a name", function()
    assert.equal("cuda", ffi.string(lib.fsam_device_name(device)))
    assert.equal("Lazy GPU, 1 GB", ffi.string(lib.fsam_device_text(device)))
  end)

  it("takes what the host sends, however much, though the host uses its memory again", function()
    local count = 3 * 1024 * 1024 + 5 -- more than all pinned memory
    local large, small = new(count), new(3, "small")
    local host = counted(count, 7)
    large:write(host)
    ffi.fill(host, count * 4)
    small:write({ 1, 2, 3 })
    assert.is_true(is_counted(large:to_host(), count, 7))
    assert.same({ 1, 2, 3 }, small:read())
    assert.same({ 0, 0, 0 }, small:fill(0):read())
  end)

  it("keeps many small copies in order", function()
    local t = new(1000)
    for first = 1, 3000 do -- 12 MB
      t:write(counted(1000, first))
    end
    assert.is_true(is_counted(t:to_host(), 1000, 3000))
  end)

  it("reads what was there when the read began", function()
    local t = new(4):write({ 1, 2, 3, 4 })
    local first = t:later()
    t:write({ 5, 6, 7, 8 })
    local second = t:later()
    t:fill(0)
    assert.is_true(is_counted(second:to_host(), 4, 5))
    assert.is_true(is_counted(first:to_host(), 4, 1))
  end)

  it("does not give memory that is being read to later work", function()
    local t = new(4):write({ 1, 2, 3, 4 })
    local later = t:later()
    lib.fsam_arena_reset(arena)
    local again = new(4, "again"):write({ 9, 9, 9, 9 })
    assert.equal(t.data, again.data)
    assert.same({ 9, 9, 9, 9 }, again:read()) -- the work is done before the early read is ended
    assert.is_true(is_counted(later:to_host(), 4, 1))
  end)

  it("uses the memory of reads again, also of those that were never ended", function()
    for first = 1, 50 do
      local t = new(4):write(counted(4, first))
      local read = ffi.new("fsam_readback *[1]")
      check(lib.fsam_readback_begin(read, t))
      lib.fsam_readback_free(read[0])
      assert.is_true(is_counted(t:later():to_host(), 4, first))
      lib.fsam_arena_reset(arena)
    end
  end)

  it("says what was asked and what is left when memory is missing", function()
    new(1024 * 1024)
    local ok, err = pcall(new, 2 ^ 27, "huge")
    assert.is_false(ok)
    assert.equal("lazy arena: no memory for huge (536.9 MB; 4.2 MB are in use; the GPU has 0.5 of "
      .. "0.5 GB left)", tostring(err))
    local out = ffi.new("fsam_tensor")
    assert.equal(lib.FSAM_ENOMEM, lib.fsam_tensor_new(out, arena, lib.FSAM_I32, 1,
      ffi.new("int64_t[4]", 2 ^ 27), "huge", 0))
  end)

  -- Records what fn queues.
  local function record(fn)
    local out = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_begin(device))
    fn()
    check(lib.fsam_graph_end(out, device))
    return ffi.gc(out[0], lib.fsam_graph_free)
  end

  it("does what was recorded as often as one likes, on what memory then holds", function()
    local a, b = new(3), new(3, "b"):write({ 7, 8, 9 })
    a:write({ 1, 2, 3 })
    local graph = record(function()
      a:fill(0)
    end)
    assert.same({ 1, 2, 3 }, a:read()) -- recorded, not done
    for _ = 1, 2 do
      a:write({ 4, 5, 6 })
      check(lib.fsam_graph_run(graph))
      assert.same({ 0, 0, 0 }, a:read())
    end
    assert.same({ 7, 8, 9 }, b:read())
  end)

  it("refuses copies and new memory while it records, and goes on after that", function()
    local t = new(2):write({ 1, 2 })
    local later = t:later()
    check(lib.fsam_graph_begin(device))
    for _, fn in ipairs({ t.read, t.later, function() t:write({ 3, 4 }) end }) do
      local ok, err = pcall(fn, t)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("while work is being recorded", 1, true))
    end
    assert.is_false(pcall(new, 2 ^ 20)) -- a new chunk of the arena
    assert.equal(lib.FSAM_EINVAL, lib.fsam_graph_begin(device))
    check(lib.fsam_graph_end(nil, device))
    assert.same({ 1, 2 }, t:read())
    assert.is_true(is_counted(later:to_host(), 2, 1))
    assert.equal(lib.FSAM_EINVAL, lib.fsam_graph_end(nil, device))
  end)

  it("knows when memory that was recorded has moved", function()
    local t = new(2)
    local graph = record(function()
      t:fill(0)
    end)
    assert.equal(0, lib.fsam_graph_stale(graph))
    new(2 ^ 19, "more")
    lib.fsam_arena_reset(arena) -- two chunks become one
    assert.equal(1, lib.fsam_graph_stale(graph))
    assert.equal(lib.FSAM_ESTALE, lib.fsam_graph_run(graph))
  end)
end)

describe("the CPU", function()
  it("records nothing", function()
    local out = ffi.new("fsam_device *[1]")
    check(lib.fsam_device_open(out, "cpu"))
    assert.equal(0, lib.fsam_graph_possible(out[0]))
    assert.equal(lib.FSAM_ENODEV, lib.fsam_graph_begin(out[0]))
    assert.equal("graph: the device cpu records nothing", ffi.string(lib.fsam_error()))
    lib.fsam_device_close(out[0])
  end)
end)
