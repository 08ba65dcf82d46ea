--- Steps of adam, sam, esam and fisher-sam on one model at one shape of batches: seconds, tokens,
-- peak memory, and what making a mask takes. Called by bench/gpu/run.
--
--     fsam-lua bench/gpu/steps.lua out=FILE part=NAME arch=roberta_large shape=cola precision=bf16
--         [turn=1] [tune=1] [mode=WORDS] [optimizers=adam,sam] [rounds=10] [attention_dropout=0]
--         [attention_dropout_rng=cudnn] [device=cpu check=1]
--
-- mode: what the report calls these steps, where they are not taken as by default.
--
-- Batches are in host memory, packed, before the clock starts. A time is that of a round (all
-- batches of the shape, or two steps) between two waits for the device, divided by its steps. The
-- optimizers run in one process, in an order in which each needs at least the memory of those
-- before it.
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local fsam = require("fsam")
local C = require("fsam.C")
local devices = require("fsam.base.device")
local measure = require("measure")
local lib, check = C.lib, C.check

local s = measure.settings()
local wait = measure.waiter(s.device)
local WARM, MOST = 4, 12 -- rounds before; the most seconds of those that count
local ROUNDS = tonumber(s.rounds) or s.shape == "cola" and 10 or 12
if s.check then
  WARM, ROUNDS = 1, 1
end
local INTERVAL, SAMPLES = 100, s.check and 2 or 32 -- steps between masks; samples of a mask

if s.tune == "1" then
  check(lib.fsam_tuning_begin(s.device, nil))
end
local model = measure.model(s)
local config = model.config
local pass = fsam.pass.new({ model = model, seed = 1,
  attention_dropout_rng = devices.is_gpu(s.device) and s.attention_dropout_rng or nil })

local work, tokens, flops = {}, 0, 0
for i, lengths in ipairs(measure.lengths(s)) do
  work[i] = measure.pack(lengths, i, config.vocab_size)
  for _, length in ipairs(lengths) do
    tokens = tokens + length
    flops = flops + 12 * config.num_hidden_layers * config.hidden_size * length ^ 2
  end
end
if #work == 1 then
  work[2] = work[1]
  tokens, flops = 2 * tokens, 2 * flops
end
-- Of one pass, there and back: 6 for each weight of the layers' products and each token, and
-- attention's products, summed over the round so far.
local H, F = config.hidden_size, config.intermediate_size
flops = (flops + 6 * config.num_hidden_layers * (4 * H * H + 2 * H * F) * tokens) / #work
tokens = tokens / #work

-- Single samples for masks, as long as those of the batches.
local function sampler(n, _, step, first_ordinal)
  local list, lengths = {}, measure.lengths(s)[1]
  for i = 1, n do
    list[i] = measure.pack({ lengths[(i - 1) % #lengths + 1] }, step + i, config.vocab_size,
      first_ordinal + i - 1)
  end
  return list
end

-- What the device itself says is in use, in bytes; nil where it does not say.
local function device_bytes()
  local visible = os.getenv("CUDA_VISIBLE_DEVICES")
  local pipe = io.popen("nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i '"
    .. ((visible or "") ~= "" and visible:match("^[^,']+") or "0") .. "' 2>/dev/null")
  local mib = pipe and tonumber(pipe:read("*l") or "")
  if pipe then
    pipe:close()
  end
  return mib and mib * 2 ^ 20
end

local function peak_bytes()
  local sum = 0
  for _, arena in ipairs(fsam.memory()) do
    sum = sum + arena.peak
  end
  return sum
end

local Case = {}
Case.__index = Case

function Case.new(name)
  return setmetatable({ name = name, next = 1, optimizer = fsam.step.build({
    params = model.params, seed = 1, sampler = sampler,
    optimizer = name == "adam" and name or "sam", sam_type = name ~= "adam" and name or nil,
    options = { rho = 0.05, weight_decay = 0.01, num_samples = SAMPLES },
  }) }, Case)
end

-- One step, on the next batch; a `number` that INTERVAL divides makes a mask.
function Case:step(number)
  local batch = work[self.next % #work + 1]
  self.next = self.next + 1
  local info = self.optimizer:step({ step = number, lr = 1e-5, samples = batch.count,
    evaluate = pass:bind({ step = number, batches = { batch }, training = true }) })
  assert(not info.skipped, info.skipped)
  return info
end

-- Seconds of a step, one figure for each round.
function Case:rounds(count)
  local times, began = {}, lib.fsam_clock()
  for round = 1, count do
    wait()
    local from = lib.fsam_clock()
    for i = 1, #work do
      self:step(i)
    end
    wait()
    times[round] = (lib.fsam_clock() - from) / #work
    if round >= 3 and lib.fsam_clock() - began > MOST then
      break
    end
  end
  return times
end

-- Seconds that a step takes more when it makes a mask: the median of three.
function Case:refresh(plain)
  local times = {}
  for i = 0, s.check and 1 or 4 do
    wait()
    local from = lib.fsam_clock()
    local info = self:step(i * INTERVAL)
    wait()
    assert(info.mask, "no mask was made")
    if i >= (s.check and 0 or 2) then
      times[#times + 1] = lib.fsam_clock() - from
    end
  end
  return math.max(0, measure.summary(times).median - plain)
end

measure.machine(s)
for name in (s.optimizers or "adam,sam,esam,fisher-sam"):gmatch("[^,]+") do
  local case = Case.new(name)
  case:step(0) -- compiles, and makes a first mask
  case:rounds(WARM)
  local seconds = measure.summary(case:rounds(ROUNDS))
  local line = { kind = "step", optimizer = name, arch = s.arch, shape = s.shape,
    mode = s.mode or "fsam-lua", precision = s.precision,
    seconds = seconds, tokens = tokens, padded = tokens, pass_flops = flops,
    bytes = peak_bytes(), device_bytes = device_bytes(),
    passes = pass.graphs.counts, not_recorded = pass.graphs.refusal }
  if name == "fisher-sam" then
    line.refresh = case:refresh(seconds.median)
  end
  measure.report(s, line)
end
