-- Ranks whose GPUs NCCL joins, without a GPU and without NCCL: kernels and streams are the shim's,
-- and a stand-in for NCCL (nccl.cpp) carries sums between processes of this machine. Two ranks are
-- one process with two micro-batches, with shares of the state and without; whatever happens to one
-- of them, all end soon with one line, and a run goes on to the bytes of an uninterrupted one.
local C = require("fsam.C")
local helper = require("spec.helper")
local simt = require("spec.simt.device")
local ffi = C.ffi

local build = helper.quote(helper.build_dir())
local LONGEST = 40 -- seconds from a start to the end after a fault: 5, and other work beside it

describe("NCCL between ranks", function()
  local why = simt.nccl()
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

  local function mpirun(count, words, variables)
    local start = count == 1 and "" or "mpirun --oversubscribe -np " .. count .. " "
    return helper.shell(("env%s%s timeout -s KILL 400 %s%s spec/simt/%s"):format(JOB,
      variables or "", start, program, words))
  end

  local function job(count, words, variables)
    return mpirun(count, ("rank_job.lua %d %s"):format(math.max(count, 2), words), variables)
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

  -- Of two numbers every order gives one sum, so that bytes are equal with shares and without.
  it("are one process with two micro-batches, also from graphs, also in shares", function()
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
    assert.is_true(cases >= 10)
    local shared = 0
    for early in out:gmatch("shares (%d+)") do
      assert.is_true(tonumber(early) > 5, out)
      shared = shared + 1
    end
    assert.is_true(shared >= 6, out)
    for _, case in ipairs({ "fp32-fisher-sam", "fp32-esam", "bf16-plain-adam" }) do
      local replayed = out:match(case:gsub("%-", "%%-") .. " replayed (%d+)")
      assert.is_true(tonumber(replayed) > 0, out)
    end
  end)

  -- NCCL adds more than two numbers in another order where one rank gets the sum than where all do.
  -- With one order of them all, what else shares do is exact.
  it("of three end with the same bytes in shares, where sums have one order", function()
    if not has_mpi() then
      pending("there is no MPI")
      return
    end
    local place = folder .. "/three"
    helper.shell("mkdir " .. place)
    local code, out, err = job(3, place .. " shares", "FSAM_NCCL_ORDER=ranks")
    assert.equal(0, code, err)
    assert.is_true(select(2, out:gsub("shares %d+", "")) >= 3, out)
  end)

  -- -- a whole run, in two halves -----------------------------------------------------------------

  local FLAGS = " --precision fp32 --batch-size 4 --num-samples 1 --mask-iter-e 2 --log-format "
    .. "simple --total-num-update 12 --warmup-updates 1 "

  -- The files that a run leaves.
  local function outcome(run)
    local found = {}
    for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
      found[#found + 1] = assert(helper.read_file(("%s/%s/checkpoint_last/%s"):format(folder, run,
        name)))
    end
    return found
  end

  local function train(count, run, flags)
    local code, out, err = mpirun(count, ("nccl_run.lua --save-dir %s/%s%s%s"):format(folder, run,
      FLAGS, flags), "SMALL_SAMPLES=16")
    assert.equal(0, code, err)
    assert.is_nil(out:find("the hosts' memory", 1, true))
    return out
  end

  it("go on to the bytes of an uninterrupted run, also in shares; with others they say that bits "
    .. "will differ", function()
    if not has_mpi() then
      pending("there is no MPI")
      return
    end
    train(2, "full", "--max-epoch 2")
    train(2, "half", "--max-epoch 1")
    for _, run in ipairs({ "shares", "more" }) do
      helper.shell(("cp -r %s/half %s/%s"):format(folder, folder, run))
    end
    assert.is_true(outcome("full")[1] ~= outcome("half")[1])
    train(2, "half", "--max-epoch 2")
    assert.same(outcome("full"), outcome("half"))
    train(2, "shares", "--max-epoch 2 --shard-state")
    assert.same(outcome("full"), outcome("shares"))
    assert.matches("the run began with ranks 2, now 3; it continues, but not bit for bit",
      train(3, "more", "--max-epoch 2"), 1, true)
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

  -- A folder with the program on a machine of so many GPUs, which are the shim's device behind a
  -- driver that reports them; and the environment that a process has there.
  local function machine(gpus)
    ports = ports + 1
    local place = ("%s/alone-%d"):format(folder, ports)
    assert(0 == helper.shell(("mkdir -p %s/lua/fsam && cp %s/lua/fsam/cdef.lua %s/lua/fsam && cp "
      .. "%s/libfsam.so %s && ln -s %s/libfsam-simt.so %s/libfsam-cuda.so && cc -shared -fPIC "
      .. "-DFAKE_DRIVER -o %s/libcuda.so.1 spec/engine/fake_cuda.c"):format(place, build, place,
        build, place, build, place, place)))
    return place, ("MASTER_ADDR=localhost MASTER_PORT=%d LD_LIBRARY_PATH=%s:%s/nccl FAKE_GPUS=%d "
      .. "FAKE_VERSION=13000 FSAM_GRAPHS=0 'FSAM_LUA_PATH=%s/lua/?.lua;;'"):format(ports, place,
        build, gpus, place)
  end

  it("of one are what scripts/gpu-check tries", function()
    local _, variables = machine(1)
    local code, out, err = helper.shell(("env %s timeout -s KILL 60 %s %s"):format(variables,
      program, "spec/kernels/nccl_trial.lua"))
    assert.equal(0, code, err)
    assert.equal("NCCL sums 1048576 numbers of one rank on Lazy GPU, 1 GB\n", out)
  end)

  -- Two processes as torchrun starts them. Returns, for each rank, exit code, what it saw, and
  -- standard error.
  local function torchrun(fault, gpus)
    local place, variables = machine(gpus or 2)
    local commands, results = {}, {}
    for rank = 0, 1 do
      commands[#commands + 1] = ("{ env RANK=%d WORLD_SIZE=2 LOCAL_RANK=%d LOCAL_WORLD_SIZE=2 %s "
        .. "timeout -s KILL 60 %s spec/simt/nccl_alone.lua %s %s 2>%s/err-%d; "
        .. "echo $? >%s/code-%d; } &"):format(rank, rank, variables, program, place, fault or "",
          place, rank, place, rank)
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
    assert.equal("0 of 2, Lazy GPU, 1 GB\n" .. COMMON .. "\nscatter 2 4 6 8 10 1\na part 1 4"
      .. GATHERED, first.saw)
    assert.equal("1 of 2, Lazy GPU, 1 GB\n" .. COMMON .. "\nscatter\na part 6 8 5 6" .. GATHERED,
      second.saw)
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
end)
