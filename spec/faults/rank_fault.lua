--- small_run.lua in which something happens to one rank.
--
--     mpirun -np N fsam-lua spec/faults/rank_fault.lua FAULT RANK COUNT FLAGS…
--
-- FAULT strikes rank RANK at the COUNT-th occasion: "kill" and "stop" (SIGKILL, SIGSTOP) before a
-- sum over ranks, "kill-in-sum" while it waits in one, "kill-in-pass" in a forward pass,
-- "kill-in-save" and "full" (no space is left on the disk) when a file of a checkpoint is to be
-- written, "error" before a sum, "weights" changes a weight after an update. When it strikes, the
-- time goes to $FSAM_STRUCK, a file.
local errors = require("fsam.errors")
local ffi = require("ffi")
local ops = require("fsam.pass.ops")
local Ranks = getmetatable(require("fsam.ranks").alone).__index
local safetensors = require("fsam.formats.safetensors")
local world = require("fsam.ranks.world")

ffi.cdef("int getpid(void); int kill(int pid, int signal);")

local fault, rank, at = arg[1], tonumber(arg[2]), tonumber(arg[3])
local words = { [0] = "small_run.lua", unpack(arg, 4) }

local function in_seconds(seconds, command)
  os.execute(("(sleep %g; %s) >/dev/null 2>&1 &"):format(seconds, command))
end

-- Fills the file system of a path.
local function fill(path)
  os.execute(("cat /dev/zero >'%s/filler' 2>/dev/null"):format(path:match("^(.*)/[^/]+/[^/]+$")))
end

local function signal(number)
  return function()
    ffi.C.kill(ffi.C.getpid(), number)
  end
end

-- fault → table of functions, the function's name, what happens there
local PLACES = {
  kill = { Ranks, "sum", signal(9) },
  stop = { Ranks, "sum", signal(19) },
  error = { Ranks, "sum", function() errors.raise("the pipes are broken") end },
  weights = { Ranks, "sum", function(_, vector) vector.params.w.raw:fill(0.5) end },
  ["kill-in-pass"] = { ops, "activation", signal(9) },
  ["kill-in-save"] = { safetensors, "write", signal(9) },
  ["kill-in-sum"] = { Ranks, "sum", function()
    in_seconds(0.3, "kill -9 " .. ffi.C.getpid())
  end, function() -- on the others, which keep it waiting
    os.execute("sleep 3")
  end },
  full = { safetensors, "write", fill },
}

local owner, name, strike, others = unpack(PLACES[fault])
local struck = world.join().rank == rank
if struck or others then
  local before, count = owner[name], 0
  owner[name] = function(...)
    count = count + 1
    if count == at and struck then
      os.execute("date +%s.%N >" .. os.getenv("FSAM_STRUCK"))
      strike(...)
    elseif count == at then
      others(...)
    end
    return before(...)
  end
end

rawset(_G, "arg", words)
dofile("spec/faults/small_run.lua")
