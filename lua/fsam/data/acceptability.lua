local lexicon = require("fsam.data.acceptability.lexicon")
local phenomena = require("fsam.data.acceptability.phenomena")
local mt19937 = require("fsam.data.mt19937")
local M = {}
local Draw = {}
Draw.__index = Draw
function Draw:percent() return self.random:interval(99) end
function Draw:chance(p) return self:percent() < p end
function Draw:pick(list) return list[self.random:interval(#list - 1) + 1] end
function Draw:fresh(list)
  local x
  repeat x = self:pick(list) until not self.used[x]
  self.used[x] = true
  return x
end
function M.generate(o)
  local d = setmetatable({ random = mt19937.new(o.seed), used = {} }, Draw)
  local seen = {}
  local function part(n, pname)
    local samples = {}
    local names = phenomena.order
    local pairs_total = math.floor(n / 2)
    for k, name in ipairs(names) do
      local count = math.floor(pairs_total * k / #names) - math.floor(pairs_total * (k - 1) / #names)
      local extra = k == 1 and n % 2 or 0
      for i = 1, count + extra do
        local good, bad
        repeat
          d.used = {}
          good, bad = phenomena.table[name](d)
        until not seen[good] and not seen[bad]
        seen[good], seen[bad] = true, true
        samples[#samples + 1] = { text = good, label = 1, phenomenon = name }
        if i <= count then samples[#samples + 1] = { text = bad, label = 0, phenomenon = name } end
      end
    end
    d.random:shuffle(samples)
    return { name = pname, samples = samples, labels = { "unacceptable", "acceptable" } }
  end
  local train = part(o.train or 8551, "train")
  local dev = part(o.dev or 1043, "dev")
  return { train = train, dev = dev, vocab = lexicon.pieces() }
end
return M
