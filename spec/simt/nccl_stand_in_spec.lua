-- The stand-in for NCCL (nccl.cpp): it carries sums between ranks, and finds each kind of wrong
-- call, so that the specs of ranks whose GPUs it joins show that there is none.
local C = require("fsam.C")
local helper = require("spec.helper")
local simt = require("spec.simt.device")
local ffi = C.ffi

ffi.cdef([[
typedef struct { char bytes[128]; } fake_nccl_id;
typedef struct { size_t size; unsigned magic, version; int blocking; } fake_nccl_config;
typedef struct fake_nccl_comm fake_nccl_comm;
int ncclGetUniqueId(fake_nccl_id *id);
int ncclCommInitRankConfig(fake_nccl_comm **out, int size, fake_nccl_id id, int rank,
                           fake_nccl_config *c);
int ncclCommGetAsyncError(fake_nccl_comm *c, int *error);
int ncclCommAbort(fake_nccl_comm *c);
int ncclCommDestroy(fake_nccl_comm *c);
int ncclCommFinalize(fake_nccl_comm *c);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, fake_nccl_comm *c,
                  void *stream);
int ncclReduce(const void *from, void *to, size_t count, int type, int op, int root,
               fake_nccl_comm *c, void *stream);
int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, fake_nccl_comm *c,
                  void *stream);
int ncclAllGather(const void *from, void *to, size_t count, int type, fake_nccl_comm *c,
                  void *stream);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int fsam_nccl_quiet;
int fsam_simt_stream(void **out);
int fsam_simt_stream_end(void *stream);
int fsam_simt_stream_ready(void *stream);
]])

local IN_PROGRESS, U64, F32, F64 = 7, 5, 7, 8

