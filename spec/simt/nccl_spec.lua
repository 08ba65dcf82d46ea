-- Ranks whose GPUs NCCL joins, without a GPU and without NCCL: kernels and streams are the shim's,
-- and a stand-in for NCCL (nccl.cpp) carries sums between processes of this machine. Two ranks are
-- one process with two micro-batches, whatever happens to one of them all end soon with one line,
-- and the stand-in finds each kind of wrong call.
local C = require("fsam.C")
local helper = require("spec.helper")
local simt = require("spec.simt.device")
local ffi = C.ffi

local build = helper.quote(helper.build_dir())
local LONGEST = 40 -- seconds from a start to the end after a fault: 5, and other work beside it

local function missing()
  local lib, why = simt.load()
  if not lib then
    return why
  end
  local code, out = helper.shell(("cmake --build %s --target fsam-nccl 2>&1"):format(build))
  assert(code == 0, out)
end

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

local IN_PROGRESS, F32, F64 = 7, 7, 8

describe("NCCL between ranks", function()
  local why = missing()
  if why then
    pending(why)
    return
  end
  local folder

  setup(function()
    folder = helper.memory_dir()
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  -- -- ranks under mpirun ------------------------------------------------------------------------

  local JOB = " OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 "
    .. "OMPI_MCA_btl_vader_single_copy_mechanism=none LD_LIBRARY_PATH=" .. build .. "/nccl "
  local program = build .. "/fsam-lua"

  local function job(count, words)
    local start = count == 1 and "" or "mpirun --oversubscribe -np " .. count .. " "
    return helper.shell(("env%stimeout -s KILL 400 %s%s spec/simt/rank_job.lua 2 %s"):format(JOB,
      start, program, words))
  end

  local function has_mpi()
    return helper.shell("command -v mpirun") == 0
      and helper.read_file(helper.build_dir() .. "/libfsam-mpi.so")
  end

  local function run_into(name, count)
    local place = folder .. "/" .. name
    helper.shell("mkdir " .. place)
    local code, out, err = job(count, place)
    assert.equal(0, code, err)
    return out, function(case)
      return assert(helper.read_file(place .. "/" .. case))
    end
  end

  local one

  -- One process builds the vector programs, which all jobs then find in the build folder.
  setup(function()
    if has_mpi() then
      local _, outcome = run_into("one", 1)
      one = outcome
    end
  end)

  it("are one process with two micro-batches: every type and policy, also from graphs", function()
    if not has_mpi() then
      pending("there is no MPI")
      return
    end
    local out, two = run_into("two", 2)
    local cases = 0
    for case in io.popen("ls " .. folder .. "/one"):lines() do
      local x, y = ffi.cast("const float *", one(case)), ffi.cast("const float *", two(case))
      local worst, largest = 0, 0
      for i = 0, #one(case) / 4 - 1 do
        worst = math.max(worst, math.abs(x[i] - y[i]))
        largest = math.max(largest, math.abs(x[i]))
      end
      local most = case:find("^bf16") and 1e-3 or 1e-5
      assert.is_true(worst / largest < most, case .. " " .. worst / largest)
      local early = out:match(case:gsub("%-", "%%-") .. " replayed %d+ early (%d+)")
      assert.is_true(tonumber(early) > 5, out)
      cases = cases + 1
    end
    assert.is_true(cases >= 41)
    for _, case in ipairs({ "fp32-fisher-sam", "fp32-esam", "bf16-plain-adam" }) do
      local replayed = out:match(case:gsub("%-", "%%-") .. " replayed (%d+)")
      assert.is_true(tonumber(replayed) > 0, out)
    end
  end)

  local FAULTS = {
    { "kill 1", "signal 9" },
    { "kill-in-sum 1", "signal 9" },
    { "stop 1", "rank 1 has not been heard of for 2 seconds, longer than --rank-timeout allows" },
    { "part 1", ": NCCL: invalid usage" },
  }

  for i, fault in ipairs(FAULTS) do
    it("end soon, with one line: " .. fault[1], function()
      if not has_mpi() then
        pending("there is no MPI")
        return
      end
      local place, started = folder .. "/fault-" .. i, os.time()
      helper.shell("mkdir " .. place)
      local code, _, err = job(2, place .. " " .. fault[1])
      assert.is_true(code ~= 0, err)
      assert.is_true(os.difftime(os.time(), started) < LONGEST, "it took too long")
      assert.is_truthy(err:find(fault[2], 1, true), err)
      assert.is_true(select(2, err:gsub("%.lua:%d+: ", "")) <= 1, err)
    end)
  end

  -- -- ranks without MPI -------------------------------------------------------------------------

  local ports = 20000 + os.time() % 10000

  -- Two processes as torchrun starts them. Their GPU is the shim's device, behind a driver that
  -- reports so many. Returns, for each rank, exit code, what it saw, and standard error.
  local function torchrun(fault, gpus)
    ports = ports + 1
    local place = ("%s/alone-%d"):format(folder, ports)
    local commands, results = {}, {}
    commands[1] = ("mkdir -p %s/lua/fsam && cp %s/lua/fsam/cdef.lua %s/lua/fsam && cp "
      .. "%s/libfsam.so %s && ln -s %s/libfsam-simt.so %s/libfsam-cuda.so && cc -shared -fPIC "
      .. "-DFAKE_DRIVER -o %s/libcuda.so.1 spec/engine/fake_cuda.c"):format(place, build, place,
        build, place, build, place, place)
    for rank = 0, 1 do
      commands[#commands + 1] = ("{ env RANK=%d WORLD_SIZE=2 LOCAL_RANK=%d LOCAL_WORLD_SIZE=2 "
        .. "MASTER_ADDR=localhost MASTER_PORT=%d LD_LIBRARY_PATH=%s:%s/nccl FAKE_GPUS=%d "
        .. "FAKE_VERSION=13000 FSAM_GRAPHS=0 'FSAM_LUA_PATH=%s/lua/?.lua;;' timeout -s KILL 60 %s "
        .. "spec/simt/nccl_alone.lua %s %s 2>%s/err-%d; echo $? >%s/code-%d; } &"):format(rank,
          rank, ports, place, build, gpus or 2, place, program, place, fault or "", place, rank,
          place, rank)
      if rank == 1 and fault == "stop" then
        commands[#commands] = commands[#commands]:gsub("timeout %-s KILL 60", "timeout -s KILL 12")
      end
    end
    helper.shell(table.concat(commands, "\n") .. "\nwait")
    for rank = 0, 1 do
      results[rank] = { code = tonumber(helper.read_file(place .. "/code-" .. rank)),
        saw = helper.read_file(place .. "/" .. rank),
        err = helper.read_file(place .. "/err-" .. rank) }
    end
    return results[0], results[1]
  end

  it("join without MPI, on a GPU each", function()
    local first, second = torchrun()
    assert.same({ 0, "", 0, "" }, { first.code, first.err, second.code, second.err })
    local COMMON = table.concat({ "numbers 0.5 7 1.5 7", "parts 2 4 6 4 10 13",
      "whole 2 4 6 8 10 12" }, "\n")
    local GATHERED = "\ngather 10 10 11 11 11 11\n"
    assert.equal("0 of 2, Lazy GPU, 0 GB\n" .. COMMON .. "\nscatter 2 4 6 8 10 1" .. GATHERED,
      first.saw)
    assert.equal("1 of 2, Lazy GPU, 0 GB\n" .. COMMON .. "\nscatter" .. GATHERED, second.saw)
  end)

  -- A message without the line of the script that called the library.
  local function unplaced(err)
    return (err:gsub("spec/simt/(nccl_alone%.lua):%d+: ", "%1: "))
  end

  it("say what differs between them, and what went wrong on which", function()
    local first = torchrun("differ")
    assert.equal(1, first.code)
    assert.equal("nccl_alone.lua: rank 1 has --lr 2, rank 0 has --lr 1; start all ranks with the "
      .. "same program, options and files\n", unplaced(first.err))
    local _, second = torchrun("error")
    assert.equal(1, second.code)
    assert.equal("rank 1: nccl_alone.lua: the pipes are broken\n", unplaced(second.err))
  end)

  it("give up when one of them stops", function()
    local first = torchrun("stop")
    assert.equal(1, first.code)
    assert.equal("nccl_alone.lua: rank 0 has waited 2 seconds for another rank's GPU, longer than "
      .. "--rank-timeout allows; a run with --save-dir goes on from its last checkpoint\n",
      unplaced(first.err))
  end)

  it("do not begin with fewer GPUs than ranks, or none", function()
    local first, second = torchrun("", 1)
    assert.same({ 1, 1, "" }, { first.code, second.code, second.err })
    assert.equal("fsam-lua: torchrun starts processes without MPI, which train on GPUs alone (2 or "
      .. "more ranks are on a machine of 1 GPU; start one for each GPU); on processors start them "
      .. "with mpirun -np 2\n", first.err)
    first = torchrun("", 0)
    assert.equal("fsam-lua: torchrun starts processes without MPI, which train on GPUs alone (the "
      .. "NVIDIA driver reports no GPU); on processors start them with mpirun -np 2\n", first.err)
  end)

  -- -- the stand-in ------------------------------------------------------------------------------

  describe("the stand-in", function()
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
end)
