--- small_run.lua in which something happens to one rank.
--
--     mpirun -np N fsam-lua spec/faults/rank_fault.lua FAULT RANK COUNT FLAGS…
--
-- FAULT strikes rank RANK at the COUNT-th occasion: "kill" and "stop" (SIGKILL, SIGSTOP) before a
-- sum over ranks, "kill-in-pass" in a forward pass, "kill-in-save" and "full" (a disk) while a file
-- of a checkpoint is written, "error" before a sum, "weights" changes a weight after an update.
local errors = require("fsam.errors")
local ffi = require("ffi")
local ops = require("fsam.pass.ops")
local Ranks = getmetatable(require("fsam.ranks").alone).__index
local safetensors = require("fsam.formats.safetensors")
local world = require("fsam.ranks.world")

ffi.cdef("int getpid(void); int kill(int pid, int signal);")

local fault, rank, at = arg[1], tonumber(arg[2]), tonumber(arg[3])
local words = { [0] = "small_run.lua", unpack(arg, 4) }

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
  ["kill-in-pass"] = { ops, "gelu", signal(9) },
  ["kill-in-save"] = { safetensors, "write", signal(9) },
  full = { safetensors, "write", function(path)
    errors.raise("%s cannot be written: No space left on device", path)
  end },
}

if world.join().rank == rank then
  local owner, name, strike = unpack(PLACES[fault])
  local before, count = owner[name], 0
  owner[name] = function(...)
    count = count + 1
    if count == at then
      strike(...)
    end
    return before(...)
  end
end

rawset(_G, "arg", words)
dofile("spec/faults/small_run.lua")
