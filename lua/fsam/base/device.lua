--- Devices: opening one, what the machine can do, threads, arenas.
--
-- Owns: the devices that are open (one of each name) and the list of live arenas with their names.
-- Leaves to others: memory itself (the C engine), tensors (tensor.lua).
local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local opened = {}
local arenas = setmetatable({}, { __mode = "k" }) -- arena → name; forgotten with the arena

--- Opens a device once; later calls give the same one.
-- @tparam string name "cpu", "cuda", or "auto" (a GPU when there is one)
-- @treturn cdata fsam_device, closed when it is collected
-- @raise one line with the reason why a GPU cannot be used
function M.open(name)
  if name == "auto" and opened.cuda then
    return opened.cuda
  end
  if not opened[name] then
    local out = ffi.new("fsam_device *[1]")
    check(lib.fsam_device_open(out, name))
    opened[name] = ffi.gc(out[0], lib.fsam_device_close)
  end
  return opened[name]
end

--- A new arena on a device, freed with its last reference.
-- @tparam cdata device
-- @tparam string name at most 15 characters, for messages
-- @treturn cdata fsam_arena
function M.arena(device, name)
  local out = ffi.new("fsam_arena *[1]")
  check(lib.fsam_arena_new(out, device, name))
  local arena = ffi.gc(out[0], lib.fsam_arena_free)
  arenas[arena] = name
  return arena
end

local Memory = {}
Memory.__index = Memory

function Memory:__tostring()
  local lines = { ("%-12s %10s %10s"):format("arena", "live MB", "peak MB") }
  for _, row in ipairs(self) do
    lines[#lines + 1] = ("%-12s %10.1f %10.1f"):format(row.name, row.live / 1e6, row.peak / 1e6)
  end
  return table.concat(lines, "\n")
end

--- What every arena holds.
-- @treturn {table,…} { name, live, peak } of each, in bytes, sorted by name; prints as a table in
--   MB (10^6 bytes)
function M.memory()
  local list = setmetatable({}, Memory)
  for arena, name in pairs(arenas) do
    local use = M.usage(arena)
    list[#list + 1] = { name = name, live = use.live, peak = use.peak }
  end
  table.sort(list, function(a, b)
    return a.name < b.name or a.name == b.name and a.peak > b.peak
  end)
  return list
end

--- Live and peak bytes of an arena.
-- @tparam cdata arena fsam_arena
-- @treturn table { live, peak }
function M.usage(arena)
  return {
    live = tonumber(lib.fsam_arena_live(arena)),
    peak = tonumber(lib.fsam_arena_peak(arena)),
  }
end

--- Sets the number of worker threads.
-- @tparam number n 0 to 4096; 0: OMP_NUM_THREADS where it is set, else one for each core that the
--   process may use
-- @treturn number how many there are now
-- @raise one line for another number
function M.threads(n)
  check(lib.fsam_threads_set(n))
  return lib.fsam_threads()
end

--- The compute type that --precision means on a device. auto: bf16 on a GPU and where the processor
-- multiplies it faster than f32 (AMX; AMD's AVX512_BF16), else fp32. Without such a unit bf16 is
-- multiplied in f32, and saves memory alone.
-- @tparam string name "auto", "fp32" or "bf16"
-- @tparam cdata device fsam_device
-- @treturn string "fp32" or "bf16"
-- @raise one line with the valid names
function M.precision(name, device)
  if name == "fp32" or name == "bf16" then
    return name
  elseif name ~= "auto" then
    errors.unknown("--precision", name, { "fp32", "bf16", "auto" })
  end
  return (M.is_gpu(device) or ffi.string(lib.fsam_bf16_unit()) ~= "") and "bf16" or "fp32"
end

--- Is this device a GPU, or what stands for one?
-- @treturn boolean
function M.is_gpu(device)
  return ffi.string(lib.fsam_device_name(device)) ~= "cpu"
end

--- The name and memory of a GPU: "NVIDIA H200, 140 GB"; nil for the CPU.
function M.gpu(device)
  local text = ffi.string(lib.fsam_device_text(device))
  return text ~= "" and text or nil
end

--- The reason why "auto" did not open the GPU that the driver reports; nil when it did, or when the
-- driver reports none.
-- @tparam cdata device the one that "auto" opened
-- @treturn ?string
function M.unused_gpu(device)
  if M.gpu(device) or lib.fsam_gpus() == 0 then
    return nil
  end
  local out = ffi.new("fsam_device *[1]")
  if lib.fsam_device_open(out, "cuda") == 0 then
    lib.fsam_device_close(out[0])
    return nil
  end
  return ffi.string(lib.fsam_error())
end

--- One line about the machine: "cpu, 2 threads, AVX-512", "cuda, NVIDIA H200, 140 GB".
function M.describe(device)
  local name, gpu = ffi.string(lib.fsam_device_name(device)), M.gpu(device)
  if gpu then
    return name .. ", " .. gpu
  end
  local threads, unit = lib.fsam_threads(), ffi.string(lib.fsam_bf16_unit())
  local isa = { generic = "baseline", avx2 = "AVX2", avx512 = "AVX-512" }
  local extra = unit == "amx" and "AMX bf16" or isa[ffi.string(lib.fsam_isa())]
  return ("%s, %d thread%s, %s"):format(name, threads, threads == 1 and "" or "s", extra)
end

--- The shape of a device (fsam.base.schema): one that `open` gave.
M.shape = arguments.where(function(value)
  return ffi.istype("fsam_device *", value) and value ~= nil
end, "a device, of fsam.device.open")

--- Likewise of an arena.
M.arena_shape = arguments.where(function(value)
  return ffi.istype("fsam_arena *", value) and value ~= nil
end, "an arena, of fsam.device.arena")

local NAME, DEVICE = arguments.arg("name", schema.string), arguments.arg("device", M.shape)

arguments.guard("fsam.device", M, {
  open = { NAME }, arena = { DEVICE, NAME }, memory = {},
  usage = { arguments.arg("arena", M.arena_shape) },
  threads = { arguments.arg("n", schema.integer(0, 4096)) }, precision = { NAME, DEVICE },
  gpu = { DEVICE }, is_gpu = { DEVICE }, unused_gpu = { DEVICE }, describe = { DEVICE },
})

return M
