--- Who decides an option's value: the order of the sources over all pairs, what each owner gets,
-- profiles' rules, and where a value comes from.

local flags = require("fsam.train.flags")
local options = require("fsam.options")

-- One flag that every source can set, each to a value of its own.
local function spec(profile)
  return {
    name = "order.lua", profiles = profile and { { label = "at home", values = { x = 2 },
      when = function(typed) return not typed.away end } },
    flags = {
      { name = "x", type = "number", default = 1, max = 9 },
      { name = "away", type = "flag" },
      { name = "preset", type = "choice", choices = { "none", "three" }, default = "none",
        implies = { none = { x = 7 }, three = { x = 3 } } },
      { name = "compat", type = "choice", choices = { "none", "four", "own" }, default = "none",
        implies = { four = { x = 4 }, own = function(o) return { x = o.away and 8 or 6 } end } },
    },
  }
end

describe("the order of sources", function()
  -- As they override each other: what to do to have the source, the value it has, its name.
  local SOURCES = {
    { value = 1, origin = "default" },
    { profile = true, value = 2, origin = "profile: at home" },
    { words = { "--preset", "three" }, value = 3, origin = "preset three" },
    { words = { "--compat", "four" }, value = 4, origin = "compat four" },
    { words = { "--x", "5" }, value = 5, origin = "command line" },
  }

  for i, weaker in ipairs(SOURCES) do
    for j = i, #SOURCES do
      local stronger = SOURCES[j]
      it(("is %s, then %s"):format(weaker.origin, stronger.origin), function()
        -- In both orders on the command line.
        for _, pair in ipairs({ { weaker, stronger }, { stronger, weaker } }) do
          local words = {}
          for _, source in ipairs(pair) do
            for _, word in ipairs(source.words or {}) do
              words[#words + 1] = word
            end
          end
          local o = options.read(words, spec(weaker.profile or stronger.profile))
          assert.equal(stronger.value, o.x)
          assert.equal(stronger.origin, o.origin.x)
          assert.equal(stronger.value, o.owned.recipe.x)
        end
      end)
    end
  end

  it("leaves out a profile that does not apply, and choices that were not made", function()
    local o = options.read({ "--away" }, spec(true))
    assert.equal(1, o.x)
    assert.same({ x = "default", away = "command line", preset = "default", compat = "default" },
      o.origin)
    assert.same({ away = true }, o.given)
  end)

  it("counts a typed value that is the default as typed", function()
    local o = options.read({ "--x", "1", "--preset", "three" }, spec(true))
    assert.equal(1, o.x)
    assert.equal("command line", o.origin.x)
  end)

  it("lets a choice see the other flags", function()
    assert.equal(6, options.read({ "--compat", "own" }, spec()).x)
    assert.equal(8, options.read({ "--compat", "own", "--away" }, spec()).x)
  end)

  it("checks the values of a recipe like typed ones", function()
    local bad = spec(true)
    bad.profiles[1].values.x = 10
    assert.has_error(function()
      options.read({}, bad)
    end, "profile: at home: --x 10 is out of range; it must be at most 9")
    bad.profiles[1].values = { z = 1 }
    assert.has_error(function()
      options.read({}, bad)
    end, "profile at home: option z is unknown (x, away, preset, compat)")
  end)
end)

describe("several owners of one name", function()
  local function recipe(rho)
    return flags.spec({ name = "own.lua", task = "cola", profiles = rho and {
      { label = "here", when = function() return true end, values = { rho = rho } } } })
  end

  local function read(rho, ...)
    return options.read({ ... }, recipe(rho))
  end

  it("get each its own default, which one value cannot be mistaken for", function()
    assert.equal(0.05, read(nil, "--sam-type", "sam").owned.sam.rho)
    assert.equal(0.5, read(nil, "--sam-type", "asam").owned.sam.rho)
    assert.equal(0.5, read(nil, "--sam-type", "fisher-asam").rho)
    local o = read(nil, "--sam-type", "asam", "--rho", "0.05") -- what most types have
    assert.equal(0.05, o.rho)
    assert.equal("command line", o.origin.rho)
    assert.equal("coupled", read(nil, "--optimizer", "sgd").owned.base.decay)
    assert.same({ 0.9, 0.999 }, read(nil, "--base-optimizer", "lamb").owned.base.adam_betas)
  end)

  it("check a value by their own range, not by that of another owner", function()
    local function read_period(name, period)
      return pcall(read, nil, "--lr-scheduler", name, "--lr-period-updates", period)
    end
    assert.is_true(read_period("cosine", "0.5"))
    local ok, err = read_period("triangular", "0.5")
    assert.is_false(ok)
    assert.equal("--lr-period-updates 0.5 is out of range; it must be at least 2", err.message)
    assert.is_true(read_period("triangular", "2"))
    assert.equal("--lr-period-updates 0 is out of range; it must be above 0",
      select(2, read_period("cosine", "0")).message)
  end)

  it("take a profile's factor of their own default", function()
    for name, rho in pairs({ sam = 0.02, asam = 0.2, msam = 0.4, ["fisher-asam"] = 0.2 }) do
      local o = read({ times = 0.4 }, "--sam-type", name)
      assert.equal(rho, o.owned.sam.rho)
      assert.equal("profile: here", o.origin.rho)
    end
    local both = { times = 0.4, asam = 0.1 }
    assert.equal(0.1, read(both, "--sam-type", "asam").rho)
    assert.equal(0.1, read(both, "--sam-type", "fisher-asam").rho)
    assert.equal(0.4, read(both, "--sam-type", "msam").rho)
  end)

  it("take a profile's value for their name, a fisher- form its plain type's", function()
    local rho = { sam = 0.02, asam = 0.25 }
    assert.equal(0.02, read(rho, "--sam-type", "sam").rho)
    assert.equal(0.02, read(rho, "--sam-type", "fisher-sam").rho)
    assert.equal(0.25, read(rho, "--sam-type", "asam").rho)
    local o = read(rho, "--sam-type", "esam")
    assert.equal(0.05, o.rho)
    assert.equal("default", o.origin.rho)
    assert.equal(0.3, read(rho, "--sam-type", "sam", "--rho", "0.3").rho)
    rho["fisher-sam"] = 0.03
    assert.equal(0.03, read(rho, "--sam-type", "fisher-sam").rho)
  end)

  it("are shown in --help with what a profile makes of them", function()
    local function help(rho)
      return (read(rho, "--help").help:gsub("%s+", " "))
    end
    assert.matches("(default 0.05; 0.02 here)", help(0.02), 1, true)
    assert.matches("(default 0.05; 0.3 with asam, 0.02 with sam here)",
      help({ sam = 0.02, asam = 0.3 }), 1, true)
    assert.matches("(default 0.05; 0.02, 0.2 with asam, sam-on, 0.004 with bsam, 0.4 with msam, "
      .. "0.04 with natural-sam here)", help({ times = 0.4 }), 1, true)
  end)

  it("that do not exist are refused", function()
    assert.has_error(function()
      read({ amas = 0.1 })
    end, "profile here: --rho has a value for amas, which does not declare it; did you mean asam?")
    assert.has_error(function()
      options.read({}, { name = "x.lua", flags = { { name = "s", type = "string" } },
        profiles = { { label = "here", when = function() end, values = { s = { times = 2 } } } } })
    end, "profile here: --s is a string, which has no multiple")
  end)
end)

describe("owners", function()
  local recipe = flags.spec({ name = "own.lua", task = "cola" })

  it("have tables of their own, only those in use", function()
    local o = options.read({ "--sam-type", "fisher-esam", "--lr", "0.1", "--clip-norm", "2",
      "--batch-size", "7", "--dropout", "0.3", "--keep-ratio", "0.2" },
      recipe)
    local own = o.owned
    assert.equal(0.1, own.train.lr)
    assert.equal(2, own.step.clip_norm)
    assert.equal(1, own.step.m_sharpness)
    assert.equal(7, own.task.batch_size)
    assert.equal(0.3, own.model.dropout)
    assert.equal(0.2, own.mask.keep_ratio)
    assert.equal(1e-6, own.base.adam_eps)
    assert.equal(0.5, own.sam.beta)
    assert.is_nil(own.sam.alpha) -- gsam's
    assert.is_nil(own.sam.lr)
    own = options.read({ "--optimizer", "sgd" }, recipe).owned
    assert.is_nil(own.sam)
    assert.is_nil(own.mask)
    assert.is_nil(own.step.m_sharpness)
    assert.is_nil(options.read({ "--sam-type", "sam" }, recipe).owned.mask)
  end)

  it("may share a name in one command: each has its own default", function()
    local own = { name = "two.lua",
      in_use = function() return { { "base", "a" }, { "sam", "b" } } end,
      flags = { { name = "decay", type = "number", default = 1, declared = {
        base = { a = { name = "decay", type = "number", default = 1 } },
        sam = { b = { name = "decay", type = "number", default = 2 } } } } } }
    local o = options.read({}, own)
    assert.equal(1, o.owned.base.decay)
    assert.equal(2, o.owned.sam.decay)
    o = options.read({ "--decay", "3" }, own)
    assert.same({ 3, 3 }, { o.owned.base.decay, o.owned.sam.decay })
  end)

  it("without a command line get declared defaults for what is missing", function()
    local declared = options.declare({ rho = 0.5, eta = 0.01 })
    declared[#declared + 1] = { name = "fast", type = "flag" }
    declared[#declared + 1] = { name = "names", type = "list" }
    assert.same({ rho = 0.1, eta = 0.01, fast = false },
      options.complete(declared, { rho = 0.1, other = 3 }))
    assert.same({ rho = 0.5, eta = 0.01, fast = true, names = { "a" } },
      options.complete(declared, { fast = true, names = { "a" } }))
  end)

  it("without a command line check what is given as if it had been typed", function()
    local function message(d, value)
      d.name = "x"
      local ok, err = pcall(options.complete, { d }, { x = value })
      return ok or err.message
    end
    assert.equal("--x 3 is out of range; it must be from 0 to 1",
      message({ type = "number", min = 0, max = 1 }, 3))
    assert.equal("--x nan is not a number", message({ type = "number" }, 0 / 0))
    assert.equal("--x 1.5 is not a whole number", message({ type = "integer" }, 1.5))
    assert.equal('--x is "1", expected a number', message({ type = "number" }, "1"))
    assert.equal("--x is 1, expected a boolean", message({ type = "flag" }, 1))
    assert.equal("--x b is unknown (a)", message({ type = "choice", choices = { "a" } }, "b"))
    assert.equal("--x 1 has 1 value, expected 2 separated by a comma",
      message({ type = "list", of = "number", count = 2 }, { 1 }))
    assert.equal("--x 2 is out of range; it must be at most 1",
      message({ type = "series", of = "number", max = 1 }, { 1, 2 }))
    assert.is_true(message({ type = "series", of = "number", max = 1 }, 1))
    assert.is_true(message({ type = "flag" }, false))
  end)

  it("find everything that presets and --compat set", function()
    local known = {}
    for _, d in ipairs(recipe.flags) do
      known[d.name] = true
    end
    local first = options.read({}, recipe)
    for _, d in ipairs(recipe.flags) do
      for choice, implied in pairs(d.implies or {}) do
        for name in pairs(type(implied) == "function" and implied(first) or implied) do
          assert.is_true(known[name], d.name .. " " .. choice .. " sets " .. name)
        end
      end
    end
  end)

  it("cannot take the names of what stands beside the values", function()
    assert.has_error(function()
      options.read({}, { name = "x.lua", flags = { { name = "origin", type = "flag" } } })
    end, "an option cannot have the name origin")
  end)
end)

describe("answers to other programs' flags", function()
  local function read(task, ...)
    return options.read({ ... }, { name = "x.lua", flags = { { name = "x", type = "flag" } },
      task = task })
  end

  it("follow the recipe's task", function()
    local mnli = { title = "MNLI", labels = { "a", "b", "c" } }
    assert.is_true(read(mnli, "--num-classes", "3", "--x").x)
    assert.is_true(read({ title = "STS-B" }, "--regression-target", "--num-classes", "1", "--x").x)
    assert.is_true(read(nil, "--num-classes", "5", "--regression-target", "--x").x)
    assert.has_error(function()
      read(mnli, "--num-classes", "2")
    end, "--num-classes 2 is not offered here (3)")
    assert.has_error(function()
      read(mnli, "--regression-target")
    end, "--regression-target belongs to tasks with scores, such as STS-B; MNLI has classes")
  end)
end)
