--- recipes/custom_sam.lua: a type defined in a recipe trains, has its flags, computes what it says,
-- and runs through the same programs as a built-in one.
local helper = require("spec.helper")
local model = require("spec.lua.logistic")
local sam = require("fsam.sam")
local vector = require("fsam.vector")

local dot, moved, scaled, logistic = model.dot, model.moved, model.scaled, model.logistic

local SMALL = { "--no-save", "--max-update", "2", "--max-train-samples", "64", "--threads", "1" }

local function custom(words)
  local list = { "recipes/custom_sam.lua" }
  for _, part in ipairs({ SMALL, words }) do
    for _, word in ipairs(part) do
      list[#list + 1] = word
    end
  end
  local code, out, err = helper.fsam_lua(list)
  assert.equal("", err)
  assert.equal(0, code)
  return out
end

describe("a recipe's own sam-type", function()
  setup(function()
    local definition = helper.read_file("recipes/custom_sam.lua"):match("fsam%.sam%.define%b()")
    assert(loadstring("local fsam = ... " .. definition))(require("fsam"))
  end)

  it("is the recipe's default, and trains", function()
    local out = custom({})
    assert.matches("· zsharp, rho 0.02 · seed 1\n", out, 1, true)
    assert.matches("trained  2 updates", out, 1, true)
  end)

  it("has a masked form, and leaves room for others", function()
    assert.matches("· fisher-zsharp, rho 0.02, keep 10 %", custom({ "--sam_type", "fisher_zsharp",
      "--z-cut", "1", "--fisher", "magnitude" }), 1, true)
    assert.matches("· adam · seed 1\n", custom({ "--optimizer", "adam" }), 1, true)
  end)

  it("has its options in --help", function()
    local out = custom({ "--help" })
    assert.matches("%-%-z%-cut X +zsharp perturbs where [^()]*%(default 1%.96%)", out)
  end)

  it("computes what it says", function()
    assert.near(model.by_loops(function(w, n, _, P)
      local where, _, g = model.parameter_of(P), logistic(w, n, model.ALL)
      local sum, square, count, kept = {}, {}, {}, {}
      for k, x in ipairs(g) do
        local at = where[k]
        sum[at], count[at] = (sum[at] or 0) + x, (count[at] or 0) + 1
      end
      for k, x in ipairs(g) do
        local at = where[k]
        square[at] = (square[at] or 0) + (x - sum[at] / count[at]) ^ 2
      end
      for k, x in ipairs(g) do
        local at = where[k]
        local z = math.abs(x - sum[at] / count[at]) / math.sqrt(square[at] / count[at])
        kept[k] = z > 1.2 and x or 0
      end
      return select(2, logistic(moved(w, scaled(kept, 0.3 / math.sqrt(dot(kept, kept)))), n,
        model.ALL))
    end), (model.by_engine("zsharp", { rho = 0.3, z_cut = 1.2 })), 1e-5)
  end)

  it("runs the programs that a built-in type runs, none more", function()
    -- The built-in asam, written anew outside the library.
    sam.define("mine", {
      options = { rho = 0.5, eta = 0.01 },
      ascend = function(s)
        local is_matrix = s:each(function(parameter) return #parameter.shape > 1 end)
        local t = vector.where(is_matrix, s.w:abs() + s.eta, 1)
        return t * t * s.g * (s.rho / (t * s.g):norm())
      end,
    })
    local function keys(name, rho)
      local weights, P = model.by_engine(name, { rho = rho, eta = 0.02 })
      local list = {}
      for key in pairs(P.queue:report().programs) do
        list[#list + 1] = key
      end
      table.sort(list)
      return { weights = weights, keys = list, sweeps = P.queue:report().sweeps }
    end
    local built_in, mine, other = keys("asam", 0.4), keys("mine", 0.4), keys("mine", 0.3)
    assert.same(built_in.keys, mine.keys)
    assert.equal(built_in.sweeps, mine.sweeps)
    assert.same(built_in.weights, mine.weights)
    assert.same(mine.keys, other.keys) -- another radius is another number, not another program
    assert.is_not.same(mine.weights, other.weights)
    assert.is_true(#mine.keys <= 6) -- of twenty steps
  end)
end)
