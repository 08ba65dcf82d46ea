local support = require("spec.lua.vector.support")
local vector = require("fsam.vector")

local model, constant = support.constants, support.constant

describe("random programs", function()
  -- Builds a random sequence of sets and reductions twice: lazily, and step by step with every
  -- value computed at once; both must end with the same numbers.
  local function sequence(seed, eager)
    local P, v = model({ a = 1, b = 2, c = -1, d = 0.5 })
    local names, state = { "a", "b", "c", "d" }, seed
    local function random(n)
      state = (state * 1103515245 + 12345) % 2147483648
      return math.floor(state / 65536) % n + 1
    end
    local pool = {}
    local function value()
      if #pool > 0 and random(3) == 1 then
        return pool[random(#pool)]
      end
      return v[names[random(4)]].now
    end
    local copies = 0
    local function remember(x)
      if eager then
        copies = copies + 1
        local copy = P:vector("copy" .. copies)
        copy:set(x)
        P:commit()
        x = copy.now
      end
      pool[#pool + 1] = x
    end
    for _ = 1, 14 do
      local x, y, what = value(), value(), random(6)
      if what == 1 then
        remember(x * 0.5 + y)
      elseif what == 2 then
        remember(x - y * (1 / (y:max_abs() + 1)))
      elseif what == 3 then
        remember(vector.where(x:gt(y), x * 0.25, y))
      else
        local target = v[names[random(4)]]
        target:set((x + y) * 0.5 - (what == 4 and x:mean() or 0.125))
        if eager then
          P:commit()
        end
      end
    end
    P:commit()
    return { constant(P, v.a), constant(P, v.b), constant(P, v.c), constant(P, v.d) }
  end

  it("give what running every line at once gives", function()
    for seed = 1, 60 do
      assert.same(sequence(seed, true), sequence(seed, false), "sequence " .. seed)
    end
  end)
end)
