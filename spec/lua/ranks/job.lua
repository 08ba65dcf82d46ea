--- Steps of every sam-type and mask policy as the ranks of one job, or as one process with as many
-- micro-batches.
--
--     mpirun -np N fsam-lua spec/lua/ranks/job.lua PARTS FOLDER FP32 BF16 [BASE]
--
-- Each step has 4 samples for each of PARTS. FP32 and BF16: how many updates in each precision;
-- BASE: the base optimizer (sgd without momentum, which does not enlarge roundings). After every
-- step all ranks must hold the same weights. Rank 0 writes FOLDER/PRECISION-CASE, the weights at
-- the end as raw f32, for each case: all with two PARTS, and those of cases.COVER with more.
-- Several ranks then train a larger model twice, the second time with a share of the weights and
-- the state on each: all that a checkpoint has must be equal. That too is of COVER; FSAM_SWEEP=1:
-- of all.
require("spec.helper")
local bert = require("spec.lua.small_bert")
local ffi = require("ffi")
local files = require("fsam.base.file")
local Pass = require("fsam.pass")
local cases = require("spec.lua.ranks.cases")
local steps_of = require("fsam.step")
local world = require("fsam.ranks.world")

local parts, folder = tonumber(arg[1]), arg[2]
local UPDATES = { fp32 = tonumber(arg[3]), bf16 = tonumber(arg[4]) }
local base = arg[5] or "sgd"
local ranks = world.join()
local SWEEP = os.getenv("FSAM_SWEEP")
local EACH, WITH_SHARES = 4, 4 -- samples; updates
local RATE = { sgd = 0.05 } -- of others 1e-3: after 20 updates a weight has moved by a tenth

local function micro_batches(model, n)
  local list = {}
  for i = 1, parts do
    if ranks:owns(i) then
      list[#list + 1] = bert.pack(model, 100 * n + EACH * i, EACH, EACH * (i - 1))
    end
  end
  return list
end

-- What a rank has itself: of shares that is the working copy, to which each has given its part.
local function same_on_all(params)
  local hash = params.share and params.share:hash(params.c:tensor()) or params.w:tensor():hash()
  for i, value in ipairs(ranks:gather(hash)) do
    assert(value == hash[(i - 1) % 2 + 1], "the ranks hold other weights")
  end
end

-- The model after the updates.
local function train(case, updates, settings)
  local o = setmetatable(settings, { __index = case.o })
  local model = bert.model(o)
  if o.ties then
    model.params.w:set(model.params.w:sign() * 0.25)
  end
  local pass = Pass.new({ model = model, seed = 5, ranks = ranks })
  local optimizer = steps_of.build({ params = model.params, optimizer = o.optimizer or "sam",
    base_optimizer = o.base, sam_type = o.sam_type, options = bert.options(o.options), seed = 5,
    sampler = bert.sampler(model) })
  local lr = RATE[o.base or o.optimizer] or 1e-3
  for n = 0, updates - 1 do
    local info = optimizer:step({ step = n, lr = lr, lr_peak = lr, samples = EACH * parts,
      evaluate = pass:bind({ step = n, batches = micro_batches(model, n), training = true }),
      micro_batches = parts, progress = n / updates, train_samples = 1000, ranks = ranks })
    assert(not info.skipped, info.skipped)
    same_on_all(model.params)
  end
  return model
end

local function with_shares(case)
  local precision = case.name:find("^policy") and "bf16" or "fp32"
  local whole = bert.snapshot(train(case, WITH_SHARES, { precision = precision }))
  local shared = bert.snapshot(train(case, WITH_SHARES, { precision = precision, share = ranks }))
  for name, value in pairs(whole) do
    assert(value == shared[name], name .. " has other bytes where each rank holds a share")
  end
end

local function run(case)
  for _, precision in ipairs({ "fp32", "bf16" }) do -- in the same order on all ranks
    local model = train(case, UPDATES[precision], { precision = precision, smaller = true })
    if ranks.is_first then
      files.write(("%s/%s-%s"):format(folder, precision, case.name), bert.bytes(model.params.w))
    end
  end
  if ranks.size > 1 and (SWEEP or cases.COVER[case.name]) then
    with_shares(case)
  end
end

assert(ffi.abi("le"))
cases.hold_decisions()
for _, case in ipairs(cases.list(base)) do
  if SWEEP or parts == 2 or cases.COVER[case.name] then
    local ok, err = pcall(run, case)
    if not ok then
      error(case.name .. ": " .. tostring(err), 0)
    end
  end
end
