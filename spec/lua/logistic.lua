--- A small model whose gradient is known, for specs of sam-types: logistic loss, logit = x·w over
-- all parameters; twenty steps of sgd with momentum by the engine and by plain loops in f64.
local C = require("fsam.C")
local devices = require("fsam.device")
local optim = require("fsam.optim")
local params = require("fsam.params")

local M = {}

local N = 8 -- samples of a step
local SHAPES = { { "a", "matrix", { 5, 7 } }, { "b", "matrix", { 3, 4 } }, { "c", "bias", { 6 } },
  { "d", "norm", { 3 } } }

local function new_params()
  local specs = {}
  for i, s in ipairs(SHAPES) do
    specs[i] = { name = s[1], kind = s[2], shape = s[3] }
  end
  local P = params.new(devices.open("cpu"), specs)
  for i, segment in ipairs(P.segments) do
    local t, values = P:master(segment), {}
    for k = 1, segment.count do
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
  for _, segment in ipairs(P.segments) do
    for _, x in ipairs(P[tensor](P, segment):read()) do
      flat[#flat + 1] = x
    end
  end
  return flat
end

-- The engine's passes, played by the logistic model.
local function evaluate_on(P, n, log)
  return function(request)
    P:flush()
    local chosen = request.choice or ALL
    local losses, gradient = logistic(read(P, "weight"), n, chosen)
    log[#log + 1] = { backward = request.backward, samples = #chosen }
    if request.backward then
      local at = 0
      for _, segment in ipairs(P.segments) do
        local part = {}
        for k = 1, segment.count do
          part[k] = request.skip and request.skip[segment] and 0 or gradient[at + k]
        end
        at = at + segment.count
        P:grad(segment, request.into):write(part)
      end
      P:touch(request.into)
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

local LR, MOMENTUM, DECAY = 0.05, 0.9, 0.01

-- Twenty steps by the engine, by plain sgd without a type; w afterwards.
local function by_engine(sam_type, extra, log)
  local P = new_params()
  local options = { momentum = MOMENTUM, weight_decay = DECAY, clip_norm = 0 }
  for key, value in pairs(extra) do
    options[key] = value
  end
  local optimizer = optim.build({ params = P, optimizer = sam_type and "sam" or "sgd",
    base_optimizer = "sgd", sam_type = sam_type, options = options, seed = 9 })
  for n = 0, 19 do
    local info = optimizer:step({ evaluate = evaluate_on(P, n, log or {}), step = n,
      lr = LR * (1 - n / 40), lr_peak = LR, lr_end = 0, samples = N })
    assert(info.skipped == nil, info.skipped)
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

-- Twenty steps by loops. `direction(w, n, lr)` is the type; sgd with momentum and L2 is here. What
-- it returns second is subtracted from w besides.
local function by_loops(direction)
  local P = new_params()
  local w, buffer = read(P, "master"), {}
  for n = 0, 19 do
    local lr = LR * (1 - n / 40)
    local d, apart = direction(w, n, lr, P)
    for k = 1, #w do
      buffer[k] = MOMENTUM * (buffer[k] or 0) + d[k] + DECAY * w[k]
    end
    for k = 1, #w do
      w[k] = w[k] - lr * buffer[k] - (apart and apart[k] or 0)
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

-- The segment (from 0) of every element, in the layout's order.
local function segment_of(P)
  local list = {}
  for _, segment in ipairs(P.segments) do
    for _ = 1, segment.count do
      list[#list + 1] = segment
    end
  end
  return list
end

M.N, M.ALL, M.LR, M.C = N, ALL, LR, C
M.logistic, M.by_engine, M.by_loops = logistic, by_engine, by_loops
M.dot, M.moved, M.scaled, M.sam_gradient = dot, moved, scaled, sam_gradient
M.segment_of = segment_of
M.new_params, M.evaluate_on, M.read, M.sample = new_params, evaluate_on, read, sample

return M
