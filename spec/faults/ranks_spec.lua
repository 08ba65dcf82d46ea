-- Several processes under a real mpirun: N ranks are one process with N micro-batches, for every
-- sam-type and mask policy; and whatever happens to one of them, all end soon with one line, and
-- the same command goes on to the bytes of an uninterrupted run. (Without processes:
-- spec/lua/ranks.)
local ffi = require("ffi")
local helper = require("spec.helper")
local json = require("fsam.base.json")

-- Several processes here share two cores, and a container has no user but root.
local ENVIRONMENT = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 "
  .. "OMPI_MCA_btl_vader_single_copy_mechanism=none" -- which containers forbid
local FLAGS = "--precision fp32 --batch-size 4 --num-samples 2 --mask-iter-e 2 --log-format simple "
  .. "--save-interval-updates 2 --max-epoch 4 --rank-timeout 2"

local SWEEP = os.getenv("FSAM_SWEEP") -- all cases for every number of ranks, and longer in bf16
local LONGEST = 7 -- seconds from a fault to the end: the timeout, and 5

local program = helper.quote(helper.build_dir() .. "/fsam-lua")
local folder

local function missing()
  if helper.shell("command -v mpirun") ~= 0 then
    return "mpirun is not installed"
  elseif not helper.read_file(helper.build_dir() .. "/libfsam-mpi.so") then
    return "this build has no MPI"
  end
end

-- Runs a command under mpirun; nothing may take minutes, on a machine with other work either.
local function mpirun(count, words)
  return helper.shell(("%s timeout -s KILL 180 mpirun --oversubscribe -np %d %s %s"):format(
    ENVIRONMENT, count, program, words))
end

local function small_run(run, flags)
  return ("spec/faults/small_run.lua --save-dir %s/%s %s %s"):format(folder, run, FLAGS,
    flags or "")
end

