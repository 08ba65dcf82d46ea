-- The sam-types against plain implementations in f64 with ordinary loops, on a small model whose
-- gradient is known (logistic.lua). Twenty steps, within 1e-5.
local model = require("spec.lua.logistic")

local N, ALL, LR = model.N, model.ALL, model.LR
local logistic, by_engine, by_loops = model.logistic, model.by_engine, model.by_loops
local dot, moved, scaled, sam_gradient = model.dot, model.moved, model.scaled, model.sam_gradient
local parameter_of = model.parameter_of

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
      local where = parameter_of(P)
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
    assert.near(by_loops(function(w, n, _, P)
      local where = parameter_of(P)
      local losses, g = logistic(w, n, ALL)
      for k = 1, #w do
        g[k] = model.random(n, where[k].index) < 0.6 and g[k] or 0
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

  it("esam, by weights", function()
    assert.near(by_loops(function(w, n, _, P)
      local drawn, _, g = model.drawn(P, n, "uniform"), logistic(w, n, ALL)
      for k = 1, #w do
        g[k] = drawn[k] < 0.6 and g[k] or 0
      end
      return select(2, logistic(moved(w, scaled(g, 0.3 / 0.6 / model.norm(g))), n, ALL))
    end), (by_engine("esam", { rho = 0.3, beta = 0.6, gamma = 1, swp = "weight" })), 1e-5)
  end)

  it("fisher-sam with the batch mask, renewed on every third step", function()
    local mask
    assert.near(by_loops(function(w, n)
      local _, g = logistic(w, n, ALL)
      if n % 3 == 0 then
        mask = model.largest(g, math.floor(0.25 * #w), math.abs)
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

  it("may look at their mask, which plain forms do not have", function()
    local seen = {}
    require("fsam.sam").define("looker", { options = { rho = 0.3 }, ascend = function(s)
      seen[#seen + 1] = s.mask and s.mask:count() or false
      return s.g * (s.rho / s.g:norm())
    end })
    by_engine("looker", {})
    assert.is_false(seen[1])
    by_engine("fisher-looker", { fisher = "batch", keep_ratio = 0.25 })
    assert.equal(14, seen[#seen]) -- a quarter of 56
  end)

  it("their fisher- forms with a full mask are the plain ones, bit for bit", function()
    for _, name in ipairs({ "sam", "esam", "gsam", "asam" }) do
      local full = { rho = 0.3, fisher = "batch", keep_ratio = 1, mask_iter_e = 1000 }
      assert.same((by_engine(name, { rho = 0.3 })), (by_engine("fisher-" .. name, full)))
    end
  end)
end)
