--- Exact selection of the largest tenth of N values by fsam-lua, for bench/select/run. Prints the
-- kilobytes that a first selection needed beyond the mask; then for every line of standard input
-- does one and prints its seconds.
--
--     fsam-lua bench/select/ours.lua N
local C = require("fsam.C")
local devices = require("fsam.base.device")
local params = require("fsam.vector.params")

local count = tonumber(arg[1])

-- Kilobytes of a field of /proc/self/status, such as VmHWM, the most memory there ever was.
local function status(field)
  return tonumber(io.open("/proc/self/status"):read("*a"):match(field .. ":%s*(%d+)"))
end

local P = params.new(devices.open("cpu"),
  { { name = "x", kind = "matrix", shape = { count } } }, { compute = "bf16" })
P.g:set(P:normal({ seed = 1, step = 1 }))
P:commit()
local mask = P:mask("mask")

local function select_tenth()
  local began = C.lib.fsam_clock()
  mask:top(P.g:abs(), { keep_ratio = 0.1 })
  return C.lib.fsam_clock() - began
end

P.g:norm():read() -- the threads are there now
local before = status("VmHWM")
select_tenth()
assert(mask:count() == math.floor(0.1 * count))
io.stdout:setvbuf("line")
print(status("VmHWM") - before - math.floor(count / 8 / 1024))
for _ in io.lines() do
  print(select_tenth())
end
