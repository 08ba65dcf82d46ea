-- rho over time: the formulas, which types have them, and the flags.
local flags = require("fsam.train.flags")
local header = require("fsam.report.header")
local model = require("spec.lua.logistic")
local options = require("fsam.options")
local sam = require("fsam.sam")

local by_engine, by_loops = model.by_engine, model.by_loops

-- The share of the way left at step n of 20; logistic.lua's learning rate falls to 21/40 of its
-- peak.
local SHARES = {
  constant = function() return 1 end,
  proportional = function(n) return 1 - n / 40 end,
  linear = function(n) return 1 - n / 20 end,
  cosine = function(n) return 0.5 + 0.5 * math.cos(math.pi * n / 20) end,
}

-- rho of the twenty steps.
local function radii(sam_type, given)
  local infos, list = {}, {}
  given.fisher = "batch"
  by_engine(sam_type, given, nil, nil, infos)
  for i, info in ipairs(infos) do
    list[i] = info.rho
  end
  return list
end

local function expected(schedule, rho, low)
  local list = {}
  for n = 0, 19 do
    list[n + 1] = low + (rho - low) * SHARES[schedule](n)
  end
  return list
end

describe("rho over time", function()
  for schedule in pairs(SHARES) do
    it("is " .. schedule .. " for every type that has a rho", function()
      for _, name in ipairs(sam.names()) do
        local found = radii(name, { rho = 0.3, rho_min = 0.1, rho_schedule = schedule })
        assert.near(expected(schedule, 0.3, 0.1), found, 1e-12)
      end
    end)
  end

  it("is the one that types perturb with", function()
    assert.near(by_loops(function(w, n)
      return select(2, model.sam_gradient(w, n, 0.1 + 0.2 * (1 - n / 20)))
    end), (by_engine("sam", { rho = 0.3, rho_min = 0.1, rho_schedule = "linear" })), 1e-5)
  end)

  it("is constant by default, to the last bit, and ends at 0 when it is not", function()
    for _, name in ipairs({ "sam", "gsam", "fisher-asam" }) do
      for _, rho in ipairs(radii(name, { rho = 0.3 })) do
        assert.equal(0.3, rho)
      end
    end
    assert.near(expected("cosine", 0.3, 0), radii("sam", { rho = 0.3, rho_schedule = "cosine" }),
      1e-12)
  end)

  it("is proportional for gsam, between --rho-min and --rho", function()
    assert.near(expected("proportional", 0.3, 0.1), radii("gsam", { rho = 0.3, rho_min = 0.1 }),
      1e-12)
  end)

  it("stays between the two where the learning rate is outside of its range", function()
    local P = require("fsam.vector.params").new(require("fsam.base.device").open("cpu"),
      { { name = "a", kind = "matrix", shape = { 2 } } })
    local optimizer = require("fsam.step").build({ params = P, optimizer = "sam",
      sam_type = "gsam", options = { rho = 0.3, rho_min = 0.1 } })
    local function rho(lr, peak, ending)
      return optimizer:step({ step = 0, lr = lr, lr_peak = peak, lr_end = ending, samples = 1,
        evaluate = function(request)
          P:touch(request.into)
          return { mean = function() return 1 end, losses = function() return { 1 } end,
            correct = function() return 1 end }
        end }).rho
    end
    assert.equal(0.1, rho(0, 1, 0.5))
    assert.equal(0.3, rho(2, 1, 0.5))
    assert.equal(0.3, rho(1, 1, 1)) -- a constant learning rate
    assert.near(0.2, rho(0.75, 1, 0.5), 1e-12)
  end)

  it("may be changed further by a type's own schedule", function()
    sam.define("halved", { options = { rho = 0.3 }, schedule = function(s)
      return s.rho / 2
    end, ascend = function(s)
      return s.g * (s.rho / s.g:norm())
    end })
    assert.near(expected("linear", 0.15, 0), radii("halved", { rho = 0.3,
      rho_schedule = "linear" }), 1e-12)
  end)

  it("is nothing for a type without rho", function()
    sam.define("unscaled", { ascend = function(s)
      return s.g
    end })
    assert.same({}, radii("unscaled", {}))
  end)
end)

describe("the flags of rho", function()
  local spec = flags.spec({ name = "own.lua", task = "cola" })

  local function read(...)
    return options.read({ ... }, spec)
  end

  it("have defaults of the type", function()
    local plain, gsam = read("--sam-type", "sam"), read("--sam-type", "fisher-gsam")
    assert.same({ "constant", 0 }, { plain.rho_schedule, plain.rho_min })
    assert.equal("proportional", gsam.rho_schedule)
    assert.is_nil(gsam.rho_min)
    assert.equal("cosine", read("--sam-type", "gsam", "--rho-schedule", "cosine").rho_schedule)
    assert.same({}, plain.notes)
    assert.same({}, gsam.notes)
  end)

  it("are checked against each other", function()
    assert.has_error(function()
      read("--rho", "0.1", "--rho-min", "0.2", "--rho-schedule", "linear")
    end, "--rho-min 0.2 is above --rho 0.1, from which --rho-schedule linear comes down")
    assert.has_error(function()
      read("--rho-schedule", "linaer")
    end, "--rho-schedule linaer is unknown; did you mean linear? (constant, proportional, linear, "
      .. "cosine)")
    assert.same({ "--rho-min has no effect with --rho-schedule constant" },
      read("--rho-min", "0.01").notes)
    assert.same({ "--rho-min has no effect with adam" },
      read("--optimizer", "adam", "--rho-min", "1").notes)
  end)

  it("stand at the start of a run", function()
    local function line(...)
      local o = read(...)
      return header.lines({ options = o, run = { precision = "fp32",
          began_from = function() return o.arch end },
        task = { name = "t", train = {}, dev = {} },
        model = { count = 1, config = { num_hidden_layers = 1, hidden_size = 1 } } })[1]
    end
    assert.matches("sam, rho 0.05 · seed", line("--sam-type", "sam"), 1, true)
    assert.matches("gsam, rho 0.05 · seed", line("--sam-type", "gsam"), 1, true)
    assert.matches("gsam, rho 0.05 to 0.01 (proportional) · seed",
      line("--sam-type", "gsam", "--rho-min", "0.01"), 1, true)
    assert.matches("sam, rho 0.05 to 0 (cosine) · seed",
      line("--sam-type", "sam", "--rho-schedule", "cosine"), 1, true)
  end)
end)
