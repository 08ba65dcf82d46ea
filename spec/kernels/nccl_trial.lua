--- One rank's sums by NCCL on a GPU: that the library is found, starts, and works on our streams.
-- scripts/gpu-check runs it. Prints what it did, or raises.
--
--     fsam-lua spec/kernels/nccl_trial.lua
local C = require("fsam.C")
local devices = require("fsam.base.device")
local Tensor = require("fsam.base.tensor")
local ffi, lib, check = C.ffi, C.lib, C.check

local device = devices.open("cuda")
lib.fsam_ranks_timeout(60)
check(lib.fsam_ranks_open_gpus(0, 1, device, "127.0.0.1:29517"))
assert(check(lib.fsam_ranks_use(device)) == 1)

local COUNT = 2 ^ 20
local arena = devices.arena(device, "trial") -- a name, so that it is not collected
local t = Tensor.new(arena, "f32", { COUNT }, "t")
local host = ffi.new("float[?]", COUNT)
for i = 0, COUNT - 1 do
  host[i] = i % 1000
end

local function check_values()
  local got = t:to_host()
  for i = 0, COUNT - 1 do
    assert(got[i] == i % 1000, "element " .. i .. " is another")
  end
end

for _ = 1, 3 do
  t:write(host)
  check(lib.fsam_ranks_sum_part(t, COUNT / 2, COUNT / 2))
  check(lib.fsam_ranks_sum_part(t, 0, COUNT / 2))
  check(lib.fsam_ranks_sum_end(t))
  check_values()
end
local starts = ffi.new("int64_t[2]", 0, COUNT)
check(lib.fsam_ranks_reduce_scatter(t, starts))
check(lib.fsam_ranks_all_gather(t, starts))
check_values()
local numbers = ffi.new("double[2]", 0.5, 3)
check(lib.fsam_ranks_sum_numbers(numbers, 2))
assert(numbers[0] == 0.5 and numbers[1] == 3)
check(lib.fsam_ranks_leave())
print(("NCCL sums %d numbers of one rank on %s"):format(COUNT, devices.gpu(device)))
