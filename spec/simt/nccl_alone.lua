--- Ranks that NCCL alone joins: processes as torchrun starts them, with the shim's device as their
-- GPU. Rank R writes FOLDER/R, what it has seen.
--
--     RANK=… WORLD_SIZE=… … fsam-lua spec/simt/nccl_alone.lua FOLDER [FAULT]
--
-- FAULT: "differ" (rank 1 has another option), "stop" (rank 1 stops), "error" (rank 1 fails).
local C = require("fsam.C")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local files = require("fsam.base.file")
local Tensor = require("fsam.base.tensor")
local world = require("fsam.ranks.world")
local ffi, check = C.ffi, C.check

ffi.cdef([[
int getpid(void);
int kill(int pid, int signal);
]])

local folder, fault = arg[1], arg[2]
local ranks = world.join()
world.timeout(2)
local device = devices.open("auto")
assert(world.use(device) == nil)
local lines = { ("%d of %d, %s"):format(ranks.rank, ranks.size, devices.gpu(device)) }

local function say(...)
  lines[#lines + 1] = table.concat({ ... }, " ")
end

say("numbers", unpack(ranks:gather({ ranks.rank + 0.5, 7 })))
ranks:agree({ ["--lr"] = fault == "differ" and ranks.rank == 1 and "2" or "1" })
if ranks.rank == 1 and fault == "stop" then
  ffi.C.kill(ffi.C.getpid(), 19)
elseif ranks.rank == 1 and fault == "error" then
  errors.raise("the pipes are broken")
end

-- What the device was given right before a sum is in it, and later work sees the sum, though no one
-- has waited: copies are put off until then.
local arena = devices.arena(device, "spec")
local t = Tensor.new(arena, "f32", { 6 }, "t"):fill(0)
t:write({ 1, 2, 3, 4, 5, 6 + ranks.rank })
check(C.lib.fsam_ranks_sum_part(t, 4, 2))
check(C.lib.fsam_ranks_sum_part(t, 0, 3))
check(C.lib.fsam_ranks_sum_end(t))
local copy = t:later()
t:fill(9)
local host = copy:to_host()
say("parts", host[0], host[1], host[2], host[3], host[4], host[5])
t:write({ 1, 2, 3, 4, 5, 6 })
check(C.lib.fsam_ranks_sum(t))
say("whole", unpack(t:read()))

-- Ranges of other lengths, one of them none; and of the sum only a part, which is in two of them.
local starts = ffi.new("int64_t[3]", { 0, 6, 6 })
t:write({ 1, 2, 3, 4, 5, ranks.rank })
check(C.lib.fsam_ranks_reduce_scatter(t, starts))
say("scatter", unpack(ranks.rank == 0 and t:read() or {}))
starts[1] = 2
t:write({ 1, 2, 3, 4, 5, 6 })
check(C.lib.fsam_ranks_reduce_part(t, starts, 1, 3))
check(C.lib.fsam_ranks_sum_end(t))
say("a part", unpack(t:read(), ranks.rank == 0 and 1 or 3, ranks.rank == 0 and 2 or 6))
t:write({ 10 + ranks.rank, 10 + ranks.rank, 10 + ranks.rank, 10 + ranks.rank, 10 + ranks.rank,
  10 + ranks.rank })
check(C.lib.fsam_ranks_all_gather(t, starts))
say("gather", unpack(t:read()))
files.write(("%s/%d"):format(folder, ranks.rank), table.concat(lines, "\n") .. "\n")
