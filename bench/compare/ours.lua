--- Our side of bench/compare: times steps of one optimizer on batches that the peer sees too, or
-- the products of such a step alone (the floor).
--
--     fsam-lua bench/compare/ours.lua MODEL_FOLDER BATCHES.json OPTIMIZER PRECISION STEPS THREADS
--
-- OPTIMIZER: adam, sam, fisher-sam, or floor. Prints one JSON object: loss (of the first batch,
-- without dropout), seconds of each step, processor (its seconds of all steps together), mask
-- (seconds of the step that makes one), peak (MB).
local fsam = require("fsam")
local C = require("fsam.C")
local files = require("fsam.base.file")
local json = require("fsam.base.json")
local ffi, lib, check = C.ffi, C.lib, C.check

ffi.cdef([[
struct bench_usage { long times[4], peak, rest[13]; };
int getrusage(int who, struct bench_usage *usage);
]])

local folder, path, optimizer, precision = arg[1], arg[2], arg[3], arg[4]
local steps = tonumber(arg[5])
fsam.device.threads(tonumber(arg[6]))

local batches = json.decode(files.read(path, 2 ^ 28))
local device = fsam.device.open("cpu")
local compute = precision == "bf16" and "bf16" or "f32"

local function emit(result)
  local usage = ffi.new("struct bench_usage")
  ffi.C.getrusage(0, usage)
  result.peak = tonumber(usage.peak) / 1024
  print(json.encode(result))
end

-- The least seconds of a few calls.
local function least(fn)
  local best = math.huge
  for _ = 1, 4 do
    local began = lib.fsam_clock()
    fn()
    best = math.min(best, lib.fsam_clock() - began)
  end
  return best
end

-- The fastest of two layouts of each product y[M,N] of K terms that a pass has. The weights lie as
-- [N,K] or as [K,N]; a weight's gradient is made as it lies or transposed.
local function product(arena, m, n, k)
  local function new(rows, columns, dtype)
    local t = fsam.tensor.new(arena, dtype or compute, { rows, columns }, "floor", true)
    t:fill(0.01)
    return t
  end
  local x, y, one, other = new(m, k), new(m, n), new(n, k), new(k, n)
  local forward = math.min(
    least(function() check(lib.fsam_linear_forward(y, x, one, nil)) end),
    least(function() check(lib.fsam_linear_backward_input(y, x, other)) end))
  local back = math.min(
    least(function() check(lib.fsam_linear_backward_input(x, y, one)) end),
    least(function() check(lib.fsam_linear_forward(x, y, other, nil)) end))
  local dw, turned = new(n, k, "f32"), new(k, n, "f32")
  local weight = math.min(
    least(function() check(lib.fsam_linear_backward_weight(dw, nil, y, x)) end),
    least(function() check(lib.fsam_linear_backward_weight(turned, nil, x, y)) end))
  return forward + back + weight
end

-- Seconds of the linear maps' products of one pass over the first batch, the head's left out. Of
-- the last layer, what follows attention is needed for one row of each sample.
local function floor()
  local config = json.decode(files.read(folder .. "/config.json"))
  local h, f, tokens = config.hidden_size, config.intermediate_size, 0
  for _, sample in ipairs(batches[1]) do
    tokens = tokens + #sample.ids
  end
  local layers, seconds = config.num_hidden_layers, 0
  local function add(times, rows, out, inputs)
    local arena = fsam.device.arena(device, "floor")
    seconds = seconds + times * product(arena, rows, out, inputs)
    collectgarbage()
  end
  add(layers, tokens, 3 * h, h)
  for _, shape in ipairs({ { h, h }, { f, h }, { h, f } }) do
    add(layers - 1, tokens, shape[1], shape[2])
    add(1, #batches[1], shape[1], shape[2])
  end
  return seconds
end

if optimizer == "floor" then
  emit({ seconds = { floor() } })
  return
end

local model = fsam.models.load({ path = folder, device = device, precision = precision,
  labels = { "a", "b" } })

local function pack(samples, ordinal)
  return fsam.data.packing.pack(samples, { pad_id = model.pad_id,
    position_offset = model.position_offset, first_ordinal = ordinal })
end

local function sampler(n, _, step, first)
  local list = {}
  for i = 1, n do
    local batch = batches[(step + i) % #batches + 1]
    list[i] = pack({ batch[(i - 1) % #batch + 1] }, first + i - 1)
  end
  return list
end

local pass = fsam.pass.new({ model = model, seed = 1 })
local first = pack(batches[1], 0)
local _, losses = pass:predict(first)
local loss = 0
for _, value in ipairs(losses) do
  loss = loss + value / #losses
end

local sam = optimizer ~= "adam"
local built = fsam.step.build({ params = model.params, optimizer = sam and "sam" or "adam",
  sam_type = sam and optimizer or nil, seed = 1, sampler = sampler,
  options = { rho = sam and 0.05 or nil, weight_decay = 0.01, adam_form = "torch" } })

-- One step; its seconds.
local function step(n)
  local samples = batches[n % #batches + 1]
  local began = lib.fsam_clock()
  local info = built:step({ step = n, lr = 1e-6, samples = #samples,
    evaluate = pass:bind({ step = n, batches = { pack(samples, 0) }, training = true }) })
  assert(not info.skipped, info.skipped)
  return lib.fsam_clock() - began
end

step(0)
step(1)
local mask = optimizer == "fisher-sam" and step(100) or nil
local seconds, began = {}, os.clock()
for i = 1, steps do
  seconds[i] = step(100 + i)
end
emit({ loss = loss, seconds = seconds, mask = mask, processor = os.clock() - began })
