-- Masks in a step, on the logistic model: the policies, and what is masked. (When masks are made:
-- refresh_spec.lua. Selection itself: vector/mask_spec.lua.)
local masked = require("spec.lua.mask.masked")
local model = require("spec.lua.logistic")
local optimizers = require("fsam.step")
local params = require("fsam.vector.params")

local ALL, RHO, KEPT = model.ALL, masked.RHO, masked.KEPT
local build, options, places = masked.build, masked.options, masked.places
local logistic, by_engine, by_loops = model.logistic, model.by_engine, model.by_loops
local dot, moved, scaled = model.dot, model.moved, model.scaled

local function masked_step(w, n, mask, renorm)
  local _, g = logistic(w, n, ALL)
  local e = scaled(g, RHO / math.sqrt(dot(g, g)))
  for k = 1, #w do
    e[k] = mask[k] and e[k] or 0
  end
  e = renorm and scaled(e, RHO / math.sqrt(dot(e, e))) or e
  return select(2, logistic(moved(w, e), n, ALL))
end

-- Twenty steps of the engine against loops that make the mask by make(w, n, g, P).
local function agrees(changes, make)
  local mask
  assert.near(by_loops(function(w, n, _, P)
    local _, g = logistic(w, n, ALL)
    if n % 3 == 0 then
      mask = make(w, n, g, P)
    end
    return masked_step(w, n, mask, changes.renorm)
  end), (by_engine("fisher-sam", options(changes))), 1e-5)
end

