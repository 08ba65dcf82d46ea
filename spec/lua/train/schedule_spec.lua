--- Learning rates: fairseq's formulas, at the values its own code gives.

local schedule = require("fsam.train.schedule")

-- The FSAM paper's CoLA run.
local COLA = { lr = 1e-5, total_num_update = 2668, warmup_updates = 160, end_learning_rate = 0,
  power = 1 }

local function with(base, fields)
  local t = {}
  for key, value in pairs(base) do
    t[key] = value
  end
  for key, value in pairs(fields) do
    t[key] = value
  end
  return t
end

describe("polynomial_decay", function()
  local rate = schedule.new("polynomial_decay", COLA)

  it("begins at 0, warms up in a line and reaches the peak at the end of the warm-up", function()
    assert.equal(0, rate(0))
    assert.near(6.25e-6, rate(100), 1e-18)
    assert.equal(1e-5, rate(160))
  end)

  -- fairseq's log of this recipe shows 9.60128e-06 at update 260.
  it("decays in a line to the end rate, which it keeps", function()
    assert.near(9.60128e-6, rate(260), 5e-12)
    assert.equal(0, rate(2668))
    assert.equal(0, rate(2679))
    local ended = schedule.new("polynomial_decay", with(COLA, { end_learning_rate = 2e-6 }))
    assert.near(2e-6 + 8e-6 / 2508, ended(2667), 1e-18)
    assert.equal(2e-6, ended(5000))
  end)

  it("follows its power", function()
    local square = schedule.new("polynomial_decay", with(COLA, { power = 2 }))
    assert.near(1e-5 * 0.5 ^ 2, square(160 + 1254), 1e-18)
  end)

  it("begins at the peak without warm-up", function()
    assert.equal(1e-5, schedule.new("polynomial_decay", with(COLA, { warmup_updates = 0 }))(0))
  end)
end)

describe("the other schedules", function()
  local warm = { lr = 1, total_num_update = 110, warmup_updates = 10, end_learning_rate = 0.1,
    power = 1 }

  it("linear is polynomial_decay of power 1", function()
    local linear = schedule.new("linear", with(warm, { power = 3 }))
    local polynomial = schedule.new("polynomial_decay", warm)
    for n = 0, 120 do
      assert.equal(polynomial(n), linear(n))
    end
  end)

  -- get_linear_schedule_with_warmup(optimizer, 10, 10): 0, 0.1, …, 0.9 and then 0.
  it("linear with as many warm-up updates as updates has ended where the plan does", function()
    local rate = schedule.new("linear", { lr = 1, total_num_update = 10, warmup_updates = 10,
      end_learning_rate = 0, power = 1 })
    assert.equal(0.9, rate(9))
    assert.equal(0, rate(10))
    assert.equal(0, rate(11))
    rate = schedule.new("linear", { lr = 1, total_num_update = 10, warmup_updates = 10,
      end_learning_rate = 0.25, power = 1 })
    assert.equal(0.25, rate(10))
  end)

  it("cosine falls from lr over the half way to the end rate", function()
    local rate = schedule.new("cosine", warm)
    assert.equal(0.1, rate(0))
    assert.equal(1, rate(10))
    assert.near(0.55, rate(60), 1e-12)
    assert.equal(0.1, rate(110))
    assert.equal(0.1, rate(500))
  end)

  it("inverse_sqrt falls as one over the root", function()
    local rate = schedule.new("inverse_sqrt", warm)
    assert.equal(0.5, rate(5))
    assert.equal(1, rate(10))
    assert.near(0.5, rate(40), 1e-12)
    assert.equal(1, schedule.new("inverse_sqrt", with(warm, { warmup_updates = 0 }))(0))
  end)

  it("fixed warms up from lr/warmup, constant from 0", function()
    local fixed, constant = schedule.new("fixed", warm), schedule.new("constant", warm)
    assert.equal(0.1, fixed(0))
    assert.equal(0, constant(0))
    for _, n in ipairs({ 10, 110, 1000 }) do
      assert.equal(1, fixed(n))
      assert.equal(1, constant(n))
    end
  end)
end)

describe("schedule.new", function()
  it("names the nearest of an unknown name", function()
    assert.has_error(function()
      schedule.new("polynomal_decay", COLA)
    end, "--lr-scheduler polynomal_decay is unknown; did you mean polynomial_decay? "
      .. "(constant, cosine, fixed, inverse_sqrt, linear, polynomial_decay)")
  end)

  it("refuses a warm-up beyond the plan", function()
    assert.has_error(function()
      schedule.new("fixed", { lr = 1, total_num_update = 5, warmup_updates = 6 })
    end, "--warmup-updates 6 is more than the 5 updates that are planned; lower it or raise "
      .. "--total-num-update")
  end)
end)
