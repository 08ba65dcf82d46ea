--- The process's peak memory (VmHWM) when weights are loaded, and after steps of fisher-sam, the
-- first of which makes a mask of the policy `sample`.
--
--     fsam-lua bench/peak-memory.lua [ARCH = roberta_base] [fp32|bf16] [STEPS = 2] [THREADS = 1]
local fsam = require("fsam")
local sentences = dofile(arg[0]:gsub("[^/]*$", "") .. "sentences.lua")

local arch, precision, steps = arg[1] or "roberta_base", arg[2] or "fp32", tonumber(arg[3] or 2)
local SAMPLES = 32
fsam.device.threads(tonumber(arg[4] or 1))

local function say(what)
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmHWM:%s*(%d+)")
    if kb then
      print(("%-8s peak %6.0f MiB"):format(what, kb / 1024))
    end
  end
end

local model = fsam.models.new({ arch = arch, device = fsam.device.open("cpu"), seed = 1,
  labels = { "a", "b" }, precision = precision, pad_id = 1, vocab_size = 50265 })
print(("%s, %s, %.1f M parameters"):format(arch, precision, model.count / 1e6))
say("weights")

local pass = fsam.pass.new({ model = model, seed = 1 })

local function sampler(n, _, step, first)
  local list = {}
  for i = 1, n do
    list[i] = sentences.pack(model, 1000 * step + i, 1, first + i - 1)
  end
  return list
end

local optimizer = fsam.step.build({ optimizer = "sam", sam_type = "fisher-sam", seed = 1,
  params = model.params, options = { rho = 0.05, weight_decay = 0.01, fisher = "sample" },
  sampler = sampler })
for n = 0, steps - 1 do
  optimizer:step({ step = n, lr = 1e-5, samples = SAMPLES, evaluate = pass:bind({ step = n,
    batches = { sentences.pack(model, SAMPLES * n, SAMPLES, 0) }, training = true }) })
  say("step " .. n)
end
