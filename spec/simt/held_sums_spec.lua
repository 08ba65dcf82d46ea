-- Sums over rows that are held and added up together (kernels/cuda/column_sums.cu): how many
-- launches that takes, that the bits are those of one after another, and what waits for what.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("sums over rows that are held", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena
  local ticket, counts = ffi.new("int64_t[1]"), ffi.new("int64_t[3]")

  before_each(function()
    device, arena = simt.open_lazy("sums")
  end)

  after_each(function()
    simt.close(device, arena)
  end)

  -- Gradients dy[rows, n] of numbers that no order of adding leaves alone, and db[n].
  local function gradient(rows, n, seed)
    local values = {}
    for i = 1, rows * n do
      values[i] = (i * 7919 * seed % 1009) / 997 + 1e-4 * i
    end
    local dy = Tensor.new(arena, "f32", { rows, n }, "dy")
    dy:write(values)
    return { dy = dy, db = Tensor.new(arena, "f32", { n }, "db"):fill(1), x = Tensor.new(arena,
      "f32", { rows, 1 }, "x"):fill(1) }
  end

  local function add_up(g, filled)
    g.db.filled = filled or 0
    check(lib.fsam_linear_backward_weight(nil, g.db, g.dy, g.x))
  end

  local sections = 0
  local function section(fn)
    check(lib.fsam_beside_begin(device))
    if fn then
      fn()
    end
    check(lib.fsam_beside_end(ticket, device))
    sections = sections + 1
  end

  local function hold()
    sections = 0
    check(lib.fsam_beside_sums(device, lib.FSAM_SUMS_HELD))
  end

  local function finish()
    if sections > 0 then
      check(lib.fsam_beside_join(device, ticket[0]))
    end
    check(lib.fsam_beside_sums(device, lib.FSAM_SUMS_AT_ONCE))
  end

  local function graph_of(fn)
    local out = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_begin(device))
    fn()
    check(lib.fsam_graph_end(out, device))
    check(lib.fsam_graph_shape(out[0], counts))
    return ffi.gc(out[0], lib.fsam_graph_free), tonumber(counts[0])
  end

  local function values(list)
    local all = {}
    for i, g in ipairs(list) do
      all[i] = g.db:read()
    end
    return all
  end

  -- Runs fn plainly, so that memory has its size, then from a graph, whose second stream is late,
  -- then early: each time the same. Returns that, and how many nodes the graph has.
  local function run(list, fn)
    fn()
    local expected = values(list)
    local graph, nodes = graph_of(fn)
    for _ = 1, 2 do
      for _, g in ipairs(list) do
        g.db:fill(1)
      end
      check(lib.fsam_graph_run(graph))
      assert.same(expected, values(list))
    end
    return expected, nodes
  end

  local function several(count, rows)
    local list = {}
    for i = 1, count do
      list[i] = gradient(rows or 40, 5 + 16 * i, i)
    end
    return list
  end

  it("are one launch for each four or more of them, with the bits of one after another", function()
    local list = several(8)
    local apart, nodes = run(list, function()
      for _, g in ipairs(list) do
        add_up(g)
      end
    end)
    assert.equal(16, nodes) -- each its chunks, and what adds them up
    local together, fewer = run(list, function()
      hold()
      for i, g in ipairs(list) do
        add_up(g)
        if i == 3 or i == 6 then
          section() -- of which the first finds too few
        end
      end
      finish()
    end)
    assert.same(apart, together)
    assert.equal(8 + 2, fewer)
  end)

  it("leave memory alone that is still read", function()
    -- More than both halves of the memory hold; a layer's sums, section after section.
    local list = several(20)
    local function queue()
      hold()
      for i, g in ipairs(list) do
        add_up(g)
        if i % 4 == 0 then
          section()
        end
      end
      finish()
    end
    local expected, nodes = run(list, queue)
    for i, g in ipairs(list) do
      add_up(g)
      assert.same(expected[i], g.db:read())
    end
    assert.equal(20 + 5, nodes)
  end)

  it("are added in order where several go to one place", function()
    local a, b, c = gradient(40, 7, 1), gradient(24, 7, 2), gradient(12, 7, 3)
    b.db, c.db = a.db, a.db
    local function all()
      add_up(a)
      add_up(b, 1)
      add_up(c, 1)
    end
    local expected = run({ a }, all)
    assert.same(expected, (run({ a }, function()
      hold()
      all()
      finish()
    end)))
    assert.same(expected, (run({ a }, function()
      hold()
      section(all)
      finish()
    end)))
  end)

  it("are dropped when the work fails, and held no more", function()
    local a, b = gradient(40, 7, 1), gradient(40, 9, 2)
    hold()
    add_up(a)
    check(lib.fsam_beside_sums(device, lib.FSAM_SUMS_DROPPED))
    add_up(b)
    local got = values({ a, b })
    assert.same({ 1, 1, 1, 1, 1, 1, 1 }, got[1])
    assert.are_not.equal(1, got[2][1])
  end)

  it("need no more memory while they are recorded than the plain pass did", function()
    local list = several(3)
    local function queue()
      hold()
      for _, g in ipairs(list) do
        add_up(g)
      end
      finish()
    end
    run(list, queue)
    local wide = gradient(400, 4000, 5)
    list[4] = wide
    check(lib.fsam_graph_begin(device))
    hold()
    assert.equal(lib.FSAM_EINVAL, lib.fsam_linear_backward_weight(nil, wide.db, wide.dy, wide.x))
    assert.matches("cannot enlarge the memory of column sums while work is being recorded",
      ffi.string(lib.fsam_error()), 1, true)
    check(lib.fsam_graph_end(nil, device))
    check(lib.fsam_beside_sums(device, lib.FSAM_SUMS_DROPPED))
    run(list, queue)
  end)
end)
