--- What a new mask of the policy `sample` costs, 32 samples of CoLA's lengths: in one pass of
-- squares, and in a pass for each sample, beside a step of adam and of sam, on one model from
-- random weights, in turn within one process. Prints a table of Markdown: the least time of each,
-- and its ratio to adam's; then fisher-sam's step with a new mask every 10 updates, as a ratio to
-- sam's, and how far the two ways' squares lie apart. On a machine that does other work too, time
-- of the processor with one thread says more than seconds.
--
--     fsam-lua bench/mask-refresh.lua [ROUNDS = 3] [PRECISION = fp32] [THREADS = all]
--         [ARCH = roberta_base, or another with RoBERTa's vocabulary]
local fsam = require("fsam")
local C = require("fsam.C")
local Passes = require("fsam.step.passes")
local observe = require("fsam.step.observe")
local ranks = require("fsam.ranks")
local sentences = dofile(arg[0]:gsub("[^/]*$", "") .. "sentences.lua")

local rounds, precision = tonumber(arg[1] or 3), arg[2] or "fp32"
local arch = arg[4] or "roberta_base"
fsam.device.threads(tonumber(arg[3] or 0))

local SAMPLES, INTERVAL = 32, 10

local model = fsam.models.new({ arch = arch, device = fsam.device.open("cpu"), seed = 1,
  labels = { "a", "b" }, precision = precision, pad_id = 1, vocab_size = 50265 })

local function pack(...)
  return sentences.pack(model, ...)
end
local params = model.params
local pass = fsam.pass.new({ model = model, seed = 1 })

local function optimizer(kind)
  return fsam.step.build({ optimizer = kind, params = params, seed = 1, sam_type = kind == "sam"
    and "sam" or nil, options = { rho = kind == "sam" and 0.05 or nil, weight_decay = 0.01 } })
end

-- The update n of a kind of optimizer.
local function stepper(kind)
  local one, n = optimizer(kind), 0
  return function()
    local info = one:step({ step = n, lr = 1e-5, samples = SAMPLES, evaluate = pass:bind({ step = n,
      batches = { pack(SAMPLES * n, SAMPLES, 0) }, training = true }) })
    assert(not info.skipped, info.skipped)
    n = n + 1
  end
end

-- The squares of 32 samples and the mask that follows from them. A function around `evaluate` hides
-- that it can give squares.
local mask, found = params:mask("mask"), nil
local function refresh(at_once)
  return function()
    local evaluate = pass:bind({ step = 0, training = true, batches = { pack(0, 1, 0) } })
    local passes = Passes.new(at_once and evaluate or function(request)
      return evaluate(request)
    end, observe.NONE, ranks.alone)
    local singles = {}
    for i = 1, SAMPLES do
      singles[i] = pack(i, 1, SAMPLES + i)
    end
    local f = passes:squares({ batches = singles, into = params.g, sum = "fisher" }, "a loss")
    mask:top(f, { keep_ratio = 0.1 })
    found = f
  end
end

local WORK = {
  { "adam", stepper("adam") },
  { "sam", stepper("sam") },
  { "a new mask, in one pass", refresh(true) },
  { "a new mask, in 32 passes", refresh(false) },
}
local CLOCKS = { C.lib.fsam_clock, os.clock } -- seconds, and seconds of the processor

for round = 0, rounds do -- the first compiles
  for _, work in ipairs(WORK) do
    local began = { CLOCKS[1](), CLOCKS[2]() }
    work[2]()
    for clock = 1, 2 do
      local time = CLOCKS[clock]() - began[clock]
      work[2 + clock] = math.min(round > 1 and work[2 + clock] or math.huge, time)
    end
    if work == WORK[3] and round == rounds then
      params:scratch("of one pass"):set(found) -- the other way will overwrite it
      params:flush()
    end
  end
end

print(("%s, %s, %d threads, %d samples of %.1f tokens; least of %d rounds"):format(arch, precision,
  C.lib.fsam_threads(), SAMPLES, pack(0, SAMPLES, 0).real_tokens / SAMPLES, rounds))
print("| work | seconds | of adam's | processor, s | of adam's |")
print("|---|---|---|---|---|")
for _, work in ipairs(WORK) do
  print(("| %s | %.3f | %.2f | %.3f | %.2f |"):format(work[1], work[3], work[3] / WORK[1][3],
    work[4], work[4] / WORK[1][4]))
end
for i, way in ipairs({ "one pass", "32 passes" }) do
  print(("fisher-sam with a new mask every %d updates, in %s: %.2f of sam (processor)"):format(
    INTERVAL, way, 1 + WORK[2 + i][4] / INTERVAL / WORK[2][4]))
end

local one = params:scratch("of one pass")
print(("the two ways' squares differ by %.1e of their length"):format(
  ((found - one):norm() / found:norm()):read()))
