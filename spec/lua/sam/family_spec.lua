-- The wider family of sam-types against plain implementations in f64 with ordinary loops, on a
-- small model whose gradient is known (logistic.lua). Twenty steps, within 1e-5.
local loops = require("spec.lua.optim.loops")
local model = require("spec.lua.logistic")
local optim = require("fsam.optim")
local optimizers = require("fsam.step")
local sam = require("fsam.sam")

local ALL = model.ALL
local logistic, by_engine, by_loops = model.logistic, model.by_engine, model.by_loops
local dot, norm, moved, scaled = model.dot, model.norm, model.moved, model.scaled
local sam_gradient, parameter_of = model.sam_gradient, model.parameter_of

describe("the wider family against plain loops", function()
  it("looksam, which looks on every third step", function()
    local kept
    assert.near(by_loops(function(w, n)
      local g, g2 = sam_gradient(w, n, 0.3)
      if n % 3 == 0 then
        kept = moved(g2, scaled(g, -dot(g2, g) / dot(g, g)))
        return g2
      end
      return moved(g, scaled(kept, 0.7 * norm(g) / norm(kept)))
    end), (by_engine("looksam", { rho = 0.3, k = 3 })), 1e-5)
  end)

  it("stable", function()
    assert.near(by_loops(function(w, n)
      local g, g2 = sam_gradient(w, n, 0.3)
      return scaled(g2, norm(g) / norm(g2))
    end), (by_engine("stable", { rho = 0.3 })), 1e-5)
  end)

  it("sam-on, which perturbs the norm parameter alone", function()
    assert.near(by_loops(function(w, n, _, P)
      local where, _, g = parameter_of(P), logistic(w, n, ALL)
      for k = 1, #g do
        g[k] = where[k].kind == "norm" and g[k] or 0
      end
      return select(2, logistic(moved(w, scaled(g, 0.3 / norm(g))), n, ALL))
    end), (by_engine("sam-on", { rho = 0.3 })), 1e-5)
  end)

  it("rst, by the documented draw of seed and step", function()
    assert.near(by_loops(function(w, n)
      local g, g2 = sam_gradient(w, n, 0.3)
      return model.random(n) < 0.5 and g2 or g
    end), (by_engine("rst", { rho = 0.3 })), 1e-5)
  end)

  it("wsam, whose regulariser is apart from momentum and decay", function()
    assert.near(by_loops(function(w, n, lr)
      local g, g2 = sam_gradient(w, n, 0.3)
      return g, scaled(moved(g2, scaled(g, -1)), lr * 0.6 / 0.4)
    end), (by_engine("wsam", { rho = 0.3, sharpness_weight = 0.6 })), 1e-5)
  end)

  it("friendly, whose ascent leaves the average gradient out", function()
    local m = {}
    assert.near(by_loops(function(w, n)
      local _, g = logistic(w, n, ALL)
      local d = {}
      for k = 1, #w do
        d[k] = g[k] - 0.8 * (m[k] or 0)
        m[k] = 0.6 * (m[k] or 0) + 0.4 * g[k]
      end
      return select(2, logistic(moved(w, scaled(d, 0.3 / norm(d))), n, ALL))
    end), (by_engine("friendly", { rho = 0.3, sigma = 0.8, lambda = 0.6 })), 1e-5)
  end)

  it("natural-sam, in the metric of the damped Fisher information", function()
    assert.near(by_loops(function(w, n)
      local _, g = logistic(w, n, ALL)
      local natural, length = {}, 0
      for k = 1, #w do
        natural[k] = g[k] / (1 + 50 * g[k] ^ 2)
        length = length + g[k] * natural[k]
      end
      return select(2, logistic(moved(w, scaled(natural, 0.3 / math.sqrt(length))), n, ALL))
    end), (by_engine("natural-sam", { rho = 0.3, natural_eta = 50 })), 1e-5)
    assert.same((by_engine("sam", { rho = 0.3 })),
      (by_engine("natural-sam", { rho = 0.3, natural_eta = 0 })))
  end)

  it("bsam, which replaces the base and adds noise by its own precision", function()
    local m, s = {}, {}
    assert.near(by_loops(function(w, n, lr, P)
      local noise, e, u = model.drawn(P, n, "normal"), {}, {}
      for k = 1, #w do
        m[k], s[k] = m[k] or 0, s[k] or 2
        noise[k] = noise[k] / math.sqrt(model.TRAIN * s[k])
      end
      local _, g = logistic(moved(w, noise), n, ALL)
      for k = 1, #w do
        e[k] = 0.3 * g[k] / s[k]
      end
      local _, g2 = logistic(moved(w, e), n, ALL)
      for k = 1, #w do
        m[k] = 0.8 * m[k] + 0.2 * (g2[k] + model.DECAY * w[k])
        u[k] = lr * m[k] / s[k]
        s[k] = 0.95 * s[k] + 0.05 * (math.sqrt(s[k]) * math.abs(g[k]) + 0.4 + model.DECAY)
      end
      return nil, u
    end), (by_engine("bsam", { rho = 0.3, bsam_betas = { 0.8, 0.95 }, bsam_damping = 0.4,
      bsam_start = 2 })), 1e-5)
  end)

  it("msam, one pass per step, ahead along sgd's and adam's momentum", function()
    local function ahead(m, w, n)
      local size = m[1] and norm(m) or 0
      return select(2, logistic(size > 0 and moved(w, scaled(m, -0.3 / size)) or w, n, ALL))
    end
    local sgd, buffer = model.sgd()
    local log, infos = {}, {}
    assert.near(by_loops(function(w, n)
      return ahead(buffer, w, n)
    end, sgd), (by_engine("msam", { rho = 0.3 }, log, nil, infos)), 1e-5)
    assert.equal(20, #log)
    assert.equal(0, infos[1].enorm) -- no momentum yet
    assert.near(0.3, infos[2].enorm, 1e-6)
    local adam, exp_avg = loops.adam({ 0.9, 0.98 })
    assert.near(by_loops(function(w, n)
      return ahead(exp_avg, w, n)
    end, adam), (by_engine("msam", { rho = 0.3 }, nil, "adam")), 1e-5)
  end)

  it("aesam, which ascends where the gradient is large by its running mean and variance", function()
    local mu, var, log = 0, 0, {}
    local seconds = 0
    assert.near(by_loops(function(w, n)
      local g, g2 = sam_gradient(w, n, 0.3)
      local size = dot(g, g)
      mu = 0.7 * mu + 0.3 * size
      var = 0.7 * var + 0.3 * (size - mu) ^ 2
      local c = 0.5 + (-0.25 - 0.5) * n / 20
      local ascends = size >= mu + c * math.sqrt(var)
      seconds = seconds + (ascends and 1 or 0)
      return ascends and g2 or g
    end), (by_engine("aesam", { rho = 0.3, ae_delta = 0.7, ae_lambda1 = -0.25, ae_lambda2 = 0.5 },
      log)), 1e-5)
    assert.is_true(seconds > 2 and seconds < 18, seconds)
    assert.equal(20 + seconds, #log)
  end)

  it("sam-k, on every k-th step", function()
    assert.near(by_loops(function(w, n)
      local g, g2 = sam_gradient(w, n, 0.3)
      return n % 4 == 0 and g2 or g
    end), (by_engine("sam-k", { rho = 0.3, k = 4 })), 1e-5)
  end)
end)

describe("types that ask something of their surroundings", function()
  -- One step on a model of two weights; names of what its checkpoint holds.
  local function step(sam_type, base, options, train_samples)
    local P = require("fsam.vector.params").new(require("fsam.base.device").open("cpu"),
      { { name = "a", kind = "matrix", shape = { 2 } } })
    local optimizer = optimizers.build({ params = P, optimizer = "sam", base_optimizer = base,
      sam_type = sam_type, options = options })
    optimizer:step({ step = 0, lr = 1, samples = 1, train_samples = train_samples,
      evaluate = function(request)
        P:flush()
        P:grad("a", request.into):write({ 1, 2 })
        P:touch(request.into)
        return { mean = function() return 1 end, losses = function() return { 1 } end,
          correct = function() return 1 end }
      end })
    local names = {}
    for i, vector in ipairs(P:state().vectors) do
      names[i] = vector.name
    end
    return names
  end

  it("bsam needs the training set's size, and its base keeps nothing", function()
    assert.has_error(function()
      step("bsam", "adam", {})
    end, "bsam needs the number of training samples: --bsam-samples, or train_samples in "
      .. "optimizer:step")
    assert.same({ "w", "sam.m", "sam.s" }, step("bsam", "adam", {}, 100))
    assert.same({ "w", "sam.m", "sam.s" }, step("bsam", "sgd", { bsam_samples = 100 }))
  end)

  it("msam needs a base with momentum, and has no fisher- form", function()
    optim.define("bare", { update = function(s)
      return s.g * s.lr
    end })
    assert.has_error(function()
      step("msam", "bare", {})
    end, "msam needs a base optimizer with momentum (state exp_avg or momentum_buffer)")
    assert.same({ "w", "lion.exp_avg" }, step("msam", "lion", {}))
    assert.has_error(function()
      sam.get("fisher-msam")
    end, "--sam-type fisher-msam: msam does not ascend, so a mask has nothing to restrict; use "
      .. "msam")
    for _, name in ipairs(sam.names()) do
      assert.is_not.equal("fisher-msam", name)
    end
  end)

  it("the mask policy adam needs Adam's second moment", function()
    assert.has_error(function()
      step("fisher-sam", "sgd", { fisher = "adam" })
    end, "--fisher adam needs a base optimizer with Adam's second moment (adam, lamb)")
    assert.same({ "w", "lamb.exp_avg", "lamb.exp_avg_sq" },
      step("fisher-sam", "lamb", { fisher = "adam" }))
  end)
end)
