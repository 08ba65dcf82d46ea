--- Drawing without replacement, decided by a seed and a step: the same on every machine and rank.
-- Owns: the rule. Leaves to others: when to draw, and under which stream.
local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local mt19937 = require("fsam.data.mt19937")
local schema = require("fsam.base.schema")

local M = {}

--- n of the numbers 1 … size (all of them when there are no more), in the order drawn.
-- @tparam integer n
-- @tparam integer size
-- @tparam table key seed, step, stream: 32-bit numbers; another stream is another draw
-- @treturn {integer,…} min(n, size) different numbers
function M.places(n, size, key)
  local words = C.ffi.new("uint32_t[4]")
  C.lib.fsam_philox(words, key.step, 0, 0, 0, key.seed, key.stream)
  local random = mt19937.new(words[0])
  local moved, list = {}, {}
  for i = 1, math.min(n, size) do
    -- The first n places of a Fisher–Yates shuffle; `moved` holds what it displaced.
    local j = i + random:interval(size - i)
    list[i] = moved[j] or j
    moved[j] = moved[i] or i
  end
  return list
end

local whole = schema.integer(0)
arguments.guard("fsam.data.sampling", M, {
  places = { arguments.arg("n", whole), arguments.arg("size", whole),
    arguments.fields({ seed = whole, step = whole, stream = whole }) },
})

return M
