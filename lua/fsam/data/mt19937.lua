--- The Mersenne Twister MT19937, with the draws of NumPy's RandomState.
--
-- Owns: the generator, and the few draws that data needs: 32-bit words, integers of an interval,
-- shuffles and permutations. They equal NumPy's `RandomState(seed)` bit for bit on every machine,
-- which makes fairseq's batch order reproducible. Leaves to others: dropout and noise, whose random
-- numbers are Philox, in C.
--
-- Source: Matsumoto & Nishimura 1998; NumPy's legacy `shuffle` (Fisher–Yates, masked rejection).

local arguments = require("fsam.base.arguments")
local bit = require("bit")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")

local band, bor, bxor, lshift, rshift = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift

local M = {}

local N, MIDDLE = 624, 397
local TWO_32 = 2 ^ 32

local RandomState = {}
RandomState.__index = RandomState

-- The whole state is replaced every 624 draws.
local function refill(state)
  for i = 0, N - 1 do
    local y = bor(band(state[i], 0x80000000), band(state[(i + 1) % N], 0x7fffffff))
    local word = bxor(state[(i + MIDDLE) % N], rshift(y, 1))
    if band(y, 1) == 1 then
      word = bxor(word, 0x9908b0df)
    end
    state[i] = word
  end
end

--- A generator in the state that NumPy gives it for the seed.
-- @tparam integer seed 0 … 2^32−1
-- @treturn RandomState
-- @raise one line when the seed is not such an integer
function M.new(seed)
  if type(seed) ~= "number" or seed % 1 ~= 0 or seed < 0 or seed >= TWO_32 then
    errors.raise("the seed must be an integer from 0 to 4294967295, got %s", tostring(seed))
  end
  local state = {}
  local word = seed
  state[0] = bit.tobit(word)
  for i = 1, N - 1 do
    -- word = 1812433253 · (word ^ word >> 30) + i mod 2^32; the product exceeds a double's 53
    -- bits, so its factor is split in two halves.
    local mixed = bxor(bit.tobit(word), rshift(bit.tobit(word), 30)) % TWO_32
    local low = mixed % 65536
    local high = (mixed - low) / 65536
    word = ((1812433253 * high % 65536) * 65536 + 1812433253 * low + i) % TWO_32
    state[i] = bit.tobit(word)
  end
  return setmetatable({ state = state, at = N }, RandomState)
end

--- The next 32-bit word.
-- @treturn integer 0 … 2^32−1
function RandomState:uint32()
  if self.at == N then
    refill(self.state)
    self.at = 0
  end
  local y = self.state[self.at]
  self.at = self.at + 1
  y = bxor(y, rshift(y, 11))
  y = bxor(y, band(lshift(y, 7), 0x9d2c5680))
  y = bxor(y, band(lshift(y, 15), 0xefc60000))
  y = bxor(y, rshift(y, 18))
  return y % TWO_32
end

--- An integer drawn uniformly from 0 … max, without bias: each word is masked to max's bits, and
-- one beyond max is rejected.
-- @tparam integer max 0 … 2^32−1; 0 draws nothing
-- @treturn integer
function RandomState:interval(max)
  if max == 0 then
    return 0
  end
  local mask = 1
  while mask < max do
    mask = mask * 2 + 1
  end
  local value
  repeat
    value = band(self:uint32(), mask) % TWO_32
  until value <= max
  return value
end

--- Shuffles a sequence in place.
-- @tparam table list
-- @treturn table the same list
function RandomState:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:interval(i - 1) + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

--- A permutation of 0 … n−1, as NumPy's `permutation(n)`.
-- @tparam integer n
-- @treturn {integer,…} values 0 … n−1 in a Lua sequence
function RandomState:permutation(n)
  local list = {}
  for i = 1, n do
    list[i] = i - 1
  end
  return self:shuffle(list)
end

arguments.guard("fsam.data.mt19937", M, {
  new = { arguments.arg("seed", schema.integer(0, 2 ^ 32 - 1)) },
})

return M
