--- Steps on the shim's device, as the ranks of one job whose gradients NCCL's stand-in sums, or as
-- one process with as many micro-batches.
--
--     mpirun -np N fsam-lua spec/simt/rank_job.lua PARTS FOLDER [shares | FAULT RANK]
--
-- Each step has 2 samples for each of PARTS. After every step all ranks must hold the same weights.
-- Rank 0 writes FOLDER/CASE, the weights at the end as raw f32, for each case, and prints how many
-- passes ran from graphs, and how many parts of gradients were sent before backward had ended.
-- Several ranks train some cases a second time, with a share of the weights and the state on each:
-- all that a checkpoint has must be equal; it prints how many parts were sent early there.
--
-- shares: only a few of these. FAULT strikes rank RANK at its fifth sum over ranks: "kill", "stop"
-- (SIGKILL, SIGSTOP), "kill-in-sum" (when it has sent a part, while the others wait for more),
-- "part" (it sends a part that the others do not). FSAM_SWEEP=1: all types and policies.
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

local parts, folder, fault = tonumber(arg[1]), arg[2], arg[3]
local job = world.join()
local STRIKES = { kill = 9, stop = 19, ["kill-in-sum"] = 9, part = true }
local EACH = 2
local PARCEL = 250 -- elements

-- What is trained: a case, its precision, base optimizer and updates (four where it is to run from
-- graphs too); `rows` of the embedding, so many that it has several blocks and lies in several
-- shares: then it is trained with shares as well. Each has something that another way goes between
-- GPUs than between hosts. Faults strike in the first one, which takes the longest.
local ROWS = 700
local COVER = {
  { "fisher-sam", "fp32", "sgd", 4, rows = ROWS }, -- a mask from squares; two sums in parts
  { "fisher-sam", "bf16", "adam", 2, rows = ROWS, shares = true }, -- the working copy in two types
  { "fisher-esam", "fp32", "sgd", 2, rows = ROWS }, -- chosen samples; a sum that is not in parts
  { "plain-lamb", "fp32", "sgd", 2, rows = ROWS, shares = true }, -- reductions over parameters
  { "ties", "fp32", "sgd", 2, rows = ROWS, shares = true }, -- a mask from ties in several shares
  { "per-tensor", "fp32", "sgd", 2, rows = ROWS }, -- a selection in each parameter
  { "plain-adam", "bf16", "adam", 4 }, -- one pass from graphs
  { "esam", "fp32", "sgd", 4 },
  { "policy-batch", "fp32", "sgd", 2 }, -- a mask from the step's own gradient
  { "sam-k", "fp32", "sgd", 2 }, -- more than two sums
}

-- All of them, with what the cover has of each.
local function all()
  local list, seen = {}, {}
  for _, entry in ipairs(COVER) do
    list[#list + 1], seen[entry[2] .. "-" .. entry[1]] = entry, true
  end
  for _, case in ipairs(cases.list("sgd")) do
    if not seen["fp32-" .. case.name] then
      list[#list + 1] = { case.name, "fp32", "sgd", 2, rows = ROWS }
    end
  end
  return list
end

local function case_of(entry)
  for _, case in ipairs(cases.list(entry[3])) do
    if case.name == entry[1] then
      case.o.precision, case.o.rows, case.updates = entry[2], entry.rows, entry[4]
      case.name = entry[2] .. "-" .. case.name
      return case
    end
  end
end

local LIST, CASES = {}, {} -- all, and those that this job trains on the device
for i, entry in ipairs(os.getenv("FSAM_SWEEP") and all() or COVER) do
  LIST[i] = assert(case_of(entry), entry[1])
  if not fault or fault == "shares" and entry.shares or STRIKES[fault] and i == 1 then
    CASES[#CASES + 1] = LIST[i]
  end
end
cases.hold_decisions()

local RATE = { sgd = 0.05 } -- of others 1e-3
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

local function strike(rank)
  local sum = Ranks.sum
  if job.rank ~= rank then
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
      ffi.C.kill(ffi.C.getpid(), STRIKES[fault])
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

-- The model after the updates, and how many passes ran from graphs.
local function train(case, ranks, share)
  local o = setmetatable({ smaller = true, share = share }, { __index = case.o })
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
  return model, pass.graphs.counts.replayed
end

-- Trains with a share of the weights and the state on each rank: all that a checkpoint has must be
-- as in the whole model.
local function compare(case, whole)
  local expected = bert.snapshot(whole)
  for name, value in pairs(bert.snapshot((train(case, job, job)))) do
    assert(value == expected[name], case.name .. ": " .. name .. " has other bytes in shares")
    expected[name] = nil
  end
  assert(next(expected) == nil)
end

-- What rank 0 says of a case, and leaves.
local function run(case)
  early = 0
  local model, replayed = train(case, job)
  local line = ("%s replayed %d early %d"):format(case.name, replayed, early)
  if job.is_first then
    files.write(folder .. "/" .. case.name, bert.bytes(model.params.w))
  end
  if case.o.rows and job.size > 1 then
    early = 0
    compare(case, model)
    line = ("%s shares %d"):format(line, early)
  end
  print(line)
end

local lib = assert(simt.load())
world.timeout(400) -- ranks on a busy machine are far apart
programs.build_once(job, programs.record(function() -- the vector programs of the steps, on the CPU
  for _, case in ipairs(LIST) do
    train(case, alone)
  end
end))
if STRIKES[fault] then
  world.timeout(2)
  strike(tonumber(arg[4]))
end
watch()
local out = ffi.new("fsam_device *[1]")
C.check(lib.fsam_simt_open(out))
for _, case in ipairs(CASES) do
  helper.on_device(out[0], function()
    run(case)
  end)
end
