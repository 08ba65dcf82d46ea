-- What a part sees as s: its fields, its definition's names with their declared defaults, and what
-- earlier parts of the step hand on. One rule for types of the library and of users.
local fields = require("fsam.define.fields")
local model = require("spec.lua.logistic")
local optimizers = require("fsam.step")
local sam = require("fsam.sam")

local ROOT = debug.getinfo(sam.define, "S").source:match("^(@.*)sam/init%.lua$")

-- Runs a definition as if it stood in a file of this name.
local function define_in(file, source, name)
  assert(loadstring(source:format(name), file))()
end

-- Where definitions may stand: a user's recipe, and the library's own folder of types.
local FILES = { user = "@recipe.lua", library = ROOT .. "sam/types/handing.lua" }

local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok, "no error")
  return tostring(err)
end

for owner, file in pairs(FILES) do
  describe("s in a type of the " .. owner .. "'s", function()
    local name = "handing_" .. owner

    it("takes a value for a later part of the same step, and forgets it", function()
      define_in(file, [[
        require("fsam.sam").define("%s", {
          options = { rho = 0.3 },
          every = function(s) return s.step < 2 end,
          ascend = function(s)
            s.length = s.g:norm()
            return s.g * (s.rho / s.length)
          end,
          descend = function(s)
            return s.g2 and s.g2 * s.length:min(1) or s.g * s.length
          end,
        })]], name)
      assert.matches("s.length is unknown in " .. name .. "$", refusal(model.by_engine, name, {}))
    end)

    it("refuses what has a meaning", function()
      for assignment, message in pairs({
        ["s.lr = 1"] = "s.lr cannot be changed by a part; keep the value in a local variable",
        ["s.rho = 1"] = "s.rho cannot be changed by a part; keep the value in a local variable",
        ["s.g2 = s.g"] = "s.g2 cannot be changed by a part; keep the value in a local variable",
        ["s.read = 1"] = "s.read cannot be changed by a part; keep the value in a local variable",
        ["s.g = s.g * 2"] = "s.g = … would only rename it; change it with s.g:set(…)",
        ["s.m = s.g"] = "s.m = … would only rename it; change it with s.m:set(…)",
      }) do
        define_in(file, ([[require("fsam.sam").define("%%s", {
          options = { rho = 0.3 }, state = { "m" }, ascend = function(s) %s return s.g end })
        ]]):format(assignment), name)
        local text = refusal(model.by_engine, name, {})
        assert.equal(message, text:sub(-#message))
      end
    end)
  end)
end

describe("s", function()
  it("has every field, nil only where the list says that it may be absent", function()
    local seen, absent = {}, {}
    sam.define("looker", { options = { rho = 0.3 }, ascend = function(s)
      for _, field in ipairs(fields.list) do
        seen[field.name] = s[field.name] ~= nil
        absent[field.name] = field.absent ~= nil
      end
      return s.g
    end })
    model.by_engine("looker", {})
    for name, there in pairs(seen) do
      assert.is_true(there or absent[name], name)
    end
    assert.same({ false, false, false, true, true }, { seen.g2, seen.d, seen.mask, seen.losses,
      seen.base })
  end)

  it("has the declared defaults of the type, and its own options only", function()
    local eta, base_momentum
    sam.define("defaulted", { options = { rho = 0.3, eta = 0.25 }, ascend = function(s)
      eta, base_momentum = s.eta, s.base.momentum
      return s.g
    end })
    local P = model.new_params()
    model.step(P, optimizers.build({ params = P, sam_type = "defaulted",
      base_optimizer = "sgd" }), 0)
    assert.same({ 0.25, 0 }, { eta, base_momentum })
    sam.define("curious", { ascend = function(s)
      return s.g * s.momentum
    end })
    assert.matches("s.momentum is unknown in curious", refusal(model.by_engine, "curious", {}))
  end)

  it("says where rho comes from to a type that declares none", function()
    sam.define("without_rho", { ascend = function(s)
      return s.g * s.rho
    end })
    assert.matches("s.rho is unknown in without_rho; declare it: options = { rho = … }",
      refusal(model.by_engine, "without_rho", {}), 1, true)
  end)

  it("leaves math.random to parts, which draw by seed and step", function()
    local drawn
    sam.define("drawing", { options = { rho = 0.3 }, every = function()
      drawn[#drawn + 1] = math.random()
      return false
    end, ascend = function(s)
      return s.g
    end })
    -- What the steps from..to draw with a seed, in an optimizer of their own.
    local function draws(seed, from, to)
      drawn = {}
      local P = model.new_params()
      local optimizer = optimizers.build({ params = P, sam_type = "drawing", seed = seed })
      for step = from, to do
        model.step(P, optimizer, step)
      end
      return drawn
    end
    local all = draws(1, 0, 5)
    math.random() -- a script's own
    local later = draws(1, 3, 5)
    assert.same({ all[4], all[5], all[6] }, later)
    assert.are_not.same(all, draws(2, 0, 5))
    for i = 2, 6 do
      assert.are_not.equal(all[1], all[i])
    end
  end)

  it("reaches nothing of the optimizer", function()
    for _, name in ipairs({ "optimizer", "params", "spec", "own", "values", "handed", "evaluate",
      "begin", "set", "declared" }) do
      sam.define("reaching", { ascend = function(s)
        return s[name]
      end })
      assert.matches("s." .. name .. " is unknown in reaching", refusal(model.by_engine, "reaching",
        {}), 1, true)
    end
  end)
end)

describe("step.build", function()
  it("without names is fisher-sam on adam, with every owner's declared defaults", function()
    local P = model.new_params()
    local optimizer = optimizers.build({ params = P, sampler = model.sampler })
    assert.equal("fisher-sam", optimizer.s and optimizer.type.name)
    assert.equal("adam", optimizer.base.name)
    assert.equal(1, optimizer.seed)
    assert.equal(0.01, optimizer.settings.weight_decay)
    assert.equal(0.1, optimizer.masking.options.keep_ratio)
    assert.equal(32, optimizer.masking.options.num_samples)
  end)

  it("takes fairseq's name for sam, and names what is unknown", function()
    local P = model.new_params()
    assert.equal("asam", optimizers.build({ params = P, optimizer = "samsgd",
      sam_type = "asam" }).type.name)
    assert.matches("^%-%-sam%-type asma is unknown; did you mean asam%?",
      refusal(optimizers.build, { params = P, sam_type = "asma" }))
    assert.matches("^optimizer adma is unknown; did you mean adam%?",
      refusal(optimizers.build, { params = P, optimizer = "adma" }))
  end)
end)