describe("the stand-in for NCCL", function()
  local why = simt.nccl()
  if why then
    pending(why)
    return
  end
  local shim, nccl, values
  local streams = {}

  setup(function()
    shim, nccl = simt.load(), ffi.load(helper.build_dir() .. "/nccl/libnccl.so.2")
    nccl.fsam_nccl_quiet = 1
  end)

  before_each(function()
    values = ffi.new("float[64]")
  end)

  after_each(function()
    for i = #streams, 1, -1 do
      shim.fsam_simt_stream_end(table.remove(streams, i))
    end
  end)

  -- Asks for errors, as a caller does, until nothing is in progress. Returns the error.
  local function settled(comm)
    local error = ffi.new("int[1]", IN_PROGRESS)
    for _ = 1, 10 do
      if error[0] == IN_PROGRESS then
        nccl.ncclCommGetAsyncError(comm, error)
      end
    end
    return error[0]
  end

  -- Two ranks in this process, each with a stream: { comm, stream, … }.
  local function pair()
    local id, config = ffi.new("fake_nccl_id"), ffi.new("fake_nccl_config")
    config.size, config.magic, config.version = ffi.sizeof(config), 0xcafebeef, 21800
    nccl.ncclGetUniqueId(id)
    local ranks = {}
    for rank = 0, 1 do
      local out, stream = ffi.new("fake_nccl_comm *[1]"), ffi.new("void *[1]")
      assert(nccl.ncclCommInitRankConfig(out, 2, id, rank, config) == IN_PROGRESS)
      assert(shim.fsam_simt_stream(stream) == 0)
      streams[#streams + 1] = stream[0]
      ranks[rank + 1] = { comm = out[0], stream = stream[0], at = values + 32 * rank }
    end
    for _ = 1, 2 do
      for _, r in ipairs(ranks) do
        settled(r.comm)
      end
    end
    return ranks[1], ranks[2]
  end

  local function all_reduce(r, count, type)
    local result = nccl.ncclAllReduce(r.at, r.at, count, type or F32, 0, r.comm, r.stream)
    return result == IN_PROGRESS and settled(r.comm) or result
  end

  -- Lets both do what they have; returns whether all is done, and their errors.
  local function run(a, b)
    for _ = 1, 3 do
      shim.fsam_simt_stream_ready(a.stream)
      shim.fsam_simt_stream_ready(b.stream)
    end
    return shim.fsam_simt_stream_ready(a.stream) + shim.fsam_simt_stream_ready(b.stream) == 2,
      { settled(a.comm), settled(b.comm) }
  end

  it("sums, when all have come, and not before", function()
    local a, b = pair()
    values[0], values[32] = 3, 4
    assert.equal(0, all_reduce(a, 2))
    assert.equal(0, shim.fsam_simt_stream_ready(a.stream))
    assert.equal(3, values[0])
    assert.equal(0, all_reduce(b, 2))
    assert.same({ true, { 0, 0 } }, { run(a, b) })
    assert.same({ 7, 7 }, { values[0], values[32] })
  end)

  it("sums whole numbers of 64 bits exactly", function()
    local a, b = pair()
    ffi.cast("uint64_t *", a.at)[0], ffi.cast("uint64_t *", b.at)[0] = 0x3ff0000000000001ULL, 2^40
    assert.same({ 0, 0 }, { all_reduce(a, 1, U64), all_reduce(b, 1, U64) })
    assert.same({ true, { 0, 0 } }, { run(a, b) })
    assert.is_true(ffi.cast("uint64_t *", b.at)[0] == 0x3ff0010000000001ULL)
  end)

  -- What rank 0 calls, what rank 1 calls; neither gets anywhere.
  local DIFFER = {
    ["another count"] = { function(r) all_reduce(r, 2) end, function(r) all_reduce(r, 3) end },
    ["another type"] = { function(r) all_reduce(r, 2) end,
      function(r) all_reduce(r, 2, F64) end },
    ["another collective"] = { function(r) all_reduce(r, 2) end, function(r)
      nccl.ncclBroadcast(r.at, r.at, 2, F32, 0, r.comm, r.stream)
    end },
    ["another root"] = { function(r)
      nccl.ncclReduce(r.at, r.at, 2, F32, 0, 0, r.comm, r.stream)
    end, function(r)
      nccl.ncclReduce(r.at, r.at, 2, F32, 0, 1, r.comm, r.stream)
    end },
    ["a group of its own"] = { function(r) all_reduce(r, 2) end, function(r)
      nccl.ncclGroupStart()
      all_reduce(r, 2)
      nccl.ncclGroupEnd()
    end },
  }
  for name, calls in pairs(DIFFER) do
    it("finds " .. name, function()
      local a, b = pair()
      calls[1](a)
      calls[2](b)
      local done, errors = run(a, b)
      assert.is_false(done)
      assert.is_true(errors[1] == 5 or errors[2] == 5)
    end)
  end

  -- What one rank may not do: the last call's result.
  local WRONG = {
    ["a call after an abort"] = function(r)
      nccl.ncclCommAbort(r.comm)
      return all_reduce(r, 2)
    end,
    ["a question after an abort"] = function(r)
      nccl.ncclCommAbort(r.comm)
      return nccl.ncclCommGetAsyncError(r.comm, ffi.new("int[1]"))
    end,
    ["a second abort"] = function(r)
      nccl.ncclCommAbort(r.comm)
      return nccl.ncclCommAbort(r.comm)
    end,
    ["a call after the end"] = function(r)
      nccl.ncclCommDestroy(r.comm)
      return all_reduce(r, 2)
    end,
    ["an end while work is queued"] = function(r)
      all_reduce(r, 2)
      return nccl.ncclCommFinalize(r.comm)
    end,
    ["buffers that overlap"] = function(r)
      return nccl.ncclAllReduce(r.at, r.at + 1, 2, F32, 0, r.comm, r.stream)
    end,
    ["a gathered part at another rank's place"] = function(r)
      return nccl.ncclAllGather(r.at + 2, r.at, 2, F32, r.comm, r.stream)
    end,
    ["a call while another is in progress"] = function(r)
      nccl.ncclAllReduce(r.at, r.at, 2, F32, 0, r.comm, r.stream)
      return nccl.ncclAllReduce(r.at, r.at, 2, F32, 0, r.comm, r.stream)
    end,
    ["a group that ends and did not begin"] = function()
      return nccl.ncclGroupEnd()
    end,
    ["no stream"] = function(r)
      return nccl.ncclAllReduce(r.at, r.at, 2, F32, 0, r.comm, nil)
    end,
  }
  for name, call in pairs(WRONG) do
    it("finds " .. name, function()
      assert.equal(5, call((pair())))
    end)
  end

  it("lets work end after an abort", function()
    local a = pair()
    all_reduce(a, 2)
    assert.equal(0, shim.fsam_simt_stream_ready(a.stream))
    nccl.ncclCommAbort(a.comm)
    assert.equal(1, shim.fsam_simt_stream_ready(a.stream))
  end)
end)
