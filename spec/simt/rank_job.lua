--- Steps on the shim's device, as the ranks of one job whose gradients NCCL's stand-in sums, or as
-- one process with as many micro-batches.
--
--     mpirun -np N fsam-lua spec/simt/rank_job.lua PARTS FOLDER [FAULT RANK]
--
-- Each step has 2 samples for each of PARTS. After every step all ranks must hold the same weights.
-- Rank 0 writes FOLDER/CASE, the weights at the end as raw f32, for each case, and prints how many
-- passes ran from graphs, and how many parts of gradients were sent before backward had ended.
-- FAULT strikes rank RANK at its fifth sum over ranks: "kill", "stop" (SIGKILL, SIGSTOP),
-- "kill-in-sum" (when it has sent a part, while the others wait for more), "part" (it sends a part
-- that the others do not).
local helper = require("spec.helper")
local bert = require("spec.lua.small_bert")
local C = require("fsam.C")
local cases = require("spec.lua.ranks.cases")
local files = require("fsam.base.file")
local Pass = require("fsam.pass")
local alone = require("fsam.ranks").alone
local programs = require("spec.simt.programs")
local simt = require("spec.simt.device")
local steps_of = require("fsam.step")
local world = require("fsam.ranks.world")
local ffi = C.ffi

ffi.cdef("int getpid(void); int kill(int pid, int signal);")

local parts, folder = tonumber(arg[1]), arg[2]
local EACH = 2
local PARCEL = 250 -- elements

local FOUR = { ["fp32-fisher-sam"] = true, ["fp32-esam"] = true, ["bf16-plain-adam"] = true,
  ["fp32-policy-sample"] = true }
local RATE = { sgd = 0.05 } -- of others 1e-3

-- Cases by precision; the updates are two, or four in those that also run from graphs.
local function in_precision(precision, base, wanted)
  local list = {}
  for _, case in ipairs(cases.list(base)) do
    if case.name:find(wanted) then
      case.o.precision, case.name = precision, precision .. "-" .. case.name
      case.updates = FOUR[case.name] and 4 or 2
      list[#list + 1] = case
    end
  end
  return list
end

-- Faults strike in the first one, which takes the longest.
local CASES = {}
for _, list in ipairs({ in_precision("fp32", "sgd", "^fisher%-sam$"),
  in_precision("bf16", "adam", "^plain%-adam$"), in_precision("bf16", "adam", "^fisher%-sam$"),
  in_precision("fp32", "sgd", "") }) do
  for _, case in ipairs(list) do
    if #CASES == 0 or case.name ~= CASES[1].name then
      CASES[#CASES + 1] = case
    end
  end
end
cases.hold_decisions()

local Ranks = getmetatable(alone).__index
local early, sums = 0, 0

local function watch()
  local sum, send, in_sum = Ranks.sum, Ranks.send, false
  function Ranks:sum(...)
    in_sum = true
    sum(self, ...)
    in_sum = false
  end
  function Ranks:send(...)
    local sent = send(self, ...)
    early = early + (sent and not in_sum and 1 or 0)
    return sent
  end
end

local function strike(fault, rank)
  local sum = Ranks.sum
  if world.join().rank ~= rank then
    return
  end
  function Ranks:sum(vector, parcels)
    sums = sums + (self.size > 1 and 1 or 0)
    if sums == 5 and fault == "kill-in-sum" then
      self:send(vector, parcels)
    end
    if sums == 5 and fault == "part" then
      self.parts.add(vector.raw, 0, 3)
    elseif sums == 5 then
      ffi.C.kill(ffi.C.getpid(), fault == "stop" and 19 or 9)
    end
    return sum(self, vector, parcels)
  end
end

local function same_on_all(ranks, vector)
  local hash = vector:tensor():hash()
  for i, value in ipairs(ranks:gather(hash)) do
    assert(value == hash[(i - 1) % 2 + 1], "the ranks hold other weights")
  end
end

-- The weights after the updates, and how many passes ran from graphs.
local function train(case, ranks)
  local o = setmetatable({ smaller = true }, { __index = case.o })
  local model = bert.model(o)
  if o.ties then
    model.params.w:set(model.params.w:sign() * 0.25)
  end
  local pass = Pass.new({ model = model, seed = 5, ranks = ranks, parcel = PARCEL })
  local optimizer = steps_of.build({ params = model.params, optimizer = o.optimizer or "sam",
    base_optimizer = o.base, sam_type = o.sam_type, options = bert.options(o.options), seed = 5,
    sampler = bert.sampler(model) })
  local batches = {}
  for i = 1, parts do
    if ranks:owns(i) then
      batches[#batches + 1] = bert.pack(model, EACH * i, EACH, EACH * (i - 1))
    end
  end
  local lr = RATE[o.base or o.optimizer] or 1e-3
  for n = 0, case.updates - 1 do
    local info = optimizer:step({ step = n, lr = lr, lr_peak = lr, samples = EACH * parts,
      evaluate = pass:bind({ step = n, batches = batches, training = true }),
      micro_batches = parts, progress = n / case.updates, train_samples = 1000, ranks = ranks })
    assert(not info.skipped, info.skipped)
    same_on_all(ranks, model.params.w)
  end
  return bert.bytes(model.params.w), pass.graphs.counts.replayed
end

local lib = assert(simt.load())
local ranks = world.join()
world.timeout(arg[3] and 2 or 60) -- ranks on a busy machine are far apart
if arg[3] then
  strike(arg[3], tonumber(arg[4]))
end
programs.build(programs.record(function() -- the vector programs of the steps, on the CPU
  for _, case in ipairs(CASES) do
    train(case, alone)
  end
end))
watch()
local out = ffi.new("fsam_device *[1]")
C.check(lib.fsam_simt_open(out))
for i = 1, arg[3] and 1 or #CASES do -- a fault strikes in the first
  local case = CASES[i]
  early = 0
  local weights, replayed = helper.on_device(out[0], function() return train(case, ranks) end)
  if ranks.is_first then
    files.write(folder .. "/" .. case.name, weights)
  end
  print(("%s replayed %d early %d"):format(case.name, replayed, early))
end
