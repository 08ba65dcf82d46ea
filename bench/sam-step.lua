--- What kinds of steps cost: adam, sam, esam, sam on a quarter of the samples, and fisher-sam with
-- two masks, on one model from random weights and batches as long as CoLA's sentences, in turn
-- within one process. Prints a table of Markdown: the least time of each, and its ratio to sam's.
-- A mask's steps are averaged over an interval: (the step that makes it + 99 others) / 100. On a
-- machine that does other work too, time of the processor with one thread says more than seconds.
--
--     fsam-lua bench/sam-step.lua [ROUNDS = 3] [PRECISION = fp32] [THREADS = all]
--         [ARCH = roberta_base, or another with RoBERTa's vocabulary]
local fsam = require("fsam")
local C = require("fsam.C")
local sentences = dofile(arg[0]:gsub("[^/]*$", "") .. "sentences.lua")

local rounds, precision = tonumber(arg[1] or 3), arg[2] or "fp32"
local arch = arg[4] or "roberta_base"
fsam.device.threads(tonumber(arg[3] or 0))

local SAMPLES, INTERVAL = 32, 100

local model = fsam.models.new({ arch = arch, device = fsam.device.open("cpu"), seed = 1,
  labels = { "a", "b" }, precision = precision, pad_id = 1, vocab_size = 50265 })

local function pack(...)
  return sentences.pack(model, ...)
end

local function sampler(n, _, step, first_ordinal)
  local list = {}
  for i = 1, n do
    list[i] = pack(1000 * step + i, 1, first_ordinal + i - 1)
  end
  return list
end

local pass = fsam.pass.new({ model = model, seed = 1 })

local function kind(name, optimizer, sam_type, options)
  options.rho, options.weight_decay = 0.05, 0.01
  return { name = name, step = 0, optimizer = fsam.step.build({ optimizer = optimizer,
    params = model.params, sam_type = sam_type, options = options, seed = 1, sampler = sampler }) }
end

local KINDS = {
  kind("adam", "adam", nil, {}),
  kind("sam", "sam", "sam", {}),
  kind("esam, beta = gamma = 0.5", "sam", "esam", { beta = 0.5, gamma = 0.5 }),
  kind("sam, ascent fraction 0.25", "sam", "sam", { ascent_fraction = 0.25 }),
  kind("fisher-sam, adam mask", "sam", "fisher-sam", { fisher = "adam" }),
  kind("fisher-sam, sample mask", "sam", "fisher-sam", { fisher = "sample" }),
}

local CLOCKS = { C.lib.fsam_clock, os.clock } -- seconds, and seconds of the processor

-- One step; its times by both clocks.
local function run(k)
  local n = k.step
  k.step = n + 1
  local batch = pack(SAMPLES * n, SAMPLES, 0)
  local began = { CLOCKS[1](), CLOCKS[2]() }
  local info = k.optimizer:step({ step = n, lr = 1e-5, samples = SAMPLES,
    evaluate = pass:bind({ step = n, batches = { batch }, training = true }) })
  assert(not info.skipped, info.skipped)
  return { CLOCKS[1]() - began[1], CLOCKS[2]() - began[2] }
end

-- A first step of each compiles; the fisher- types' make their mask again then.
for _, k in ipairs(KINDS) do
  run(k)
  run(k)
  if k.optimizer.masking then
    k.step = INTERVAL
    k.with_mask = run(k)
  end
end
for _ = 1, rounds do
  for _, k in ipairs(KINDS) do
    local times = run(k)
    k.least = k.least or times
    for clock = 1, 2 do
      k.least[clock] = math.min(k.least[clock], times[clock])
    end
  end
end

local function time_of(k, clock)
  local least = k.least[clock]
  return k.with_mask and (k.with_mask[clock] + (INTERVAL - 1) * least) / INTERVAL or least
end

print(("%s, %s, %d threads, %d samples of %.1f tokens; least of %d rounds"):format(arch, precision,
  C.lib.fsam_threads(), SAMPLES, pack(0, SAMPLES, 0).real_tokens / SAMPLES, rounds))
print("| step | seconds | of sam's | processor, s | of sam's | step that makes the mask, s |")
print("|---|---|---|---|---|---|")
for _, k in ipairs(KINDS) do
  local cells = { k.name }
  for clock = 1, 2 do
    local time = time_of(k, clock)
    cells[#cells + 1] = ("%.3f"):format(time)
    cells[#cells + 1] = ("%.2f"):format(time / time_of(KINDS[2], clock))
  end
  cells[#cells + 1] = k.with_mask and ("%.2f"):format(k.with_mask[1]) or ""
  print("| " .. table.concat(cells, " | ") .. " |")
end
