-- The options that all sam-types share against plain loops in f64 (logistic.lua): ascent fraction,
-- m-sharpness, decay in the ascent, layer decay. Twenty steps, within 1e-5.
local draw = require("fsam.data.sampling")
local model = require("spec.lua.logistic")
local optimizers = require("fsam.step")
local sam = require("fsam.sam")

local N, ALL, SEED = model.N, model.ALL, model.SEED
local logistic, by_engine, by_loops = model.logistic, model.by_engine, model.by_loops
local dot, moved, scaled = model.dot, model.moved, model.scaled

local RHO = 0.3

local function perturbed(w, g)
  return moved(w, scaled(g, RHO / math.sqrt(dot(g, g))))
end

-- The documented choice: `count` of the group's ordinals by seed, step and the group's number.
local function drawn(count, group, k, n)
  local places = draw.places(count, #group, { seed = SEED, step = n, stream = 0x4153434e + k })
  table.sort(places)
  local chosen = {}
  for i, place in ipairs(places) do
    chosen[i] = group[place]
  end
  return chosen
end

-- The second gradient of sam over `second`, whose first sees `first`: its share of N samples' mean.
local function shared(w, n, first, second)
  local _, g = logistic(w, n, first)
  return scaled(select(2, logistic(perturbed(w, g), n, second)), #second / N)
end

local GROUPS = { { 0, 1 }, { 2, 3, 4 }, { 5, 6, 7 } } -- of m-sharpness 3

local function log_of(name, options)
  local log = {}
  by_engine(name, options, log)
  return log
end

describe("draws", function()
  it("are without replacement, and every place is as likely as another", function()
    local count = {}
    for step = 1, 400 do
      local list, seen = draw.places(3, 10, { seed = 1, step = step, stream = 2 }), {}
      assert.equal(3, #list)
      for _, place in ipairs(list) do
        assert.is_nil(seen[place])
        seen[place] = true
        count[place] = (count[place] or 0) + 1
      end
    end
    assert.equal(10, #count)
    for _, times in ipairs(count) do
      assert.near(120, times, 40) -- 4 deviations
    end
    local all = draw.places(12, 10, { seed = 1, step = 1, stream = 2 })
    table.sort(all)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, all)
  end)
end)

describe("--ascent-fraction", function()
  it("looks at ceil(f N) samples by seed and step, and descends along all", function()
    assert.near(by_loops(function(w, n)
      return shared(w, n, drawn(3, ALL, 1, n), ALL)
    end), (by_engine("sam", { rho = RHO, ascent_fraction = 0.3 })), 1e-5)
  end)

  it("of 1 is the plain step, bit for bit; so is a share that rounds up to all", function()
    local plain = by_engine("sam", { rho = RHO })
    assert.same(plain, (by_engine("sam", { rho = RHO, ascent_fraction = 1, m_sharpness = 1 })))
    assert.same(plain, (by_engine("sam", { rho = RHO, ascent_fraction = 0.9 })))
    assert.is_not.same(plain, (by_engine("sam", { rho = RHO, ascent_fraction = 0.8 })))
  end)

  it("saves samples in the first pass only", function()
    local log = log_of("sam", { rho = RHO, ascent_fraction = 0.25 })
    assert.same({ { backward = true, samples = 2 }, { backward = true, samples = N } },
      { log[1], log[2] })
    assert.equal(40, #log)
  end)

  it("without a second pass, the update follows all samples", function()
    local options = { rho = RHO, sam_probability = 0, ascent_fraction = 0.25 }
    assert.same((by_engine(nil, {})), (by_engine("rst", options)))
    assert.same({ backward = true, samples = N }, log_of("rst", options)[2])
  end)

  it("and so it does when a type has left tensors out of the first pass", function()
    sam.define("skipper", {
      skip = function(s)
        return { [s.parameters[1]] = true, [s.parameters[3]] = true }
      end,
      every = function(s) return s.step % 2 == 0 end,
      ascend = function(s) return s.g * 0 end,
    })
    assert.same((by_engine(nil, {})), (by_engine("skipper", {})))
  end)

  it("says how many samples the reported losses are of, and with m-sharpness gives all", function()
    for _, case in ipairs({ { 4, { ascent_fraction = 0.5 } }, { N, { m_sharpness = 3 } } }) do
      local P = model.new_params()
      local options = { rho = RHO }
      for name, value in pairs(case[2]) do
        options[name] = value
      end
      local info = model.step(P, optimizers.build({ params = P, optimizer = "sam",
        sam_type = "sam", base_optimizer = "sgd", options = options, seed = SEED }), 0)
      assert.same({ case[1], case[1] }, { info.seen, #info.losses })
      assert.near(RHO, info.enorm, 1e-6)
      assert.is_true(info.perturbed > info.loss)
    end
  end)
end)

describe("--m-sharpness", function()
  it("perturbs each group by its own gradient and sums their shares", function()
    assert.near(by_loops(function(w, n)
      local d = scaled(w, 0)
      for _, group in ipairs(GROUPS) do
        d = moved(d, shared(w, n, group, group))
      end
      return d
    end), (by_engine("sam", { rho = RHO, m_sharpness = 3 })), 1e-5)
  end)

  it("reports the mean loss at w + e over the samples of all groups", function()
    local P = model.new_params()
    local w, sum = model.read(P, "master"), 0
    for _, group in ipairs(GROUPS) do
      local _, g = logistic(w, 0, group)
      for _, loss in ipairs((logistic(perturbed(w, g), 0, group))) do
        sum = sum + loss
      end
    end
    local info = model.step(P, optimizers.build({ params = P, optimizer = "sam", sam_type = "sam",
      base_optimizer = "sgd", options = { rho = RHO, m_sharpness = 3 }, seed = SEED }), 0)
    assert.near(sum / N, info.perturbed, 1e-6)
  end)

  it("with an ascent fraction, draws in each group", function()
    assert.near(by_loops(function(w, n)
      local d = scaled(w, 0)
      for k, group in ipairs(GROUPS) do
        d = moved(d, shared(w, n, drawn(math.ceil(0.5 * #group), group, k, n), group))
      end
      return d
    end), (by_engine("sam", { rho = RHO, m_sharpness = 3, ascent_fraction = 0.5 })), 1e-5)
  end)

  it("has no more groups than samples", function()
    local log = log_of("sam", { rho = RHO, m_sharpness = 100 })
    assert.equal(20 * 2 * N, #log)
    assert.same({ backward = true, samples = 1 }, log[1])
  end)

  it("asks once whether there is a second pass; without, the update follows all samples", function()
    assert.same((by_engine(nil, {})),
      (by_engine("rst", { rho = RHO, sam_probability = 0, m_sharpness = 3 })))
    assert.same((by_engine("sam", { rho = RHO, m_sharpness = 3 })),
      (by_engine("rst", { rho = RHO, sam_probability = 1, m_sharpness = 3 })))
  end)

  it("uses one mask for all groups, made at the first", function()
    local options = { rho = RHO, m_sharpness = 3, fisher = "magnitude", keep_ratio = 0.25,
      mask_iter_e = 4 }
    local mask
    assert.near(by_loops(function(w, n)
      if n % 4 == 0 then
        mask = model.largest(w, 14, math.abs)
      end
      local d = scaled(w, 0)
      for _, group in ipairs(GROUPS) do
        local _, g = logistic(w, n, group)
        local e = scaled(g, RHO / math.sqrt(dot(g, g)))
        for k = 1, #w do
          e[k] = mask[k] and e[k] or 0
        end
        d = moved(d, scaled(select(2, logistic(moved(w, e), n, group)), #group / N))
      end
      return d
    end), (by_engine("fisher-sam", options)), 1e-5)
  end)
end)

describe("types and policies that do not go with them", function()
  local function refusal(name, options)
    local ok, err = pcall(by_engine, name, options)
    assert.is_false(ok)
    return tostring(err)
  end

  it("are refused in one line that says why, before any pass", function()
    assert.equal("--ascent-fraction does not go with --sam-type gsam, which combines the gradients "
      .. "of both passes (descend)", refusal("gsam", { ascent_fraction = 0.5 }))
    assert.equal("--ascent-fraction does not go with --sam-type fisher-esam, which chooses the "
      .. "samples of its second pass (select)", refusal("fisher-esam", { ascent_fraction = 0.5 }))
    assert.matches("^%-%-m%-sharpness does not go with %-%-sam%-type wsam, which combines",
      refusal("wsam", { m_sharpness = 2 }))
    assert.matches("^%-%-m%-sharpness does not go with %-%-fisher batch: ",
      refusal("fisher-sam", { m_sharpness = 2, fisher = "batch" }))
    sam.define("keeper", { options = { rho = 1 }, state = { "m" }, ascend = function(s)
      s.m:set(s.g)
      return s.m
    end })
    assert.equal("--m-sharpness does not go with --sam-type keeper, which keeps state from step to "
      .. "step (state)", refusal("keeper", { m_sharpness = 2 }))
    sam.define("single", { passes = 1, explore = function(s) return s.w * 0.1 end })
    assert.equal("--ascent-fraction does not go with --sam-type single, which has no second pass",
      refusal("single", { ascent_fraction = 0.5 }))
  end)
end)

describe("--ascent-decay", function()
  it("adds weight decay to the gradient that the perturbation follows, and to nothing else",
    function()
      assert.near(by_loops(function(w, n)
        local _, g = logistic(w, n, ALL)
        local d = select(2, logistic(perturbed(w, moved(g, scaled(w, 0.5))), n, ALL))
        return moved(d, scaled(w, 0.5 - model.DECAY)) -- the loops' own decay is model.DECAY
      end), (by_engine("sam", { rho = RHO, ascent_decay = true, weight_decay = 0.5 })), 1e-5)
    end)

  it("adds it on decayed parameters only", function()
    local P = model.new_params()
    P.by_name.d.decay = false
    local w, where = model.read(P, "master"), model.parameter_of(P)
    local _, g = logistic(w, 0, ALL)
    for k = 1, #w do
      g[k] = g[k] + (where[k].decay and 3 or 0) * w[k]
    end
    local losses, sum = logistic(perturbed(w, g), 0, ALL), 0
    for _, loss in ipairs(losses) do
      sum = sum + loss
    end
    local info = model.step(P, optimizers.build({ params = P, optimizer = "sam",
      sam_type = "sam", base_optimizer = "sgd",
      options = { rho = RHO, ascent_decay = true, weight_decay = 3 } }), 0)
    assert.near(sum / N, info.perturbed, 1e-6)
  end)
end)

describe("--layer-decay", function()
  -- v with every element times its layer's factor.
  local function by_layer(v, P)
    local where, list = model.parameter_of(P), {}
    for k = 1, #v do
      list[k] = 0.7 ^ (1 - where[k].layer) * v[k]
    end
    return list
  end

  local function base()
    local sgd = model.sgd()
    return function(w, d, lr, _, P)
      return by_layer(sgd(w, d, lr), P)
    end
  end

  it("scales what is subtracted from w, the head's fully", function()
    assert.near(by_loops(function(w, n)
      return select(2, model.sam_gradient(w, n, RHO))
    end, base()), (by_engine("sam", { rho = RHO, layer_decay = 0.7 })), 1e-5)
  end)

  it("also what a type subtracts beside the base optimizer", function()
    assert.near(by_loops(function(w, n, lr, P)
      local g, g2 = model.sam_gradient(w, n, RHO)
      return g, by_layer(scaled(moved(g2, scaled(g, -1)), lr * 0.6 / 0.4), P)
    end, base()), (by_engine("wsam", { rho = RHO, sharpness_weight = 0.6, layer_decay = 0.7 })),
      1e-5)
  end)

  it("of 1 is the plain step, bit for bit, and compiles nothing anew when it changes", function()
    assert.same((by_engine("sam", { rho = RHO })),
      (by_engine("sam", { rho = RHO, layer_decay = 1 })))
    local P = model.new_params()
    local function programs(x)
      local optimizer = optimizers.build({ params = P, optimizer = "sgd", seed = 1,
        options = { layer_decay = x } })
      model.step(P, optimizer, 0)
      local count = 0
      for _ in pairs(P.queue:report().programs) do
        count = count + 1
      end
      return count
    end
    assert.equal(programs(0.5), programs(0.9))
  end)
end)

describe("--clip-norm", function()
  it("says whether it clipped, at the update direction or the first gradient", function()
    local function clipped(options)
      local P = model.new_params()
      return model.step(P, optimizers.build({ params = P, optimizer = "sgd", options = options }),
        0).clipped
    end
    local P = model.new_params()
    local _, g = logistic(model.read(P, "master"), 0, ALL)
    local norm = model.norm(g)
    for _, at in ipairs({ "update", "first" }) do
      assert.is_false(clipped({ clip_at = at }))
      assert.is_false(clipped({ clip_at = at, clip_norm = norm * 1.01 }))
      assert.is_true(clipped({ clip_at = at, clip_norm = norm * 0.99 }))
    end
  end)
end)
