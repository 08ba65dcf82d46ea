--- How many page faults a SAM step takes, with its seconds of the system and of the user: the first
-- step touches all memory for the first time, later ones should touch nothing new.
--
--     fsam-lua bench/pages.lua [ARCH = distilroberta_base] [PRECISION = fp32] [THREADS = all]
--         [STEPS = 3]
--
-- ARCH: one with RoBERTa's vocabulary; weights are random. 16 sentences as long as CoLA's.
local fsam = require("fsam")
local C = require("fsam.C")
local sentences = dofile(arg[0]:gsub("[^/]*$", "") .. "sentences.lua")
local ffi = C.ffi

ffi.cdef([[
struct bench_time { long seconds, microseconds; };
struct bench_usage { struct bench_time user, system; long peak, unused[3], faults, rest[10]; };
int getrusage(int who, struct bench_usage *usage);
]])

local function usage()
  local u = ffi.new("struct bench_usage")
  ffi.C.getrusage(0, u)
  return { faults = tonumber(u.faults), peak = tonumber(u.peak),
    system = tonumber(u.system.seconds) + tonumber(u.system.microseconds) / 1e6,
    user = tonumber(u.user.seconds) + tonumber(u.user.microseconds) / 1e6 }
end

fsam.device.threads(tonumber(arg[3] or 0))
local model = fsam.models.new({ arch = arg[1] or "distilroberta_base", pad_id = 1, seed = 1,
  vocab_size = 50265,
  device = fsam.device.open("cpu"), labels = { "a", "b" }, precision = arg[2] or "fp32" })

local SAMPLES = 16
local batch = sentences.pack(model, 0, SAMPLES, 0)
local pass = fsam.pass.new({ model = model, seed = 1 })
local optimizer = fsam.step.build({ optimizer = "sam", sam_type = "sam", params = model.params,
  options = { rho = 0.05 }, seed = 1 })

print("| step | page faults | system, s | user, s | peak, MB |")
print("|---|---|---|---|---|")
for step = 0, tonumber(arg[4] or 3) - 1 do
  local before = usage()
  optimizer:step({ step = step, lr = 1e-5, samples = SAMPLES,
    evaluate = pass:bind({ step = step, batches = { batch }, training = true }) })
  local after = usage()
  print(("| %d | %d | %.3f | %.3f | %.0f |"):format(step + 1, after.faults - before.faults,
    after.system - before.system, after.user - before.user, after.peak / 1024))
end
