--- How far bf16 passes are from f32 ones, on one model, batch by batch: the gradients, the
-- perturbation that the working copy really makes, the loss at w + e, and the update of a SAM step.
-- Prints a table of Markdown: means over the batches, without dropout.
--
--     fsam-lua bench/precision.lua MODEL [RHO = 0.05] [BATCHES = 3] [THREADS = all]
--
-- MODEL: a Hugging Face folder with a tokenizer, or an architecture with RoBERTa's vocabulary
-- (roberta_base), whose weights are random then. Texts are the built-in corpus's; of an
-- architecture's batches all ids are random.
--
-- e = rho g / ‖g‖ at the model's own gradient. What c moves is compared with e: `along` is its part
-- along e (1: as asked), `across` the length of the rest, both in lengths of e.
local fsam = require("fsam")
local C = require("fsam.C")
local ffi = C.ffi

local place, rho = arg[1], tonumber(arg[2] or 0.05)
local count = tonumber(arg[3] or 3)
fsam.device.threads(tonumber(arg[4] or 0))
local device = fsam.device.open("cpu")
local is_folder = place:find("/", 1, true) ~= nil

local function model_of(precision)
  if is_folder then
    return fsam.models.load({ path = place, device = device, precision = precision, seed = 1,
      labels = { "no", "yes" }, dropout = 0, attention_dropout = 0 })
  end
  return fsam.models.new({ arch = place, device = device, precision = precision, seed = 1,
    labels = { "no", "yes" }, pad_id = 1, dropout = 0, attention_dropout = 0 })
end

-- The same batches for every model: 32 samples.
local function batches_of(model)
  local tokenizer = is_folder and fsam.text.load(place)
  local corpus = is_folder and fsam.data.corpus.open(fsam.data.tasks.get("cola"))
  local list = {}
  for b = 1, count do
    local samples = {}
    for i = 1, 32 do
      local n = 32 * (b - 1) + i
      if tokenizer then
        local one = corpus.train.samples[n]
        samples[i] = { ids = tokenizer:encode(one.text), label = n % 2 }
      else
        local ids = { 0 }
        for k = 2, 5 + n * 7 % 14 do
          ids[k] = 5 + (n * 7919 + k * 104729) % 40000
        end
        samples[i] = { ids = ids, label = n % 2 }
      end
    end
    list[b] = fsam.data.packing.pack(samples, { pad_id = model.pad_id,
      position_offset = model.position_offset, first_ordinal = 0 })
  end
  return list
end

-- A copy of a vector's elements on the host, and what is computed with such.
local function host(vector, total)
  local copy = ffi.new("float[?]", total)
  ffi.copy(copy, vector:tensor().data, total * 4)
  return copy
end

local function dot(a, b, n)
  local sum = 0
  for i = 0, n - 1 do
    sum = sum + a[i] * b[i]
  end
  return sum
end

local function cosine(a, b, n)
  return dot(a, b, n) / math.sqrt(dot(a, a, n) * dot(b, b, n))
end

local function difference(a, b, n)
  local d = ffi.new("float[?]", n)
  for i = 0, n - 1 do
    d[i] = a[i] - b[i]
  end
  return d
end

local function mean_loss(pass, batch)
  local sum, losses = 0, select(2, pass:predict(batch))
  for _, loss in ipairs(losses) do
    sum = sum + loss / #losses
  end
  return sum
end

-- Moves c to w + e, and says what happened: along, across, and the change of the loss. `options` of
-- the set say how it rounds.
local function perturbed(P, pass, batch, options)
  local before, moved = P:scratch("bench before"), P:scratch("bench moved")
  P:sync()
  if options then
    P.c:set(P.w, options)
  end
  before:set(P.c + 0)
  P:flush()
  local loss = mean_loss(pass, batch)
  local e = P.g * (rho / P.g:norm())
  P.c:set(P.w + e, options)
  P:flush()
  moved:set(P.c - before)
  P:flush()
  local along = moved:dot(e):read() / e:dot(e):read()
  local across = (moved - e * along):norm():read() / e:norm():read()
  return { along = along, across = across, change = mean_loss(pass, batch) - loss }
end

-- All of one batch in one precision, from the weights that the model has; they stay.
local function look(precision, number)
  local model = model_of(precision)
  local P, batch = model.params, batches_of(model)[number]
  local pass, total = fsam.pass.new({ model = model, seed = 1 }), P.total
  local evaluate = pass:bind({ step = 0, batches = { batch }, training = false })
  local found = { total = total }
  evaluate({ into = P.g, backward = true })
  found.g = host(P.g, total)
  found.nearest = perturbed(P, pass, batch)
  P.c:set(P.w + P.g * (rho / P.g:norm()))
  P:flush()
  local second = P:scratch("bench second")
  evaluate({ into = second, backward = true })
  found.second = host(second, total)
  if precision == "bf16" then
    found.stochastic = perturbed(P, pass, batch, { rounding = "stochastic", seed = 1, step = 0 })
  end
  P:sync()
  local w = host(P.w, total)
  fsam.step.build({ params = P, optimizer = "sam", sam_type = "sam", seed = 1,
    options = { rho = rho } }):step({ step = 0, lr = 1e-5, samples = 32, evaluate = evaluate })
  found.update = difference(host(P.w, total), w, total)
  return found
end

local sums, order = {}, {}
local function add(name, value)
  if not sums[name] then
    sums[name], order[#order + 1] = 0, name
  end
  sums[name] = sums[name] + value / count
end

for number = 1, count do
  local exact = look("fp32", number)
  local rounded = look("bf16", number)
  assert(exact.total == rounded.total, "the two models differ in their layout")
  add("cosine of g, bf16 and f32", cosine(exact.g, rounded.g, exact.total))
  add("cosine of g', bf16 and f32", cosine(exact.second, rounded.second, exact.total))
  add("cosine of the SAM update (Adam's first)", cosine(exact.update, rounded.update, exact.total))
  for _, row in ipairs({ { "f32", exact.nearest }, { "bf16, nearest", rounded.nearest },
    { "bf16, stochastic", rounded.stochastic } }) do
    add("e of " .. row[1] .. ": along", row[2].along)
    add("e of " .. row[1] .. ": across", row[2].across)
    add("loss at w + e less loss at w, " .. row[1], row[2].change)
  end
  collectgarbage()
end

print(("| %s, rho %g, %d batches of 32 | mean |"):format(place:match("[^/]+/?$"), rho, count))
print("|---|---|")
for _, name in ipairs(order) do
  print(("| %s | %.6f |"):format(name, sums[name]))
end
