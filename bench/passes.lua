--- Single passes of a model, forward and backward: time of the processor, and on request the
-- profile's table, which tells how much of it products are.
--
--     fsam-lua bench/passes.lua [ARCH = roberta_base] [COUNT = 4] [fp32|bf16] [THREADS = 1]
--         [SHORT | TOKENS] [profile]
--
-- SHORT: 32 sentences as long as CoLA's; a number: 2 samples of so many tokens.
-- The first pass is not counted. For two versions of the program run each in turn.
local fsam = require("fsam")
local packing = require("fsam.data.packing")
local sentences = dofile(arg[0]:gsub("[^/]*$", "") .. "sentences.lua")

local arch, count, precision = arg[1] or "roberta_base", tonumber(arg[2] or 4), arg[3] or "fp32"
local length = tonumber(arg[5])
fsam.device.threads(tonumber(arg[4] or 1))

local model = fsam.models.new({ arch = arch, device = fsam.device.open("cpu"), seed = 1,
  labels = { "a", "b" }, precision = precision, pad_id = 1, vocab_size = 50265 })
local pass = fsam.pass.new({ model = model, seed = 1 })

-- Two samples of `length` tokens.
local function long(n)
  local list = {}
  for i = 1, 2 do
    local ids = {}
    for k = 1, length do
      ids[k] = 5 + (n * 7919 + i * 104729 + k * 31) % 40000
    end
    list[i] = { ids = ids, label = i % 2 }
  end
  return packing.pack(list, { pad_id = model.pad_id, position_offset = model.position_offset,
    first_ordinal = 0 })
end

local profile
local times = {}
for n = 0, count do
  if n == 1 and arg[6] == "profile" then
    profile = fsam.profile.new({ device = model.device })
    profile:watch({ pass = pass })
  end
  local batch = length and long(n) or sentences.pack(model, 32 * n, 32, 0)
  local evaluate = pass:bind({ step = n, batches = { batch }, training = true })
  local started = os.clock()
  if profile then
    profile:enter("pass", "pass")
  end
  evaluate({ into = model.params.g, backward = true })
  if profile then
    profile:leave()
  end
  times[n] = os.clock() - started -- times[0] is not sorted
end
table.sort(times)
print(("%s, %s: least %.3f s, median %.3f s of %d passes"):format(arch, precision, times[1],
  times[math.ceil(#times / 2)], count))
if profile then
  print(profile:finish())
end
