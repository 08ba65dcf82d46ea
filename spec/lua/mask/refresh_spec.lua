-- When a step makes a new mask, from what, and what it reports, on the logistic model.
local masked = require("spec.lua.mask.masked")
local model = require("spec.lua.logistic")

local build, places = masked.build, masked.places

describe("a refresh", function()
  it("reports density by parameter, overlap with the mask before, and its time", function()
    local P, optimizer = build({ fisher = "random" })
    local first = model.step(P, optimizer, 0).mask
    local before = places(P)
    assert.is_nil(model.step(P, optimizer, 1).mask)
    model.step(P, optimizer, 2)
    local second = model.step(P, optimizer, 3).mask
    local after, both, in_a = places(P), 0, 0
    for k, parameter in ipairs(model.parameter_of(P)) do
      both = both + (before[k] and after[k] and 1 or 0)
      in_a = in_a + (parameter.name == "a" and after[k] and 1 or 0)
    end
    assert.is_nil(first.overlap)
    assert.near(both / masked.KEPT, second.overlap, 1e-12)
    assert.near(0.25, second.density, 1e-12)
    assert.near(in_a / 35, second.parameters.a, 1e-12)
    assert.is_true(second.seconds > 0 and second.seconds < 1)
  end)

  -- What the first passes of two steps leave out: "skip" or "whole", in order.
  local function first_passes(changes)
    local P, optimizer = build(changes)
    local seen = {}
    for n = 0, 1 do
      local count = 0
      model.step(P, optimizer, n, nil, function(evaluate)
        return function(request)
          if request.backward and not request.batches then
            count = count + 1
            if count == 1 then
              seen[#seen + 1] = request.skip and "skip" or "whole"
            end
          end
          return evaluate(request)
        end
      end)
    end
    return seen
  end

  it("that needs the first pass's gradient gets all of it", function()
    local esam = { sam_type = "fisher-esam", beta = 0.5, gamma = 1, swp = "tensor" }
    for fisher, expected in pairs({ batch = { "whole", "skip" }, sample = { "skip", "skip" } }) do
      esam.fisher = fisher
      assert.same(expected, first_passes(esam))
    end
  end)

  it("with --ascent-fraction uses that first gradient", function()
    local P, optimizer = build({ fisher = "batch", ascent_fraction = 0.25 })
    local chosen
    local w = model.read(P, "master")
    model.step(P, optimizer, 0, nil, function(evaluate)
      return function(request)
        chosen = chosen or request.choice
        return evaluate(request)
      end
    end)
    assert.equal(model.N / 4, #chosen)
    local _, g = model.logistic(w, 0, chosen)
    assert.same(model.largest(g, masked.KEPT, math.abs), places(P))
  end)

  -- Spoils one number of the gradient of the pass `which`.
  local function spoil(P, which, value)
    return function(evaluate)
      local count = 0
      return function(request)
        local result = evaluate(request)
        count = count + 1
        if count == which then
          P:grad("b", request.into):fill(value)
          P:touch(request.into)
        end
        return result
      end
    end
  end

  for fisher, which in pairs({ sample = 3, batch = 1, adam = 1, magnitude = 1 }) do
    for _, value in ipairs({ 0 / 0, 1 / 0 }) do
      it(("of %s that is not finite (%s) skips the step and stays due"):format(fisher,
        tostring(value)), function()
        local P, optimizer = build({ fisher = fisher }, "adam")
        model.step(P, optimizer, 0)
        local before, w = places(P), model.read(P, "master")
        local info = model.step(P, optimizer, 3, nil, spoil(P, which, value))
        assert.is_string(info.skipped)
        assert.same(before, places(P))
        assert.same(w, model.read(P, "master"))
        info = model.step(P, optimizer, 4)
        assert.is_nil(info.skipped)
        assert.is_table(info.mask)
      end)
    end
  end

  it("goes on from a state that state() gave, and refuses any other in one line", function()
    local _, optimizer = build({ fisher = "random" })
    for _, case in ipairs({
      { { due = 1, made = true }, "due is 1, expected true or false" },
      { { due = true }, "made is missing, expected true or false" },
      { { due = true, made = true, overlap = "0.5" }, 'overlap is "0.5", expected a number' },
    }) do
      local ok, err = pcall(optimizer.restore, optimizer, { applied = 2, masking = case[1] })
      assert.is_false(ok)
      assert.equal("trainer.json is damaged: optimizer.masking." .. case[2], tostring(err))
    end
  end)
end)
