--- Steps of one optimizer as the ranks of a job, for bench/ranks/run. Rank 0 prints one line:
-- seconds of the least step, seconds of it in collectives, the peak memory of the largest rank in
-- MB, and how many parameters and how many updates there were.
--
--     [mpirun -np N] fsam-lua bench/ranks/step.lua KIND UPDATES ARCH PRECISION THREADS [shared]
--
-- KIND: adam, or a sam-type over adam. A step has 32 samples, whatever the number of ranks. Time in
-- collectives is that of the exchanges that Lua asks for, and of waiting there for the other ranks.
-- With shares, programs exchange their partial sums besides, which are 8 bytes for 16 KB.
local fsam = require("fsam")
local C = require("fsam.C")
local sentences = dofile(arg[0]:gsub("[^/]*$", "") .. "../sentences.lua")
local world = require("fsam.ranks.world")

local kind, updates, arch = arg[1], tonumber(arg[2]), arg[3]
local precision, threads, shared = arg[4], tonumber(arg[5]), arg[6] == "shared"
local SAMPLES, WARM = 32, 2 -- the first steps compile, and make the mask

fsam.device.threads(threads)
local ranks = world.join()
local spent = 0

for _, name in ipairs({ "add", "add_numbers", "reduce_scatter", "all_gather" }) do
  local collective = ranks[name]
  ranks[name] = collective and function(...)
    local began = C.lib.fsam_clock()
    local result = collective(...)
    spent = spent + C.lib.fsam_clock() - began
    return result
  end
end

local model = fsam.models.new({ arch = arch, device = fsam.device.open("cpu"), seed = 1,
  labels = { "a", "b" }, precision = precision, pad_id = 1, vocab_size = 50265,
  share = shared and ranks or nil })

-- This rank's part of a step, as one batch.
local function batch_of(step)
  local each = SAMPLES / ranks.size
  return sentences.pack(model, SAMPLES * step + ranks.rank * each, each, ranks.rank * each)
end

local plain = kind == "adam"
local pass = fsam.pass.new({ model = model, seed = 1, ranks = ranks })
local optimizer = fsam.step.build({ params = model.params, optimizer = plain and "adam" or "sam",
  sam_type = not plain and kind or nil, seed = 1,
  options = { rho = not plain and 0.05 or nil, fisher = "adam", weight_decay = 0.01 } })

local least, exchanging
for n = 0, WARM + updates - 1 do
  local batch = batch_of(n)
  ranks:meet()
  spent = 0
  local began = C.lib.fsam_clock()
  local info = optimizer:step({ step = n, lr = 1e-5, samples = SAMPLES, ranks = ranks,
    evaluate = pass:bind({ step = n, batches = { batch }, training = true }) })
  local seconds = C.lib.fsam_clock() - began
  assert(not info.skipped, info.skipped)
  if n >= WARM and seconds < (least or math.huge) then
    least, exchanging = seconds, spent
  end
end

local status = io.open("/proc/self/status"):read("*a")
local peaks = ranks:gather({ tonumber(status:match("VmHWM:%s+(%d+)")) / 1024 })
print(("%.4f %.4f %.0f %d %d"):format(least, exchanging, math.max(unpack(peaks)),
  model.params.total, WARM + updates))
