--- Learning rates: fairseq's formulas, at the values its own code gives.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local registry = require("fsam.base.registry")
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

local function names_of(kind)
  local names = {}
  for _, d in ipairs(schedule.get(kind).options) do
    names[#names + 1] = d.name
  end
  return names
end

-- spec/golden/make_schedules_golden.py runs fairseq's schedulers. Their options by our names:
local RENAMED = { lr_deacy_period = "lr_decay_period", max_update = "total_num_update",
  maximize_best_checkpoint_metric = "maximize" }
local PATH = "spec/golden/schedules.json"

-- A golden case's schedule, and its rates by update. `stop` says after which update the schedule is
-- made anew from what it would have saved.
local function replay(case, stop)
  local options = { total_num_update = 1000 }
  for key, value in pairs(case.options) do
    options[RENAMED[key] or key] = value
  end
  if not options.warmup_updates and registry.contains(names_of(case.name), "warmup_updates") then
    options.warmup_updates = 0
  end
  local rate, rates, n = schedule.new(case.name, options), {}, 0
  for epoch = 1, case.epochs do
    rate:begin_epoch(epoch)
    for _ = 1, case.steps do
      rates[n] = rate:rate(n)
      n = n + 1
      if n == stop then
        local saved = json.decode(json.encode(rate.state), "state")
        rate = schedule.new(case.name, options, saved)
      end
    end
    rate:rate(n) -- fairseq sets the next update's rate before it validates
    rate:end_epoch(case.values[epoch])
  end
  return rates, n
end

describe("every schedule of fairseq", function()
  local cases = json.decode(helper.read_file(PATH), PATH)

  it("has its rates to the last bit at every update, also of a run that was stopped", function()
    local kinds = {}
    for i, case in ipairs(cases) do
      kinds[case.name] = true
      for _, stop in ipairs({ 0, 3, math.floor(case.epochs * case.steps / 2) }) do
        local rates, count = replay(case, stop)
        local updates = #case.updates > 0 and case.updates
        for k, expected in ipairs(case.rates) do
          local n = updates and updates[k] or k - 1
          assert(rates[n] == expected, ("%s, case %d, update %d: %.17g, fairseq has %.17g")
            :format(case.name, i, n, rates[n], expected))
        end
        assert.equal(case.epochs * case.steps, count)
      end
    end
    assert.same({ "cosine", "fixed", "inverse_sqrt", "manual", "polynomial_decay",
      "reduce_lr_on_plateau", "step", "tri_stage", "triangular" }, registry.sorted(kinds))
  end)
end)

describe("the schedules of Transformers", function()
  local warm = { lr = 1, total_num_update = 110, warmup_updates = 10, end_learning_rate = 0.1 }

  it("linear is polynomial_decay of power 1", function()
    local linear = schedule.new("linear", warm)
    local polynomial = schedule.new("polynomial_decay", warm)
    for n = 0, 120 do
      assert.near(polynomial(n), linear(n), 1e-16)
    end
  end)

  -- get_linear_schedule_with_warmup(optimizer, 10, 10): 0, 0.1, …, 0.9 and then 0.
  it("linear with as many warm-up updates as updates has ended where the plan does", function()
    local rate = schedule.new("linear", { lr = 1, total_num_update = 10, warmup_updates = 10 })
    assert.equal(0.9, rate(9))
    assert.equal(0, rate(10))
    assert.equal(0, rate(11))
    rate = schedule.new("linear", { lr = 1, total_num_update = 10, warmup_updates = 10,
      end_learning_rate = 0.25 })
    assert.equal(0.25, rate(10))
  end)

  it("constant warms up from 0, fixed from lr/warmup", function()
    local o = { lr = 1, total_num_update = 110, warmup_updates = 10 }
    local fixed, constant = schedule.new("fixed", o), schedule.new("constant", o)
    assert.equal(0.1, fixed(0))
    assert.equal(0, constant(0))
    for _, n in ipairs({ 10, 110, 1000 }) do
      assert.equal(1, fixed(n))
      assert.equal(1, constant(n))
    end
  end)

  it("inverse_sqrt has an answer without warm-up too", function()
    local rate = schedule.new("inverse_sqrt", { lr = 1, total_num_update = 9, warmup_updates = 0 })
    assert.equal(1, rate(0))
    assert.equal(0.5, rate(4))
  end)
end)

describe("schedule.new", function()
  -- name, options, message.
  local REFUSED = {
    { "polynomal_decay", {}, "--lr-scheduler polynomal_decay is unknown; did you mean "
      .. "polynomial_decay? (constant, cosine, fixed, inverse_sqrt, linear, manual, "
      .. "polynomial_decay, reduce_lr_on_plateau, step, tri_stage, triangular)" },
    { "fixed", { warmup_updates = 101 }, "--warmup-updates 101 is more than the 100 updates "
      .. "planned; lower it or raise --total-num-update" },
    { "cosine", { lr = { 1, 2 }, warmup_updates = 0 }, "--lr has 2 rates, and --lr-scheduler "
      .. "cosine takes one; fixed and polynomial_decay take one for each epoch" },
    { "cosine", { warmup_updates = 100 }, "--lr-scheduler cosine has no updates after its warm-up "
      .. "of 100; lower --warmup-updates, or give --lr-period-updates" },
    { "step", { warmup_updates = 0, min_lr = 2 }, "--min-lr 2 must be below --lr 1" },
    { "triangular", {}, "--lr-scheduler triangular needs --max-lr, above --lr 1" },
    { "triangular", { max_lr = 0.5 },
      "--lr-scheduler triangular needs --max-lr, above --lr 1 (0.5 is not)" },
    { "tri_stage", { hold_steps = 3 }, "--lr-scheduler tri_stage needs updates of decay: "
      .. "--decay-steps, or --phase-ratio" },
    { "tri_stage", { phase_ratio = { 0.5, 0.2, 0.2 } },
      "--phase-ratio 0.5,0.2,0.2 does not add up to 1" },
    { "manual", { epoch2lr = "{1-2:3}" },
      "--epoch2lr {1-2:3} is no table of rates; write \"{'1-3': 1e-5, '4': 5e-6}\"" },
    { "manual", { update2lr = "{'1': fast}" },
      "--update2lr {'1': fast} is no table of rates; write \"{'1-3': 1e-5, '4': 5e-6}\"" },
    { "manual", { epoch2lr = "{'1-2-3': 1}" },
      "--epoch2lr: the key '1-2-3' is not a number, a range (4-8) or a list (1,3)" },
    { "fixed", { powr = 2, warmup_updates = 0 }, "schedule fixed: the option powr is unknown (lr, "
      .. "maximize, total_num_update, warmup_updates, force_anneal, lr_shrink)" },
  }

  it("refuses what a schedule cannot do, in one line", function()
    for _, case in ipairs(REFUSED) do
      local options = with({ lr = 1, total_num_update = 100 }, case[2])
      local ok, err = pcall(schedule.new, case[1], options)
      assert.is_false(ok)
      assert.matches(case[3], tostring(err), 1, true)
    end
  end)

  it("knows the largest and the last rate", function()
    local function ends(name, o)
      local s = schedule.new(name, with({ lr = 1, total_num_update = 100 }, o))
      return { s.peak, s.ending }
    end
    assert.same({ 1, 0.1 }, ends("polynomial_decay", { warmup_updates = 0,
      end_learning_rate = 0.1 }))
    assert.same({ 3, 2 }, ends("fixed", { warmup_updates = 0, lr = { 1, 3, 2 } }))
    assert.same({ 4, 1 }, ends("triangular", { max_lr = 4 }))
    assert.same({ 5, 0 }, ends("manual", { epoch2lr = "{'1,2':5}" }))
  end)

  it("takes a schedule of one's own, with its options", function()
    schedule.define("spec-halving", {
      options = { { name = "half_life", type = "integer", default = 10, min = 1 } },
      rate = function(p, _, n)
        return p.lr * 0.5 ^ (n / p.half_life)
      end,
    })
    local rate = schedule.new("spec-halving", { lr = 4, total_num_update = 100, half_life = 5 })
    assert.equal(1, rate(10))
    assert.is_true(registry.contains(schedule.names(), "spec-halving"))
  end)
end)
