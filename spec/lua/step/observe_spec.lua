-- Observers of a step: when each event comes, and that looking changes nothing.
local model = require("spec.lua.logistic")
local observe = require("fsam.step.observe")
local optimizers = require("fsam.step")

-- Notes the events that it sees.
local function recorder()
  local seen = {}
  local observer = setmetatable({ seen = seen }, { __index = observe.NONE })
  for _, event in ipairs(observe.EVENTS) do
    observer[event] = function()
      seen[#seen + 1] = event
    end
  end
  return observer
end

-- The events of a step with a type, and the weights after it; none watches it without an observer.
local function step(sam_type, options, observer, wrap)
  local P = model.new_params()
  local optimizer = optimizers.build({ params = P, optimizer = sam_type and "sam" or "sgd",
    base_optimizer = "sgd", sam_type = sam_type, options = options, seed = model.SEED,
    sampler = model.sampler })
  local evaluate = model.evaluate_on(P, 0, {})
  local info = optimizer:step({ evaluate = wrap and wrap(evaluate, P) or evaluate, step = 0,
    lr = 0.1, samples = model.N, observers = { observer } })
  return model.read(P, "master"), info
end

local function events(...)
  local observer = recorder()
  step(select(1, ...), select(2, ...), observer)
  return table.concat(observer.seen, " ")
end

describe("the events of a step", function()
  it("follow the order of things", function()
    assert.equal("gradient first ascended gradient second measured updated finished",
      events("sam", {}))
    assert.equal("gradient first measured updated finished", events(nil, {}))
    assert.equal("explored gradient first ascended gradient second measured updated finished",
      events("bsam", { bsam_samples = 10 }))
  end)

  it("have a mask policy's passes before the step's own", function()
    assert.equal("gradient gradient gradient first ascended gradient second measured updated "
      .. "finished", events("fisher-sam", { num_samples = 2 }))
  end)

  it("come for each group, and again where an update needs all of the gradient", function()
    assert.equal("gradient first ascended gradient second gradient first ascended gradient second "
      .. "measured updated finished", events("sam", { m_sharpness = 2 }))
    assert.equal("gradient first again gradient first measured updated finished",
      events("rst", { sam_probability = 0, ascent_fraction = 0.5 }))
  end)

  it("end with `finished` where a step is not finite", function()
    local observer = recorder()
    local _, info = step("sam", {}, observer, function(evaluate, P)
      return function(request)
        local result = evaluate(request)
        P:grad("b", request.into):fill(0 / 0)
        P:touch(request.into)
        return result
      end
    end)
    assert.is_string(info.skipped)
    assert.equal("gradient first ascended gradient finished",
      table.concat(observer.seen, " "))
  end)
end)

describe("the observer that does nothing", function()
  it("has every event, and stands for an empty list", function()
    for _, event in ipairs(observe.EVENTS) do
      assert.is_nil(observe.NONE[event](observe.NONE))
    end
    assert.equal(observe.NONE, observe.all({}))
  end)

  it("changes no bit; nor does one that looks", function()
    local plain = step("gsam", {})
    assert.same(plain, (step("gsam", {}, observe.NONE)))
    assert.same(plain, (step("gsam", {}, recorder())))
  end)
end)

it("several observers see each event in their order", function()
  local order = {}
  local function named(name)
    return setmetatable({ first = function(_, x, y) order[#order + 1] = name .. x .. y end },
      { __index = observe.NONE })
  end
  local all = observe.all({ named("a"), named("b") })
  all:first("x", "y")
  all:again()
  assert.same({ "axy", "bxy" }, order)
end)
