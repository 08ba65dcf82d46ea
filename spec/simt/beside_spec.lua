-- Work of a graph that goes beside other work (engine/beside.c): what waits for what, and that it
-- shows where a wait is missing.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local Tape = require("fsam.pass.tape")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("work beside other work", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena, a, b, numbers
  local ticket, counts = ffi.new("int64_t[1]"), ffi.new("int64_t[3]")

  before_each(function()
    device, arena = simt.open_lazy("beside")
    a, b, numbers = Tensor.new(arena, "f32", { 4 }, "a"), Tensor.new(arena, "f32", { 4 }, "b"), {}
    for i = 1, 20 do
      numbers[i] = Tensor.new(arena, "f32", { 4 }, "number"):fill(i)
    end
  end)

  after_each(function()
    simt.close(device, arena)
  end)

  local function beside(fn)
    check(lib.fsam_beside_begin(device))
    fn()
    check(lib.fsam_beside_end(ticket, device))
  end

  local function graph_of(fn)
    local out = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_begin(device))
    fn()
    if lib.fsam_graph_end(out, device) < 0 then
      return nil, ffi.string(lib.fsam_error())
    end
    return ffi.gc(out[0], lib.fsam_graph_free)
  end

  -- What b holds after each of two launches: the runtime runs the second stream's work as late as
  -- the graph allows, then as early.
  local function launches(fn)
    local graph, found = assert(graph_of(fn)), {}
    for i = 1, 2 do
      a:copy(numbers[1])
      b:fill(0)
      check(lib.fsam_graph_run(graph))
      found[i] = b:read()[1]
    end
    return found
  end

  it("sees what was queued before it, and what joins it sees its work", function()
    assert.same({ 2, 2 }, launches(function()
      a:copy(numbers[2])
      beside(function() b:copy(a) end)
      check(lib.fsam_beside_join(device, ticket[0]))
      a:copy(numbers[3])
    end))
    assert.same({ 3, 2 }, launches(function() -- nothing says which comes first
      a:copy(numbers[2])
      beside(function() b:copy(a) end)
      a:copy(numbers[3])
      check(lib.fsam_beside_join(device, ticket[0]))
    end))
  end)

  it("runs in order with more of its kind; a join waits for all up to its ticket", function()
    assert.same({ 20, 20 }, launches(function()
      local first
      for i = 1, 20 do -- more than tickets are kept
        beside(function() b:copy(numbers[i]) end)
        first = first or ticket[0]
      end
      check(lib.fsam_beside_join(device, first)) -- later work marks it by now
      a:fill(0)
      check(lib.fsam_beside_join(device, ticket[0]))
    end))
  end)

  it("comes after the chain where both could run, and before all other streams", function()
    assert.is_true(shim.fsam_simt_priority(device, 0) < shim.fsam_simt_priority(device, 1))
    assert.is_true(shim.fsam_simt_priority(device, 1) < 0)
  end)

  it("must be joined before a graph ends", function()
    local graph, message = graph_of(function()
      beside(function() b:copy(numbers[1]) end)
    end)
    assert.is_nil(graph)
    assert.matches("did not come back to the capture", message, 1, true)
  end)

  it("has a workspace of its own, in a graph and outside", function()
    local memory = ffi.new("void *[4]")
    check(lib.fsam__workspace(memory, device, 1000))
    beside(function() check(lib.fsam__workspace(memory + 1, device, 1000)) end)
    assert.are_not.equal(memory[0], memory[1])
    local graph = graph_of(function()
      check(lib.fsam__workspace(memory + 2, device, 1000))
      beside(function()
        check(lib.fsam__workspace(memory + 3, device, 900))
        b:copy(numbers[1])
      end)
      check(lib.fsam_beside_join(device, ticket[0]))
    end)
    assert.truthy(graph)
    assert.equal(memory[0], memory[2])
    assert.equal(memory[1], memory[3])
  end)

  it("is in order outside of a graph, where a join does nothing", function()
    a:copy(numbers[2])
    beside(function() b:copy(a) end)
    a:copy(numbers[3])
    check(lib.fsam_beside_join(device, ticket[0]))
    assert.equal(2, b:read()[1])
  end)

  it("that a failure left open ends with the graph", function()
    b:fill(0)
    check(lib.fsam_graph_begin(device))
    check(lib.fsam_beside_begin(device))
    b:copy(numbers[5])
    assert.equal(lib.FSAM_EINVAL, lib.fsam_beside_begin(device))
    assert.equal(lib.FSAM_EINVAL, lib.fsam_beside_join(device, 1))
    check(lib.fsam_graph_end(nil, device))
    assert.equal(lib.FSAM_EINVAL, lib.fsam_beside_end(ticket, device))
    check(lib.fsam_graph_shape(assert(graph_of(function() b:copy(numbers[6]) end)), counts))
    assert.same({ 1, 0 }, { tonumber(counts[0]), tonumber(counts[1]) })
    assert.same({ 0, 0, 0, 0 }, b:read())
  end)

  it("is waited for where a gradient of its is written in order, too", function()
    local tape = Tape.new({ arena = arena, device = device, grads = { write = function() end } })
    local view, other = {}, {}
    tape:part(view)
    tape:meet()
    tape:weight_grad(view, true, true)
    tape:weight_grad(other)
    assert.same({ 1, 0 }, { tape.ticket, tape.joined })
    tape:weight_grad(view)
    assert.equal(1, tape.joined)
  end)

  it("is refused where nothing is recorded", function()
    assert.equal(lib.FSAM_ENODEV, lib.fsam_beside_begin(require("fsam.base.device").open("cpu")))
  end)
end)
