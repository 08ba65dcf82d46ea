-- The laws of the step with the options that all sam-types share, and stochastic rounding of the
-- working copy, on a small random BERT in f32 and bf16.
local bert = require("spec.lua.small_bert")

local run, setup, bytes = bert.run, bert.setup, bert.bytes

-- Settings of a run: a type, an option, what else.
local function settings(precision, sam_type, ...)
  local o = { precision = precision, sam_type = sam_type, options = {} }
  for _, changes in ipairs({ ... }) do
    for name, value in pairs(changes) do
      o.options[name] = value
    end
  end
  o.optimizer = not sam_type and "adam" or nil
  return o
end

local OPTIONS = {
  ["ascent fraction"] = { ascent_fraction = 0.25 },
  ["decay in the ascent"] = { ascent_decay = true, weight_decay = 0.1 },
  ["layer decay"] = { layer_decay = 0.8 },
  ["stochastic rounding"] = { rounding = "stochastic" },
}
local FULL = { keep_ratio = 1 }

for _, precision in ipairs({ "fp32", "bf16" }) do
  describe("in " .. precision, function()
    for name, options in pairs(OPTIONS) do
      it("with " .. name .. ", rho = 0 is the base optimizer, bit for bit", function()
        local plain = run(settings(precision, nil, options), 4)
        assert.is_true(plain == run(settings(precision, "fisher-sam", options, { rho = 0 }), 4))
        assert.is_false(plain == run(settings(precision, "fisher-sam", options), 4))
      end)

      it("with " .. name .. ", a full mask is the unmasked type, bit for bit", function()
        local dense = run(settings(precision, "sam", options), 4)
        assert.is_true(dense == run(settings(precision, "fisher-sam", options, FULL), 4))
      end)
    end

    it("m-sharpness over two groups with rho = 0 is the base optimizer over two micro-batches, bit "
      .. "for bit", function()
      local plain = settings(precision, nil)
      plain.micro = 4
      local groups = settings(precision, "sam", { rho = 0, m_sharpness = 2 })
      assert.is_true(run(plain, 4) == run(groups, 4))
      -- Micro-batches that are cut elsewhere change how sums are rounded, not the groups.
      groups.micro = 4
      assert.is_true(run(plain, 4) == run(groups, 4))
    end)

    it("m-sharpness with a full mask is m-sharpness without, bit for bit", function()
      local o = { m_sharpness = 3, fisher = "adam" }
      assert.is_true(run(settings(precision, "sam", o), 4)
        == run(settings(precision, "fisher-sam", o, FULL), 4))
    end)

    it("pausing for an evaluation after every step changes nothing", function()
      local o = settings(precision, "fisher-sam", OPTIONS["stochastic rounding"])
      local model, step, optimizer = setup(o)
      for n = 0, 3 do
        step(n)
        optimizer:prepare_evaluation()
      end
      assert.is_true(bytes(model.params.w) == run(o, 4))
    end)
  end)
end

describe("stochastic rounding", function()
  local STOCHASTIC = OPTIONS["stochastic rounding"]

  -- The working copy, element by element.
  local function copy_of(model)
    local list = {}
    for _, parameter in ipairs(model.params.parameters) do
      for _, x in ipairs(model.params:weight(parameter):read()) do
        list[#list + 1] = x
      end
    end
    return list
  end

  -- What the passes of a step read, each as copy_of gives it.
  local function copies(o, n)
    local seen = {}
    local model, step, optimizer = setup(o)
    step(0)
    for i = 1, n or 1 do
      step(i, function(evaluate)
        return function(request)
          model.params:flush()
          seen[#seen + 1] = copy_of(model)
          return evaluate(request)
        end
      end)
    end
    return seen, model, optimizer
  end

  local function differing(a, b)
    local count = 0
    for i = 1, #a do
      count = count + (a[i] ~= b[i] and 1 or 0)
    end
    return count
  end

  it("draws the same bits for both passes, others for the next step", function()
    local seen = copies(settings("bf16", "sam", STOCHASTIC, { rho = 0, weight_decay = 0 }), 2)
    assert.equal(4, #seen)
    assert.equal(0, differing(seen[1], seen[2]))
    assert.equal(0, differing(seen[3], seen[4]))
    assert.is_true(differing(seen[1], seen[3]) > 0.2 * #seen[1])
  end)

  it("moves what the mask leaves out by nothing", function()
    local seen, model = copies(settings("bf16", "fisher-sam", STOCHASTIC,
      { fisher = "magnitude", mask_iter_e = 100, keep_ratio = 0.1 }))
    local moved = differing(seen[1], seen[2])
    assert.is_true(moved > 0 and moved <= math.floor(0.1 * model.params.trainable))
  end)

  it("follows e on average, where rounding to nearest loses weights on a grid", function()
    -- Weights on bf16's grid, and a perturbation far below its spacing.
    local function realised(rounding)
      local o = settings("bf16", "sam", { rounding = rounding, rho = 0.02 })
      local model, step = setup(o)
      local P = model.params
      P:sync()
      for _, parameter in ipairs(P.parameters) do
        P:master(parameter):write(P:weight(parameter):read())
      end
      P:touch(P.w)
      local before, along, square = nil, 0, 0
      step(0, function(evaluate)
        return function(request)
          P:flush()
          local now = copy_of(model)
          if not before then
            before = now
            return evaluate(request)
          end
          local k = 0
          for _, parameter in ipairs(P.parameters) do
            for _, g in ipairs(P:grad(parameter):read()) do
              k = k + 1
              if parameter.compute == "act" then
                along, square = along + (now[k] - before[k]) * g, square + g * g
              end
            end
          end
          return evaluate({ into = request.into, backward = true })
        end
      end)
      return along / math.sqrt(square)
    end
    local stochastic, nearest = realised("stochastic"), realised("nearest")
    assert.near(0.02, stochastic, 0.008)
    assert.is_true(nearest < 0.5 * stochastic, nearest .. " and " .. stochastic)
  end)

  it("leaves w rounded to nearest for evaluation", function()
    local _, model, optimizer = copies(settings("bf16", "sam", STOCHASTIC))
    local drawn = copy_of(model)
    optimizer:prepare_evaluation()
    local nearest = copy_of(model)
    assert.is_true(differing(drawn, nearest) > 0.2 * #drawn)
    model.params:sync()
    assert.same(nearest, copy_of(model))
  end)

  it("does nothing in f32", function()
    assert.is_true(run(settings("fp32", "sam", STOCHASTIC), 3) == run(settings("fp32", "sam"), 3))
    assert.is_false(run(settings("bf16", "sam", STOCHASTIC), 3) == run(settings("bf16", "sam"), 3))
  end)
end)
