--- Base optimizers in f64 with ordinary loops, on flat lists, for specs. Each function makes one:
-- base(w, d, lr, n, P) → what is subtracted from w in step n; its momentum is returned beside it.
-- Weight decay is logistic.lua's.
local model = require("spec.lua.logistic")

local M = {}

-- a ← decay a + (1 - decay) of what `add` gives for each place.
local function average(a, decay, count, add)
  for k = 1, count do
    a[k] = decay * (a[k] or 0) + (1 - decay) * add(k)
  end
end

--- Adam. form "fairseq" (default) or "torch"; coupled: L2 instead of decoupled decay.
function M.adam(betas, form, coupled)
  local m, v, b1, b2 = {}, {}, betas[1], betas[2]
  return function(w, d, lr, n)
    local u, decay = {}, model.DECAY
    local function g(k)
      return d[k] + (coupled and decay * w[k] or 0)
    end
    average(m, b1, #w, g)
    average(v, b2, #w, function(k) return g(k) ^ 2 end)
    for k = 1, #w do
      local first, second = 1 - b1 ^ (n + 1), 1 - b2 ^ (n + 1)
      if form == "torch" then
        u[k] = lr * (m[k] / first) / (math.sqrt(v[k] / second) + 1e-6)
      else
        u[k] = lr * math.sqrt(second) / first * m[k] / (math.sqrt(v[k]) + 1e-6)
      end
      u[k] = u[k] + (coupled and 0 or lr * decay * w[k])
    end
    return u
  end, m
end

--- Sgd in Nesterov's form, with decoupled decay.
function M.nesterov(momentum)
  local b = {}
  return function(w, d, lr)
    local u = {}
    for k = 1, #w do
      b[k] = momentum * (b[k] or 0) + d[k]
      u[k] = lr * (d[k] + momentum * b[k]) + lr * model.DECAY * w[k]
    end
    return u
  end, b
end

local function sign(x)
  return x > 0 and 1 or x < 0 and -1 or 0
end

function M.lion(betas)
  local m = {}
  return function(w, d, lr)
    local u = {}
    for k = 1, #w do
      u[k] = lr * (sign(betas[1] * (m[k] or 0) + (1 - betas[1]) * d[k]) + model.DECAY * w[k])
    end
    average(m, betas[2], #w, function(k) return d[k] end)
    return u
  end, m
end

--- LAMB, whose trust ratio is each parameter's own.
function M.lamb(betas)
  local m, v = {}, {}
  return function(w, d, lr, n, P)
    local r, w2, r2, where = {}, {}, {}, model.parameter_of(P)
    average(m, betas[1], #w, function(k) return d[k] end)
    average(v, betas[2], #w, function(k) return d[k] ^ 2 end)
    for k = 1, #w do
      r[k] = m[k] / (1 - betas[1] ^ (n + 1))
        / (math.sqrt(v[k] / (1 - betas[2] ^ (n + 1))) + 1e-6) + model.DECAY * w[k]
      w2[where[k]] = (w2[where[k]] or 0) + w[k] ^ 2
      r2[where[k]] = (r2[where[k]] or 0) + r[k] ^ 2
    end
    for k = 1, #w do
      local a, b = math.sqrt(w2[where[k]]), math.sqrt(r2[where[k]])
      r[k] = lr * (a > 0 and b > 0 and a / b or 1) * r[k]
    end
    return r
  end, m
end

return M
