--- Steps of every sam-type as the ranks of one job, or as one process with as many micro-batches.
--
--     mpirun -np N fsam-lua spec/lua/ranks/job.lua PARTS UPDATES FOLDER [shared]
--
-- With `shared` each rank holds a share of the weights and the state.
-- Each step has 4 samples for each of PARTS. After every step all ranks must hold the same weights.
-- Rank 0 writes FOLDER/CASE, the weights at the end as raw f32, for each case.
require("spec.helper")
local bert = require("spec.lua.small_bert")
local ffi = require("ffi")
local files = require("fsam.base.file")
local Pass = require("fsam.pass")
local optim = require("fsam.optim")
local sam = require("fsam.sam")
local steps_of = require("fsam.step")
local mask = require("fsam.mask")
local world = require("fsam.ranks.world")

local parts, updates, folder, shared = tonumber(arg[1]), tonumber(arg[2]), arg[3], arg[4]
local ranks = world.join()
local EACH = 4

-- Every type and policy over sgd without momentum, which does not enlarge roundings.
local function cases()
  local list = {}
  local function add(name, o)
    list[#list + 1] = { name = name, o = o }
  end
  local plain = { momentum = 0, k = 2, fisher = "batch", eta = 0.1 }
  for _, name in ipairs(sam.names()) do
    add(name, { sam_type = name, base = not sam.get(name).update and "sgd" or nil,
      options = plain })
  end
  for _, policy in ipairs(mask.names()) do
    add("policy-" .. policy, { sam_type = "fisher-sam", base = policy == "adam" and "adam" or "sgd",
      options = { momentum = 0, fisher = policy, keep_ratio = 0.5, adam_eps = 1e-2 } })
  end
  for _, name in ipairs(optim.names()) do
    add("plain-" .. name, { optimizer = name, options = { momentum = 0, adam_eps = 1e-2 } })
  end
  add("bf16", { sam_type = "fisher-sam", base = "sgd", precision = "bf16",
    options = { momentum = 0, fisher = "magnitude" } })
  return list
end

local function micro_batches(model, n)
  local list = {}
  for i = 1, parts do
    if ranks:owns(i) then
      list[#list + 1] = bert.pack(model, 100 * n + EACH * i, EACH, EACH * (i - 1))
    end
  end
  return list
end

local function same_on_all(vector)
  local tensor = vector:tensor() -- of shares it is gathered: on all ranks
  local hash = tensor:hash()
  for i, value in ipairs(ranks:gather(hash)) do
    assert(value == hash[(i - 1) % 2 + 1], "the ranks hold other weights")
  end
end

local function train(case)
  local o = setmetatable({ precision = case.o.precision or "fp32",
    share = shared and ranks }, { __index = case.o })
  local model = bert.model(o)
  local pass = Pass.new({ model = model, seed = 5, ranks = ranks })
  local optimizer = steps_of.build({ params = model.params, optimizer = o.optimizer or "sam",
    base_optimizer = o.base, sam_type = o.sam_type, options = bert.options(o.options), seed = 5,
    sampler = bert.sampler(model) })
  for n = 0, updates - 1 do
    local info = optimizer:step({ step = n, lr = 1e-3, lr_peak = 1e-3, samples = EACH * parts,
      evaluate = pass:bind({ step = n, batches = micro_batches(model, n), training = true }),
      micro_batches = parts, progress = n / updates, train_samples = 1000, ranks = ranks })
    assert(not info.skipped, info.skipped)
    same_on_all(model.params.w)
  end
  local bytes = bert.bytes(model.params.w)
  if ranks.is_first then
    files.write(folder .. "/" .. case.name, bytes)
  end
end

assert(ffi.abi("le"))
for _, case in ipairs(cases()) do
  local ok, err = pcall(train, case)
  if not ok then
    error(case.name .. ": " .. tostring(err), 0)
  end
end