describe("the policy", function()
  it("sample sums the squares of single samples' gradients, at w", function()
    agrees({ fisher = "sample", momentum = 0.9 }, function(w, n)
      local f = scaled(w, 0)
      for _, sample in ipairs(model.sampler(5, 9, n)) do
        local _, g = logistic(w, n, sample)
        for k = 1, #w do
          f[k] = f[k] + g[k] ^ 2
        end
      end
      return model.largest(f, KEPT, math.abs)
    end)
  end)

  it("magnitude takes the largest weights", function()
    agrees({ fisher = "magnitude", momentum = 0.9 }, function(w)
      return model.largest(w, KEPT, math.abs)
    end)
  end)

  it("adam weighs its second moment with the gradient's square", function()
    local P, optimizer = build({ fisher = "adam" }, "adam")
    local v
    for n = 0, 3 do
      v = {}
      for _, parameter in ipairs(P.parameters) do
        for _, x in ipairs(P:view(P:vector("adam.exp_avg_sq"), parameter):read()) do
          v[#v + 1] = x
        end
      end
      local w = model.read(P, "master")
      model.step(P, optimizer, n)
      if n % 3 == 0 then
        local _, g = logistic(w, n, ALL)
        for k = 1, #v do
          v[k] = 0.99 * v[k] + 0.01 * g[k] ^ 2
        end
        assert.same(model.largest(v, KEPT, math.abs), places(P))
      end
    end
  end)

  it("random draws anew at each refresh, by the seed", function()
    local P, optimizer = build({ fisher = "random" })
    local masks = {}
    for n = 0, 5 do
      model.step(P, optimizer, n)
      masks[n] = places(P)
      assert.equal(KEPT, P:mask("mask"):count())
    end
    assert.same(masks[0], masks[2])
    assert.is_not.same(masks[0], masks[3])
    local again, other = build({ fisher = "random" })
    model.step(again, other, 0)
    assert.same(masks[0], places(again))
  end)

  it("is the sample's, with its defaults, when nothing is said", function()
    local P = model.new_params()
    local drawn
    local optimizer = optimizers.build({ params = P, optimizer = "sam", base_optimizer = "sgd",
      sam_type = "fisher-sam", sampler = function(n, ...)
        drawn = n
        return model.sampler(n, ...)
      end })
    assert.near(0.1, model.step(P, optimizer, 0).mask.density, 1 / 56)
    assert.equal(32, drawn)
  end)

  it("that needs Adam is refused with another base, and an unknown one is named", function()
    for fisher, message in pairs({
      adam = "--fisher adam needs a base optimizer with Adam's second moment (adam, lamb)",
      adma = "--fisher adma is unknown; did you mean adam? "
        .. "(adam, batch, magnitude, random, sample)",
    }) do
      local ok, err = pcall(build, { fisher = fisher })
      assert.is_false(ok)
      assert.equal(message, tostring(err))
    end
  end)
end)

describe("what is masked", function()
  -- The places of the parameters of these names.
  local function within(P, names)
    local set = {}
    for k, parameter in ipairs(model.parameter_of(P)) do
      set[k] = names[parameter.name]
    end
    return set
  end

  local function largest_within(P, w, names, count)
    local set, magnitudes = within(P, names), {}
    for k = 1, #w do
      magnitudes[k] = set[k] and math.abs(w[k]) or -1
    end
    return model.largest(magnitudes, count, function(x) return x end)
  end

  it("is narrowed by --mask-scope; outside it nothing is perturbed, or all", function()
    -- a has 35 weights, c 6: a quarter of 41 is 10.
    agrees({ mask_scope = { "a", "c" }, momentum = 0.9 }, function(w, _, _, P)
      return largest_within(P, w, { a = true, c = true }, 10)
    end)
    agrees({ mask_scope = { "a", "c" }, unmasked = "dense", momentum = 0.9 },
      function(w, _, _, P)
        local mask = largest_within(P, w, { a = true, c = true }, 10)
        for k in pairs(within(P, { b = true, d = true })) do
          mask[k] = true
        end
        return mask
      end)
  end)

  it("is a share of each tensor with --mask-per tensor", function()
    agrees({ mask_per = "tensor", momentum = 0.9 }, function(w, _, _, P)
      local mask = {}
      for name, count in pairs({ a = 8, b = 3, c = 1, d = 0 }) do
        for k in pairs(largest_within(P, w, { [name] = true }, count)) do
          mask[k] = count > 0 or nil
        end
      end
      return mask
    end)
  end)

  it("keeps the perturbation's length with --renorm", function()
    agrees({ renorm = true, momentum = 0.9 }, function(w)
      return model.largest(w, KEPT, math.abs)
    end)
    local P, optimizer = build({ renorm = true })
    assert.near(RHO, model.step(P, optimizer, 0).enorm, 1e-6)
    P, optimizer = build()
    assert.is_true(model.step(P, optimizer, 0).enorm < 0.9 * RHO)
  end)

  it("never has what is frozen, in the scope or outside it", function()
    local P = params.new(require("fsam.base.device").open("cpu"), {
      { name = "in", kind = "matrix", shape = { 20 } },
      { name = "in.frozen", kind = "matrix", shape = { 30 }, frozen = true },
      { name = "out", kind = "matrix", shape = { 7 } },
      { name = "out.frozen", kind = "matrix", shape = { 9 }, frozen = true } })
    for _, parameter in ipairs(P.parameters) do
      P:master(parameter):fill(1)
    end
    P:sync()
    local _, optimizer = build({ mask_scope = { "in" }, unmasked = "dense", keep_ratio = 0.5 },
      "sgd", P)
    local info = optimizer:step({ step = 0, lr = 0, samples = 1, evaluate = function(request)
      P:flush()
      for _, parameter in ipairs(P.parameters) do
        P:grad(parameter, request.into):fill(parameter.frozen and 0 or 1)
      end
      P:touch(request.into)
      return { mean = function() return 1 end, losses = function() return { 1 } end,
        correct = function() return 1 end }
    end })
    assert.near((10 + 7) / 27, info.mask.density, 1e-12)
    assert.same({ ["in"] = 0.5, ["in.frozen"] = 0, out = 1, ["out.frozen"] = 0 },
      info.mask.parameters)
  end)

  it("a scope that no parameter has, or nothing to mask, is refused", function()
    local ok, err = pcall(build, { mask_scope = { "a", "encodre" } })
    assert.is_false(ok)
    assert.equal("--mask-scope encodre is part of no parameter's name; names look like a",
      tostring(err))
  end)
end)
