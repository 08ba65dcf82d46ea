-- What may happen while a GPU records its work, and what is put off until it has: on the fake
-- runtime (spec/simt/runtime.cpp), which refuses while a stream captures whatever CUDA refuses.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local cuda_graphs = require("fsam.pass.cuda_graphs")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("while a GPU records", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena

  local function new_arena()
    local slot = ffi.new("fsam_arena *[1]")
    check(lib.fsam_arena_new(slot, device, "recorded"))
    return slot[0]
  end

  local function open(arch)
    check(shim.fsam_simt_arch(arch or 90))
    device, arena = simt.open_lazy("recorded")
  end

  local function close()
    simt.close(device, arena)
  end

  before_each(function()
    open()
  end)

  after_each(close)

  local function new(count, name, from)
    return Tensor.new(from or arena, "i32", { count }, name or "t")
  end

  -- Records what fn queues: the graph, or nil and the message.
  local function record(fn)
    local out = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_begin(device))
    local ok, err = pcall(fn)
    local rc = lib.fsam_graph_end(out, device)
    assert(ok, err)
    if rc < 0 then
      return nil, ffi.string(lib.fsam_error())
    end
    return ffi.gc(out[0], lib.fsam_graph_free)
  end

  for name, text in pairs({ malloc = "cudaMalloc", free = "cudaFree", pinned = "cudaHostAlloc",
    wait = "cudaStreamSynchronize", event = "cudaEventSynchronize", pageable = "pageable",
    outside = "outside the capture" }) do
    it("the runtime refuses " .. name .. ", and the capture is lost", function()
      local t, said = new(64), nil
      local graph, message = record(function()
        said = ffi.string(shim.fsam_simt_call(device, name, t.data))
        assert.is_false(pcall(t.fill, t, 0))
      end)
      assert.matches(text, said, 1, true)
      assert.is_nil(graph)
      assert.matches(text, message, 1, true)
      if name ~= "free" then -- else the arena would free it again
        assert.equal("", ffi.string(shim.fsam_simt_call(device, name, t.data)))
      end
    end)
  end

  it("what is dropped is freed when that has ended, and harms nothing", function()
    local t = new(3):write({ 1, 2, 3 })
    local before = shim.fsam_simt_taken()
    local other, older = new_arena(), record(function() t:fill(0) end)
    new(2 ^ 20, "large", other):fill(1)
    local graph = record(function()
      lib.fsam_arena_free(other)
      lib.fsam_graph_free(ffi.gc(older, nil))
      t:fill(0)
      assert.is_true(shim.fsam_simt_taken() > before)
    end)
    assert.truthy(graph)
    assert.equal(before, shim.fsam_simt_taken())
    check(lib.fsam_graph_run(graph))
    assert.same({ 0, 0, 0 }, t:read())
  end)

  -- Another device's memory, and the device itself: of a model that was lost, say.
  it("what is dropped of another device waits as well", function()
    local before = shim.fsam_simt_taken()
    local its_device, its_arena = simt.open_lazy("other")
    Tensor.new(its_arena, "i32", { 3 }, "t"):fill(1)
    local pinned = shim.fsam_simt_pinned()
    local t = new(3):write({ 1, 2, 3 })
    local graph, message = record(function()
      lib.fsam_arena_free(its_arena)
      lib.fsam_device_close(its_device)
      t:fill(0)
      assert.is_true(shim.fsam_simt_taken() > before)
    end)
    assert.truthy(graph, message)
    assert.is_true(shim.fsam_simt_pinned() < pinned)
    check(lib.fsam_graph_run(graph))
    assert.same({ 0, 0, 0 }, t:read())
  end)

  it("what is dropped is freed also when the capture fails", function()
    local before, other = shim.fsam_simt_taken(), new_arena()
    new(2 ^ 20, "large", other)
    local graph = record(function()
      lib.fsam_arena_free(other)
      shim.fsam_simt_call(device, "malloc", nil)
    end)
    assert.is_nil(graph)
    assert.equal(before, shim.fsam_simt_taken())
  end)

  it("a device that is closed lives until that has ended", function()
    local t = new(3)
    check(lib.fsam_graph_begin(device))
    t:fill(0)
    lib.fsam_arena_free(arena)
    lib.fsam_device_close(device)
    check(lib.fsam_graph_end(nil, device))
    open()
  end)

  it("memory that must grow says so, and stays the same", function()
    local memory = ffi.new("void *[2]")
    check(lib.fsam__workspace(memory, device, 1000))
    new(4)
    check(lib.fsam_graph_begin(device))
    assert.equal(lib.FSAM_EINVAL, lib.fsam__workspace(memory + 1, device, 2000))
    assert.equal("graph: cannot enlarge the workspace while work is being recorded",
      ffi.string(lib.fsam_error()))
    local ok, err = pcall(new, 2 ^ 20)
    assert.is_false(ok)
    assert.matches("cannot take more memory while work is being recorded", tostring(err), 1, true)
    local graph = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_end(graph, device)) -- not lost: the runtime was not asked
    lib.fsam_graph_free(graph[0])
    check(lib.fsam__workspace(memory + 1, device, 900))
    assert.equal(memory[0], memory[1])
  end)

  it("an arena that is reset keeps its memory where it is", function()
    new(4)
    local far = new(2 ^ 20)
    local graph = record(function()
      far:fill(0)
      lib.fsam_arena_reset(arena)
    end)
    assert.equal(0, lib.fsam_graph_stale(graph))
    check(lib.fsam_graph_run(graph))
    assert.same({ 5 }, new(1):fill(5):read())
  end)

  it("an early read is not waited for, and can be afterwards", function()
    local later = new(2):write({ 3, 4 }):later()
    check(lib.fsam_graph_begin(device))
    local ok, err = pcall(later.to_host, later)
    assert.is_false(ok)
    assert.matches("cannot wait for a read while work is being recorded", tostring(err), 1, true)
    check(lib.fsam_graph_end(nil, device))
  end)

  it("the collector rests, and goes on however the capture ends", function()
    local kept = cuda_graphs.new(device)
    for _, fails in ipairs({ false, true }) do
      local key, recording, ran = tostring(fails), false, 0
      local function finalizer()
        ran = ran + (recording and 1 or 0)
      end
      local function queue()
        recording = true
        for _ = 1, 20000 do
          ffi.gc(ffi.new("char[1000]"), finalizer)
        end
        assert.is_false(collectgarbage("isrunning"))
        recording = false
        assert(not fails, "this fails")
      end
      kept:begin(key)
      assert.equal(not fails, kept:begin(key):piece("forward", queue))
      assert.equal(0, ran)
      assert.is_true(collectgarbage("isrunning"))
    end
    collectgarbage("stop")
    kept:begin("stopped")
    kept:begin("stopped"):piece("forward", function() end)
    assert.is_false(collectgarbage("isrunning"))
    collectgarbage("restart")
  end)

  -- Once it has begun to call finalizers, LuaJIT goes on when a trace ends, stopped or not.
  it("a collector that does not rest frees nothing of other devices", function()
    local its_device, its_arena = simt.open_lazy("other")
    local begun, ended = 0, 0
    local function finalizer(slot)
      lib.fsam_arena_free(slot[0])
      begun = begun + 1
    end
    local function lose()
      for _ = 1, 100 do
        local slot = ffi.gc(ffi.new("fsam_arena *[1]"), finalizer)
        check(lib.fsam_arena_new(slot, its_device, "lost"))
        Tensor.new(slot[0], "i32", { 3 }, "t")
      end
    end
    local t = new(3):write({ 1, 2, 3 })
    collectgarbage()
    local taken = shim.fsam_simt_taken()
    lose()
    while begun == 0 do
      collectgarbage("step", 0)
    end
    local kept = cuda_graphs.new(device)
    kept:begin("key")
    assert.is_true(kept:begin("key"):piece("forward", function()
      local before, x = begun, 0
      for i = 1, 100000 do
        x = x + (i % 3 == 0 and 1 or i % 1001 == 0 and #tostring({}) or 2)
      end
      ended = begun - before
      t:fill(0)
    end), kept.refusal)
    assert.is_true(ended > 0)
    lib.fsam_arena_free(its_arena)
    lib.fsam_device_close(its_device)
    collectgarbage()
    assert.is_true(shim.fsam_simt_taken() <= taken)
  end)

  it("a failure is tried again, later each time, and reported once when given up", function()
    local kept, runs = cuda_graphs.new(device), {}
    local function sights(key, count, fails)
      local modes = {}
      for i = 1, count do
        local work = kept:begin(key)
        modes[i] = work.mode:sub(1, 3)
        work:piece("forward", function()
          runs[#runs + 1] = work.mode
          assert(not (fails and work.mode == "recorded"), "no memory yet")
        end)
      end
      return table.concat(modes, " ")
    end
    assert.equal("pla rec pla pla rec pla pla pla pla rec pla pla", sights("a", 12, true))
    assert.equal("some passes run without a CUDA graph, and slower: 3 captures failed: ",
      kept:remark():match("^.-failed: "))
    assert.matches("no memory yet", kept.refusal, 1, true)
    assert.is_nil(kept:remark())
    sights("c", 20, true)
    assert.is_nil(kept:remark())
    assert.equal("pla rec pla pla", sights("b", 4, true)) -- the cause is gone after one failure
    assert.equal("rec rep rep", sights("b", 3))
  end)

  it("what a graph looks like is known: a chain, parts side by side, parts that start early",
    function()
      local counts = ffi.new("int64_t[3]")
      local function shape(fn)
        check(lib.fsam_graph_shape(assert(record(fn)), counts))
        return { tonumber(counts[0]), tonumber(counts[1]), tonumber(counts[2]) }
      end
      local t = new(64)
      local function fill()
        t:fill(0)
      end
      assert.same({ 0, 0, 0 }, shape(function() end))
      assert.same({ 1, 0, 0 }, shape(fill))
      assert.same({ 3, 0, 0 }, shape(function() fill() fill() fill() end))
      assert.same({ 4, 1, 0 }, shape(function()
        check(shim.fsam_simt_fork(device, ffi.cast("char *", t.data)))
      end))
      assert.same({ 2, 0, 1 }, shape(function()
        fill()
        shim.fsam_simt_early()
        fill()
      end))
      local kept = cuda_graphs.new(device)
      kept:begin("fork")
      kept:begin("fork"):piece("forward", function()
        check(shim.fsam_simt_fork(device, ffi.cast("char *", t.data)))
      end)
      assert.equal(1, kept.counts.unchained)
    end)
end)
