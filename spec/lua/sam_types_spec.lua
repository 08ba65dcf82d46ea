-- The sam-types against plain implementations in f64 with ordinary loops, on a small model whose
-- gradient is known: logistic loss, logit = x·w over all parameters. Twenty steps, within 1e-5.
local C = require("fsam.C")
local devices = require("fsam.device")
local optim = require("fsam.optim")
local params = require("fsam.params")

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
    assert.is_nil(info.skipped)
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

-- Twenty steps by loops. `direction(w, n, lr)` is the type; sgd with momentum and L2 is here.
local function by_loops(direction)
  local P = new_params()
  local w, buffer = read(P, "master"), {}
  for n = 0, 19 do
    local lr = LR * (1 - n / 40)
    local d = direction(w, n, lr, P)
    for k = 1, #w do
      buffer[k] = MOMENTUM * (buffer[k] or 0) + d[k] + DECAY * w[k]
    end
    for k = 1, #w do
      w[k] = w[k] - lr * buffer[k]
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

describe("sam-types against plain loops", function()
  it("sam", function()
    assert.near(by_loops(function(w, n)
      return select(2, sam_gradient(w, n, 0.3))
    end), (by_engine("sam", { rho = 0.3 })), 1e-5)
  end)

  it("gsam, with rho following the learning rate", function()
    assert.near(by_loops(function(w, n, lr)
      local g, g2 = sam_gradient(w, n, 0.1 + 0.2 * lr / LR)
      local along, d = dot(g, g2) / dot(g2, g2), {}
      for k = 1, #w do
        d[k] = g2[k] - 0.7 * (g[k] - g2[k] * along)
      end
      return d
    end), (by_engine("gsam", { rho = 0.3, rho_min = 0.1, alpha = 0.7 })), 1e-5)
  end)

  it("asam, with T = 1 off the matrices", function()
    assert.near(by_loops(function(w, n, _, P)
      local where = segment_of(P)
      local _, g = logistic(w, n, ALL)
      local t, tg, e = {}, {}, {}
      for k = 1, #w do
        t[k] = #where[k].shape > 1 and math.abs(w[k]) + 0.02 or 1
        tg[k] = t[k] * g[k]
      end
      for k = 1, #w do
        e[k] = 0.4 * t[k] * tg[k] / math.sqrt(dot(tg, tg))
      end
      return select(2, logistic(moved(w, e), n, ALL))
    end), (by_engine("asam", { rho = 0.4, eta = 0.02 })), 1e-5)
  end)

  it("esam, by tensors and by samples", function()
    local words = C.ffi.new("uint32_t[4]")
    assert.near(by_loops(function(w, n, _, P)
      local where = segment_of(P)
      local losses, g = logistic(w, n, ALL)
      for k = 1, #w do
        -- The documented key of s:random(segment.index).
        C.lib.fsam_philox(words, where[k].index, 0, 0, 0x72616e64, 9, n)
        g[k] = (words[0] + 0.5) / 2 ^ 32 < 0.6 and g[k] or 0
      end
      local size = math.sqrt(dot(g, g))
      local p = moved(w, scaled(g, size == 0 and 0 or 0.3 / 0.6 / size))
      local after, order = logistic(p, n, ALL), {}
      for i = 1, N do
        order[i] = { i - 1, after[i] - losses[i] }
      end
      table.sort(order, function(a, b)
        return a[2] > b[2]
      end)
      local chosen = {}
      for i = 1, 4 do
        chosen[i] = order[i][1]
      end
      return select(2, logistic(p, n, chosen))
    end), (by_engine("esam", { rho = 0.3, beta = 0.6, gamma = 0.5 })), 1e-5)
  end)

  it("fisher-sam with the batch mask, renewed on every third step", function()
    local mask
    assert.near(by_loops(function(w, n)
      local _, g = logistic(w, n, ALL)
      if n % 3 == 0 then
        local order = {}
        for k = 1, #w do
          order[k] = k
        end
        table.sort(order, function(a, b)
          return g[a] ^ 2 > g[b] ^ 2
        end)
        mask = {}
        for i = 1, math.floor(0.25 * #w) do
          mask[order[i]] = true
        end
      end
      local e = scaled(g, 0.3 / math.sqrt(dot(g, g)))
      for k = 1, #w do
        e[k] = mask[k] and e[k] or 0
      end
      return select(2, logistic(moved(w, e), n, ALL))
    end), (by_engine("fisher-sam", { rho = 0.3, fisher = "batch", keep_ratio = 0.25,
      mask_iter_e = 3 })), 1e-5)
  end)
end)

describe("sam-types among each other", function()
  it("esam with beta = gamma = 1 is sam, and gsam with alpha = 0 is sam, bit for bit", function()
    local plain = by_engine("sam", { rho = 0.3 })
    assert.same(plain, (by_engine("esam", { rho = 0.3, beta = 1, gamma = 1 })))
    assert.same(plain, (by_engine("gsam", { rho = 0.3, alpha = 0 })))
    assert.is_not.same(plain, (by_engine("gsam", { rho = 0.3, alpha = 0.4 })))
    assert.is_not.same(plain, (by_engine("esam", { rho = 0.3 })))
  end)

  it("esam runs two backward passes, the second over the chosen half, and scores", function()
    local log = {}
    by_engine("esam", { rho = 0.3 }, log)
    assert.same({ backward = true, samples = N }, log[1])
    assert.same({ backward = false, samples = N }, log[2])
    assert.same({ backward = true, samples = N / 2 }, log[3])
    assert.equal(60, #log)
  end)

  it("with rho = 0 every type is its base optimizer, bit for bit", function()
    local base = by_engine(nil, {})
    for _, name in ipairs({ "sam", "esam", "gsam", "asam", "fisher-gsam" }) do
      assert.same(base, (by_engine(name, { rho = 0, beta = 1, gamma = 1, fisher = "magnitude" })))
    end
  end)

  it("their fisher- forms with a full mask are the plain ones, bit for bit", function()
    for _, name in ipairs({ "sam", "esam", "gsam", "asam" }) do
      local full = { rho = 0.3, fisher = "batch", keep_ratio = 1, mask_iter_e = 1000 }
      assert.same((by_engine(name, { rho = 0.3 })), (by_engine("fisher-" .. name, full)))
    end
  end)
end)
