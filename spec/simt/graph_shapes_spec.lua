-- Which sizes batches have on a GPU, so that few graphs serve all of them, and how many graphs are
-- kept: on the fake runtime (spec/simt/runtime.cpp).
local C = require("fsam.C")
local cuda_graphs = require("fsam.pass.cuda_graphs")
local device_batch = require("fsam.pass.device_batch")
local devices = require("fsam.base.device")
local losses = require("fsam.pass.losses")
local packing = require("fsam.data.packing")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local ffi, check = C.ffi, C.check

describe("graphs' shapes", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local out = ffi.new("fsam_device *[1]")
  check(shim.fsam_simt_open_lazy(out))
  local device = out[0]
  local graphs = cuda_graphs.new(device)

  it("are few: tokens in 16 steps an octave, lengths in 2", function()
    local function tokens(n)
      return graphs:tokens({ tokens = n })
    end
    local function longest(n)
      return graphs:longest({ tokens = 100000, longest = n })
    end
    for _, case in ipairs({ { 1, 32 }, { 32, 32 }, { 33, 64 }, { 512, 512 }, { 513, 544 },
      { 1024, 1024 }, { 1025, 1088 }, { 12000, 12288 }, { 16384, 16384 } }) do
      assert.equal(case[2], tokens(case[1]))
    end
    for _, case in ipairs({ { 1, 32 }, { 26, 32 }, { 32, 32 }, { 33, 64 }, { 65, 96 }, { 96, 96 },
      { 128, 128 }, { 129, 192 }, { 300, 384 }, { 385, 512 }, { 512, 512 } }) do
      assert.equal(case[2], longest(case[1]))
    end
    local sizes, count = {}, 0
    for n = 1, 20000 do
      assert.is_true(tokens(n) >= n and tokens(n) <= math.max(n + 31, n * 17 / 16))
      count = count + (sizes[tokens(n)] and 0 or 1)
      sizes[tokens(n)] = true
    end
    assert.is_true(count < 16 * 7)
    assert.equal(64, graphs:longest({ tokens = 50, longest = 50 }))
  end)

  it("are the batch's own sizes on the CPU", function()
    local own = cuda_graphs.new(devices.open("cpu"))
    local host = { tokens = 1056, longest = 45 }
    assert.equal(1056, own:tokens(host))
    assert.equal(45, own:longest(host))
    assert.is_nil(own:beside(32))
  end)

  it("have work beside other work up to the size at which a product fills a GPU", function()
    assert.equal(device, graphs:beside(4096))
    assert.is_nil(graphs:beside(4097))
  end)

  it("have more of a batch's tail", function()
    local host = packing.pack({ { ids = { 5, 6, 7 }, label = 1 }, { ids = { 8 }, label = 0 } },
      { pad_id = 9, position_offset = 2, token_bucket = 6, sample_bucket = 2 })
    local arena = devices.arena(device, "batch")
    local batch, labels = device_batch.send(host, { arena = arena, pass = ffi.new("fsam_pass"),
      kind = losses.get("cross_entropy"), classes = 2, tokens = 8, longest = 32 })
    assert.equal(8, batch.tokens)
    local function read(field, count)
      local t = Tensor.new(arena, "i32", { count }, field)
      t.data = ffi.cast("void *", batch[field])
      return t:read()
    end
    assert.same({ 5, 6, 7, 8, 9, 9, 9, 9 }, read("ids", 8))
    assert.same({ 0, 0, 0, 1, -1, -1, -1, -1 }, read("sample", 8))
    assert.same({ 2, 3, 4, 2, 0, 0, 0, 0 }, read("positions", 8))
    assert.same({ 0, 3, 4 }, read("starts", 3))
    assert.same({ 1, 0 }, labels:read())
  end)

  it("are kept while all their nodes are few enough", function()
    local arena, kept = devices.arena(device, "t"), cuda_graphs.new(device)
    local t = Tensor.new(arena, "f32", { 4 }, "t")
    kept.most_nodes = 10
    local function run(name, nodes)
      local work = kept:begin(name)
      assert.is_true(work:piece("forward", function()
        for _ = 1, nodes do
          t:fill(0)
        end
      end))
      return work.mode
    end
    local function record(name, nodes)
      assert.equal("plain", run(name, nodes))
      local mode = run(name, nodes)
      return mode == "plain" and run(name, nodes) or mode
    end
    for _, name in ipairs({ "a", "b", "c" }) do
      assert.equal("recorded", record(name, 3))
    end
    assert.equal(9, kept.nodes)
    assert.equal("replayed", run("a", 3)) -- so b is the one used longest ago
    assert.equal("recorded", record("d", 3))
    assert.equal(9, kept.nodes)
    assert.equal("plain", run("b", 3))
    assert.equal("replayed", run("a", 3))
    assert.equal("recorded", record("large", 20)) -- larger than all that may be kept: alone
    assert.equal(20, kept.nodes)
    assert.equal("recorded", record("a", 3))
    assert.equal(3, kept.nodes)
    assert.equal("plain", run("large", 20))
  end)
end)
