-- Kernels that start before the one ahead of them has ended (FSAM_LAUNCH_EARLY): which do, and that
-- it shows where one does not wait before it reads or writes.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("a kernel that starts early", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena, out, ticket = nil, nil, nil, ffi.new("int64_t[1]")

  before_each(function()
    device, arena = simt.open_lazy("early")
    out = Tensor.new(arena, "f32", { 1024 }, "out")
  end)

  after_each(function()
    simt.close(device, arena)
    check(shim.fsam_simt_arch(90))
  end)

  -- Queues the kernel ahead and the one behind it; "0": that one alone.
  local function queue(fault)
    check(shim.fsam_simt_start_broken(device, "early" .. fault, ffi.cast("float *", out.data)))
  end

  -- What a graph of what fn queues leaves in two places, or its error; and how many kernels in it
  -- started early, by what ran and by what the graph says of itself.
  local function run(fn)
    local graph, counts = ffi.new("fsam_graph *[1]"), ffi.new("int64_t[3]")
    out:fill(7)
    check(lib.fsam_graph_begin(device))
    fn()
    check(lib.fsam_graph_end(graph, device))
    check(lib.fsam_graph_shape(graph[0], counts))
    local before = shim.fsam_simt_early_launches()
    check(lib.fsam_graph_run(graph[0]))
    local ok, values = pcall(out.read, out)
    lib.fsam_graph_free(graph[0])
    assert.equal(0, tonumber(counts[2])) -- all that start early are ours
    return ok and { values[1], values[32], values[513] } or tostring(values),
      shim.fsam_simt_early_launches() - before
  end

  it("sees what was queued ahead of it", function()
    local values, early = run(function() queue("-ok") end)
    assert.same({ 8, 8, 8 }, values)
    assert.equal(1, early)
  end)

  it("shows where it reads or writes before it waits, or does not wait", function()
    assert.same({ 7, 7, 8 }, (run(function() queue("-r") end)))
    assert.same({ -4, -4, -4 }, (run(function() queue("-w") end)))
    assert.matches("starts early waits for nothing", run(function() queue("-n") end), 1, true)
  end)

  it("may be behind one that did", function()
    local values, early = run(function()
      queue("-ok") -- 8
      queue("0ok") -- the same again, from what it left
      queue("-ok") -- 9
    end)
    assert.same({ 9, 9, 9 }, values)
    assert.equal(3, early)
  end)

  it("is none that begins a graph, follows a copy or waits for other work", function()
    for fn, expected in pairs({
      [function() queue("0ok") end] = 0,
      [function()
        out:fill(0)
        queue("0ok")
      end] = 0,
      [function()
        queue("-ok")
        check(lib.fsam_beside_begin(device))
        queue("0ok")
        check(lib.fsam_beside_end(ticket, device))
        check(lib.fsam_beside_join(device, ticket[0]))
        queue("0ok")
      end] = 1,
    }) do
      local _, early = run(fn)
      assert.equal(expected, early)
    end
  end)

  it("is none outside of a graph, or on a GPU that cannot", function()
    local before = shim.fsam_simt_early_launches()
    queue("-ok")
    out:read()
    assert.equal(before, shim.fsam_simt_early_launches())
    simt.close(device, arena)
    check(shim.fsam_simt_arch(80))
    device, arena = simt.open_lazy("early")
    out = Tensor.new(arena, "f32", { 1024 }, "out")
    local values, early = run(function() queue("-ok") end)
    assert.same({ 8, 8, 8 }, values)
    assert.equal(0, early)
  end)
end)