-- The bytes that a run leaves.
local function outcome(run)
  local found = {}
  for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
    for _, part in ipairs({ "model.safetensors", "state.safetensors" }) do
      local path = ("%s/%s/%s/%s"):format(folder, run, name, part)
      found[#found + 1] = assert(helper.read_file(path), path .. " is not there")
    end
  end
  return found
end

-- The lines of standard error that are not MPI's own.
local function said(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    if line:find("^%S+%.lua: ") or line:find("^fsam%-lua: ") then
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

local function worst_difference(a, b)
  local x, y = ffi.cast("const float *", a), ffi.cast("const float *", b)
  local worst, largest = 0, 0
  for i = 0, #a / 4 - 1 do
    worst, largest = math.max(worst, math.abs(x[i] - y[i])), math.max(largest, math.abs(x[i]))
  end
  return worst / largest
end

describe("ranks under mpirun", function()
  local why = missing()
  if why then
    pending(why)
    return
  end

  setup(function()
    folder = helper.memory_dir()
    assert.equal(0, (mpirun(2, small_run("whole"))))
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  -- Sums in another order turn the rounding of a number to bf16 now and then. wsam has nine times
  -- the difference of two gradients in its update, and so of what follows: 1.1e-3 with three.
  local MOST = { ["bf16-wsam"] = 3e-3 }

  for count = 2, 4 do
    it(("of %d are one process with %d micro-batches, after 20 updates"):format(count, count),
      function()
        for name, ranks in pairs({ one = 1, many = count }) do
          local place = ("%s/%s-%d"):format(folder, name, count)
          helper.shell("mkdir " .. place)
          local code, _, err = mpirun(ranks, ("spec/lua/ranks/job.lua %d %s 20 %d"):format(count,
            place, SWEEP and 20 or 4))
          assert.equal(0, code, err)
        end
        local cases = 0
        for name in io.popen(("ls %s/one-%d"):format(folder, count)):lines() do
          local function weights(kind)
            return helper.read_file(("%s/%s-%d/%s"):format(folder, kind, count, name))
          end
          local difference = worst_difference(weights("one"), weights("many"))
          assert.is_true(difference < (MOST[name] or name:find("^bf16") and 1e-3 or 1e-5),
            name .. " " .. difference)
          cases = cases + 1
        end
        assert.is_true(cases >= (count == 2 and 80 or 30)) -- each in two precisions
      end)

  end

  -- That two and three do, the faults below show too: what is continued there ends as a run that
  -- was not interrupted.
  for _, count in ipairs(SWEEP and { 4, 2, 3 } or { 4 }) do
    it(("of %d end with the same bytes every time"):format(count), function()
      for _, run in ipairs({ "first", "again" }) do
        assert.equal(0, (mpirun(count, small_run(run .. count, "--fisher sample"))))
      end
      assert.same(outcome("first" .. count), outcome("again" .. count))
    end)
  end

  it("of two hosts end with the same bytes as on one", function()
    local code, _, err = helper.shell(("env %s timeout -s INT 180 spec/faults/two_hosts %s %s")
      :format(ENVIRONMENT, program, small_run("hosts", "--fisher sample")))
    if code == 3 then
      pending("network namespaces are not permitted here")
      return
    end
    assert.equal(0, code, err)
    assert.same(outcome("first4"), outcome("hosts"))
  end)

  it("are as without MPI where there is one", function()
    assert.equal(0, (mpirun(1, small_run("one"))))
    assert.equal(0, (helper.shell(program .. " " .. small_run("alone"))))
    assert.same(outcome("alone"), outcome("one"))
  end)

  -- Two halves of a run: may each rank hold a share? And its other options.
  local SHARES = {
    { "--shard-state", "" }, { "", "--shard-state" },
    { "--shard-state", "--shard-state", "--precision bf16 --mask-per tensor --renorm --fisher adam "
      .. "--no-last-checkpoints --keep-best-checkpoints 2 --sam-type fisher-esam" },
  }
  local LENGTH = "--total-num-update 12 --warmup-updates 1 "
  local full -- the options of the run that is in this folder

  for _, case in ipairs(SHARES) do
    it(("end with the same bytes where each holds a share: %q, then %q"):format(case[1], case[2]),
      function()
        local options, at = LENGTH .. (case[3] or ""), case[3] and "checkpoint_best"
          or "checkpoint_last"
        local function train(run, flags)
          local code, _, err = mpirun(2, small_run(run, options .. " " .. flags))
          assert.equal(0, code, err)
        end
        local function part_of(run, part)
          return helper.read_file(("%s/%s/%s/%s.safetensors"):format(folder, run, at, part))
        end
        helper.shell(("rm -rf %s/halves"):format(folder))
        if full ~= options then -- of the same options it is there
          full = options
          helper.shell(("rm -rf %s/full"):format(folder))
          train("full", "--max-epoch 4")
        end
        train("halves", "--max-epoch 2 " .. case[1])
        local half = part_of("halves", "model")
        train("halves", "--max-epoch 4 " .. case[2])
        for _, part in ipairs({ "model", "state" }) do
          assert.is_true(part_of("full", part) == part_of("halves", part), part)
        end
        assert.is_true(case[3] ~= nil or half ~= part_of("halves", "model"))
      end)
  end

  it("judge as one process with as many micro-batches", function()
    assert.equal(0, (helper.shell(program .. " " .. small_run("grouped", "--update-freq 2"))))
    local function results(run)
      local path = ("%s/%s/results.json"):format(folder, run)
      return json.decode(helper.read_file(path), path)
    end
    local one, two = results("grouped"), results("whole")
    assert.same({ one.updates, one.samples }, { two.updates, two.samples })
    for _, at in ipairs({ "best", "last" }) do
      for _, name in ipairs({ "mcc", "accuracy", "f1", "loss" }) do
        assert.near(one[at][name], two[at][name], 1e-5)
      end
    end
  end)

  it("go on from a run of another number of ranks, and say that bits will differ", function()
    assert.equal(0, (mpirun(3, small_run("more", "--max-epoch 2"))))
    local code, out, err = mpirun(2, small_run("more"))
    assert.equal(0, code, err)
    assert.matches("the run began with ranks 3, now 2; it continues, but not bit for bit",
      out .. err, 1, true)
  end)

  -- A time that other work on the machine may have taken is not held against it: how much longer
  -- than its processor time a program runs that starts and ends.
  local function seconds_of_load()
    local _, out = helper.shell(("bash -c 'time %s -e \"\"' 2>&1"):format(program))
    return 100 * math.max(tonumber(out:match("real%s+0m([%d.]+)")) - 0.02, 0)
  end

  -- What is done to which rank, and the line that is said. That one is dead the launcher says, or
  -- another rank where the launcher takes longer than the timeout.
  local FAULTS = {
    { "kill 1 9" }, { "kill-in-sum 1 9" }, { "kill-in-pass 1 12" }, { "kill-in-save 0 7" },
    { "kill 0 9" },
    { "stop 1 9", "rank 1 has not been heard of for 2 seconds, longer than %-%-rank%-timeout" },
    { "stop 0 9", "rank 0 has not been heard of for 2 seconds, longer than %-%-rank%-timeout" },
    { "stop 2 9", "rank 2 has not been heard of for 2 seconds, longer than %-%-rank%-timeout" },
    { "error 1 9", "rank_fault%.lua: rank 1: rank_fault%.lua: the pipes are broken" },
    { "weights 1 3", "rank 1 has other weights than rank 0" },
    { "full 0 7", "No space left on device; the checkpoint before it is intact: ", disk = true },
  }

  local function may_mount()
    return helper.shell(("unshare -m mount -t tmpfs none %s"):format(folder)) == 0
  end

  for i, fault in ipairs(FAULTS) do
    it("lose nothing: " .. fault[1], function()
      if fault.disk and not may_mount() then
        pending("no file system of a small size can be mounted here")
        return
      end
      local run, count = "fault-" .. i, fault[1]:find("stop 2") and 3 or 2
      local words = small_run(run, "--check-ranks 2"):match("^%S+ (.*)$")
      local struck = folder .. "/struck"
      local command = ("env %s FSAM_STRUCK=%s timeout -s KILL 180 mpirun --oversubscribe -np %d %s "
        .. "spec/faults/rank_fault.lua %s %s"):format(ENVIRONMENT, struck, count, program,
          fault[1], words)
      if fault.disk then -- a small one, which is gone afterwards, and what lies on it copied
        local place = folder .. "/" .. run
        command = ("mkdir %s; unshare -m sh -c 'mount -t tmpfs -o size=2m none %s && %s; code=$?; "
          .. "rm -f %s/filler; cp -r %s %s-kept; exit $code'; code=$?; rmdir %s; mv %s-kept %s; "
          .. "exit $code"):format(place, place, command, place, place, place, place, place, place)
      end
      local code, _, err = helper.shell(command)
      local _, now = helper.shell("date +%s.%N")
      local seconds = tonumber(now) - tonumber(helper.read_file(struck))
      assert.is_true(code ~= 0, err)
      local own, rank = said(err), fault[1]:match("%d")
      if own == "" and not fault[2] then
        assert.is_truthy(err:find("process rank " .. rank .. " .*exited on signal 9"), err)
      else
        local line = fault[2] or "rank " .. rank .. " has not been heard of"
        assert.is_truthy(own:find(line) and not own:find("\n"), err)
      end
      local most = LONGEST + seconds_of_load()
      assert.is_true(seconds < most, ("it took %.1f s, longer than %.1f"):format(seconds, most))
      if SWEEP then
        print(("%s: ended %.1f s after it"):format(fault[1], seconds))
      end
      local whole = count == 2 and "whole" or "whole-3"
      if count == 3 then
        assert.equal(0, (mpirun(3, small_run(whole))))
      end
      code, _, err = mpirun(count, small_run(run))
      assert.equal(0, code, err)
      assert.same(outcome(whole), outcome(run))
    end)
  end

  -- The command; the only line that is ours.
  local ISA = ffi.string(require("fsam.C").lib.fsam_isa())
  local REFUSED = {
    { "mpirun --oversubscribe -np 1 %s %s --lr 0.5 : -np 1 %s %s",
      "small_run.lua: rank 1 has --lr 1e-05, rank 0 has --lr 0.5; start all ranks with the same "
        .. "program, options and files" },
    { "mpirun --oversubscribe -np 1 %s %s : -np 1 env SMALL_SAMPLES=23 %s %s",
      "small_run.lua: rank 1 has data of 23 and 8 samples (fingerprint 637f83f6), rank 0 has data "
        .. "of 24 and 8 samples (fingerprint e1331b9b); start all ranks with the same program, "
        .. "options and files" },
    { "mpirun --oversubscribe -np 1 %s %s : -np 1 env FSAM_ISA=generic %s %s",
      "small_run.lua: rank 1 has instruction set generic (FSAM_ISA sets it), rank 0 has "
        .. "instruction set " .. ISA .. " (FSAM_ISA sets it); start all ranks with the same "
        .. "program, options and files" },
    { "mpirun --oversubscribe -np 1 %s %s : -np 1 env RANK=1 WORLD_SIZE=3 LOCAL_RANK=1 %s %s",
      "fsam-lua: RANK and WORLD_SIZE in the environment say rank 1 of 3, but OMPI_COMM_WORLD_RANK "
        .. "and OMPI_COMM_WORLD_SIZE rank 1 of 2; unset RANK, WORLD_SIZE and LOCAL_RANK" },
    { "mpirun --oversubscribe -np 2 env RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 %s %s",
      "fsam-lua: RANK and WORLD_SIZE in the environment say rank 0 of 1, but OMPI_COMM_WORLD_RANK "
        .. "and OMPI_COMM_WORLD_SIZE rank 0 of 2; unset RANK, WORLD_SIZE and LOCAL_RANK" },
    { "mpirun --oversubscribe -np 1 %s %s : -np 1 env -u OMPI_COMM_WORLD_SIZE %s %s",
      "fsam-lua: the environment has a part of mpirun's variables, and not OMPI_COMM_WORLD_SIZE; "
        .. "unset them, or start all processes with mpirun" },
    { "mpirun --oversubscribe -np 2 %s recipes/compare.lua --seeds 1,2", "compare.lua: this works "
      .. "in one process, and mpirun started 2: start it without mpirun" },
    { "mpirun --oversubscribe -np 2 %s recipes/predict.lua model text.tsv", "predict.lua: this "
      .. "works in one process, and mpirun started 2: start it without mpirun" },
    { "mpirun --oversubscribe -np 2 %s %s --lrr 1",
      "small_run.lua: --lrr is unknown; did you mean --lr? (--help lists all flags)" },
    { "mpirun --oversubscribe -np 2 %s %s --shard-state --m-sharpness 2", "small_run.lua: "
      .. "--shard-state does not go with --m-sharpness: each process needs all of its own "
      .. "gradient, and holds only a share" },
    { "mpirun --oversubscribe -np 2 %s %s --shard-state --rank-sharpness local", "small_run.lua: "
      .. "--shard-state does not go with --rank-sharpness local: each process needs all of its own "
      .. "gradient, and holds only a share" },
    { "RANK=1 WORLD_SIZE=4 %s %s", "fsam-lua: the environment has a part of torchrun's variables, "
      .. "and not LOCAL_RANK; unset them, or start all processes with torchrun" },
    { "RANK=0 LOCAL_RANK=0 WORLD_SIZE=2 %s %s", "fsam-lua: the environment says rank 0 of 2, but "
      .. "MPI says rank 0 of 1: start all processes with one mpirun -np 2, or srun --mpi=pmix" },
    { "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2 SLURM_LOCALID=0 %s %s", "fsam-lua: the environment "
      .. "says rank 0 of 2, but MPI says rank 0 of 1: start all processes with one mpirun -np 2, "
      .. "or srun --mpi=pmix" },
    { "PMI_RANK=0 PMI_SIZE=3 %s %s", "fsam-lua: the environment says rank 0 of 3, but MPI says "
      .. "rank 0 of 1: start all processes with one mpirun -np 3, or srun --mpi=pmix" },
    { "RANK=2 LOCAL_RANK=0 WORLD_SIZE=2 %s %s", "fsam-lua: RANK is 2 and LOCAL_RANK 0 in the "
      .. "environment, but WORLD_SIZE is 2: ranks count from 0" },
    { "RANK=a LOCAL_RANK=0 WORLD_SIZE=2 %s %s", "fsam-lua: RANK in the environment is \"a\", "
      .. "expected a count from 0" },
  }

  -- A copy of the program as a member has it: its libraries, of these names, say another version,
  -- and some of its Lua files have other content. Returns the environment in which it is found.
  local VERSION = ffi.string(require("fsam.C").lib.fsam_version())

  local function other_program(name, libraries, changed)
    local place, build = folder .. "/" .. name, helper.build_dir()
    local function put(path, text)
      helper.shell(("mkdir -p %s"):format((place .. "/" .. path):match("^(.*)/")))
      helper.write_file(place .. "/" .. path, text)
    end
    for _, library in ipairs({ "libfsam.so", "libfsam-mpi.so" }) do
      local bytes = assert(helper.read_file(build .. "/" .. library))
      put(library, libraries[library] and bytes:gsub(VERSION:gsub("%.", "%%."),
        (VERSION:gsub("%d$", function(digit) return (digit + 1) % 10 end))) or bytes)
    end
    put("lua/fsam/cdef.lua", helper.read_file(build .. "/lua/fsam/cdef.lua"))
    for module, change in pairs(changed) do
      local path = "lua/fsam/" .. module .. ".lua"
      put(path, change(helper.read_file(place .. "/" .. path) or helper.read_file(path)))
    end
    return ("env 'FSAM_LUA_PATH=%s/lua/?.lua;;'"):format(place)
  end

  -- A member of another state of the program: name, the libraries of another version, changed Lua
  -- files, and what is said, where all fingerprints are X.
  local BOTH = { ["libfsam.so"] = true, ["libfsam-mpi.so"] = true }
  local OTHERS = {
    { "version", BOTH, {}, "small_run.lua: rank 1 has version 0.1.1 with Lua files of fingerprint "
      .. "X, rank 0 has version 0.1.0 with Lua files of fingerprint X; start all ranks with the "
      .. "same program, options and files" },
    { "lua", {}, { ["optim/sgd"] = function(text) return text .. "\n" end }, "small_run.lua: rank "
      .. "1 has version 0.1.0 with Lua files of fingerprint X, rank 0 has version 0.1.0 with Lua "
      .. "files of fingerprint X; start all ranks with the same program, options and files" },
    { "mpi", { ["libfsam-mpi.so"] = true }, {}, "fsam-lua: PLACE/libfsam-mpi.so is of another "
      .. "version than libfsam.so; build and install them together" },
    { "interface", {}, { cdef = function(text)
      return (text:gsub("FSAM_ABI = (%d+)", function(number) return "FSAM_ABI = 1" .. number end))
    end }, "fsam-lua: libfsam.so has interface N, the Lua files want 1N: build and install them "
      .. "together" },
  }

  for _, other in ipairs(OTHERS) do
    it("do not begin with a member of another state of the program: " .. other[1], function()
      local run, place = small_run("other"), folder .. "/" .. other[1]
      local code, _, err = helper.shell(("env %s timeout -s KILL 60 mpirun --oversubscribe -np 1 "
        .. "%s %s : -np 1 %s %s %s"):format(ENVIRONMENT, program, run,
          other_program(other[1], other[2], other[3]), program, run))
      assert.is_true(code ~= 0)
      assert.equal(other[4], (said(err):gsub("fingerprint %x+", "fingerprint X")
        :gsub("interface %d+", "interface N"):gsub("want 1%d+", "want 1N")
        :gsub(place:gsub("%p", "%%%0"), "PLACE")), err)
      assert.is_nil(helper.read_file(folder .. "/other/train.log"))
    end)
  end

  for _, case in ipairs(REFUSED) do
    it("do not begin: " .. case[2], function()
      local run = small_run("refused")
      local code, _, err = helper.shell(("env %s timeout -s KILL 60 "):format(ENVIRONMENT)
        .. (case[1]:find("^mpirun") and "" or "env ") .. case[1]:format(program, run, program, run))
      assert.is_true(code ~= 0)
      assert.equal(case[2], said(err), err)
      assert.is_nil(helper.read_file(folder .. "/refused/train.log"))
    end)
  end
end)
