--- A small model whose gradient is known, for specs of optimizers and sam-types: logistic loss,
-- logit = x·w over all parameters; twenty steps by the engine and by plain loops in f64, of sgd
-- with momentum unless another base is asked for.
local C = require("fsam.C")
local devices = require("fsam.base.device")
local optimizers = require("fsam.step")
local params = require("fsam.vector.params")

local M = {}

local N = 8 -- samples of a step
-- Name, kind, shape, layer.
local SHAPES = { { "a", "matrix", { 5, 7 }, -1 }, { "b", "matrix", { 3, 4 }, 0 },
  { "c", "bias", { 6 }, 0 }, { "d", "norm", { 3 }, 1 } }

local function new_params()
  local specs = {}
  for i, s in ipairs(SHAPES) do
    specs[i] = { name = s[1], kind = s[2], shape = s[3], layer = s[4] }
  end
  local P = params.new(devices.open("cpu"), specs)
  for i, parameter in ipairs(P.parameters) do
    local t, values = P:master(parameter), {}
    for k = 1, parameter.count do
      values[k] = math.sin(k * 1.7 + i) * 0.3
    end
    t:write(values)
  end
  P:sync()
  return P
end

-- Sample i of step n: features (one per parameter, in the layout's order) and label ±1.
local function sample(n, i, count)
  local x = {}
  for k = 1, count do
    x[k] = math.sin(n * 3.1 + i * 5.3 + k * 0.77 * (1 + i % 3))
  end
  return x, (n + i) % 2 == 0 and 1 or -1
end

-- Losses of the given samples and their mean gradient, at w (a flat list).
local function logistic(w, n, chosen)
  local losses, gradient = {}, {}
  for k = 1, #w do
    gradient[k] = 0
  end
  for _, i in ipairs(chosen) do
    local x, y = sample(n, i, #w)
    local logit = 0
    for k = 1, #w do
      logit = logit + w[k] * x[k]
    end
    losses[#losses + 1] = math.log(1 + math.exp(-y * logit))
    for k = 1, #w do
      gradient[k] = gradient[k] - y * x[k] / (1 + math.exp(y * logit)) / #chosen
    end
  end
  return losses, gradient
end

local ALL = {}
for i = 1, N do
  ALL[i] = i - 1
end

local function read(P, tensor)
  local flat = {}
  for _, parameter in ipairs(P.parameters) do
    for _, x in ipairs(P[tensor](P, parameter):read()) do
      flat[#flat + 1] = x
    end
  end
  return flat
end

-- Leaves a share of a gradient (flat) in a vector as a pass does, skipped parameters 0.
local function leave(P, request, gradient, share)
  local at = 0
  for _, parameter in ipairs(P.parameters) do
    local tensor, part = P:grad(parameter, request.into), {}
    local before = request.accumulate and tensor:read()
    for k = 1, parameter.count do
      part[k] = (request.skip and request.skip[parameter] and 0 or gradient[at + k]) * share
        + (before and before[k] or 0)
    end
    at = at + parameter.count
    tensor:write(part)
  end
  P:touch(request.into)
end

-- The engine's passes, played by the logistic model. A batch of a mask policy is a list of samples.
local function evaluate_on(P, n, log)
  return function(request)
    P:flush()
    local chosen = request.batches and request.batches[1] or request.choice or ALL
    local losses, gradient = logistic(read(P, "weight"), n, chosen)
    log[#log + 1] = { backward = request.backward, samples = #chosen }
    if request.backward then
      leave(P, request, gradient, #chosen / (request.mean_over or #chosen))
    end
    local sum = 0
    for _, loss in ipairs(losses) do
      sum = sum + loss
    end
    return {
      mean = function() return sum / #losses end,
      losses = function() return losses end,
      correct = function() return nil end,
    }
  end
end

local LR, MOMENTUM, DECAY, SEED, TRAIN = 0.05, 0.9, 0.01, 9, 500

--- What a mask policy draws, one sample each: by the step alone.
function M.sampler(count, _, step)
  local list = {}
  for i = 1, count do
    list[i] = { (step + 3 * i) % N }
  end
  return list
end

--- Step n of an optimizer of new_params(); what it found. wrap(evaluate) may stand between.
function M.step(P, optimizer, n, log, wrap)
  local evaluate = evaluate_on(P, n, log or {})
  return optimizer:step({ evaluate = wrap and wrap(evaluate) or evaluate, step = n,
    lr = LR * (1 - n / 40), lr_peak = LR, lr_end = 0, samples = N, progress = n / 20,
    train_samples = TRAIN })
end

-- Twenty steps by the engine, of the plain base (sgd) without a type; w afterwards. `log` collects
-- the passes, `infos` what the steps return.
local function by_engine(sam_type, extra, log, base, infos)
  local P = new_params()
  local options = { momentum = MOMENTUM, weight_decay = DECAY }
  for key, value in pairs(extra) do
    options[key] = value
  end
  local optimizer = optimizers.build({ params = P, optimizer = sam_type and "sam" or base or "sgd",
    base_optimizer = base or "sgd", sam_type = sam_type, options = options, seed = SEED,
    sampler = M.sampler })
  for n = 0, 19 do
    local info = M.step(P, optimizer, n, log)
    assert(info.skipped == nil, info.skipped)
    if infos then
      infos[n + 1] = info
    end
  end
  return read(P, "master"), P
end

local function dot(a, b)
  local sum = 0
  for k = 1, #a do
    sum = sum + a[k] * b[k]
  end
  return sum
end

-- Sgd with momentum and L2, by loops: base(w, d, lr) → what is subtracted from w. And its momentum.
local function sgd()
  local buffer = {}
  return function(w, d, lr)
    local u = {}
    for k = 1, #w do
      buffer[k] = MOMENTUM * (buffer[k] or 0) + d[k] + DECAY * w[k]
      u[k] = lr * buffer[k]
    end
    return u
  end, buffer
end

-- Twenty steps by loops. `direction(w, n, lr, P)` is the type: it returns d, for the base
-- (base(w, d, lr, n, P) → what is subtracted), and what is subtracted besides; either may be nil.
local function by_loops(direction, base)
  local P = new_params()
  local w = read(P, "master")
  base = base or sgd()
  for n = 0, 19 do
    local lr = LR * (1 - n / 40)
    local d, apart = direction(w, n, lr, P)
    local u = d and base(w, d, lr, n, P)
    for k = 1, #w do
      w[k] = w[k] - (u and u[k] or 0) - (apart and apart[k] or 0)
    end
  end
  return w
end

local function moved(w, e)
  local p = {}
  for k = 1, #w do
    p[k] = w[k] + e[k]
  end
  return p
end

local function scaled(g, factor)
  local e = {}
  for k = 1, #g do
    e[k] = g[k] * factor
  end
  return e
end

local function sam_gradient(w, n, rho)
  local _, g = logistic(w, n, ALL)
  local _, g2 = logistic(moved(w, scaled(g, rho / math.sqrt(dot(g, g)))), n, ALL)
  return g, g2
end

--- Which elements have the largest of(value), the lowest first among equals: a set of places.
function M.largest(values, count, of)
  local order, chosen = {}, {}
  for k = 1, #values do
    order[k] = k
  end
  table.sort(order, function(a, b)
    local x, y = of(values[a]), of(values[b])
    return x > y or x == y and a < b
  end)
  for i = 1, count do
    chosen[order[i]] = true
  end
  return chosen
end

-- The parameter (from 0) of every element, in the layout's order.
local function parameter_of(P)
  local list = {}
  for _, parameter in ipairs(P.parameters) do
    for _ = 1, parameter.count do
      list[#list + 1] = parameter
    end
  end
  return list
end

local function norm(v)
  return math.sqrt(dot(v, v))
end

-- The engine's random numbers of a step ("normal" or "uniform"), one for each element.
local function drawn(P, n, kind)
  local v, flat = P:scratch(kind), {}
  v:set(P[kind](P, { seed = SEED, step = n }))
  for _, parameter in ipairs(P.parameters) do
    for _, x in ipairs(v:parameter(parameter):read()) do
      flat[#flat + 1] = x
    end
  end
  return flat
end

-- The engine's number in (0, 1) of a step, s:random(stream): its documented key.
local function random(n, stream)
  local words = C.ffi.new("uint32_t[4]")
  C.lib.fsam_philox(words, stream or 0, 0, 0, 0x72616e64, SEED, n)
  return (words[0] + 0.5) / 2 ^ 32
end

M.N, M.ALL, M.LR, M.DECAY, M.SEED, M.TRAIN = N, ALL, LR, DECAY, SEED, TRAIN
M.logistic, M.by_engine, M.by_loops, M.sgd = logistic, by_engine, by_loops, sgd
M.norm, M.drawn, M.random = norm, drawn, random
M.dot, M.moved, M.scaled, M.sam_gradient = dot, moved, scaled, sam_gradient
M.parameter_of = parameter_of
M.new_params, M.evaluate_on, M.read, M.sample = new_params, evaluate_on, read, sample

return M
