--- The merges of byte-pair encoding (Sennrich et al. 2016): neighbouring pieces become one.
--
-- Owns: the ranks, and their application to one word. Leaves to others: words and their first
-- pieces (bpe.lua). A heap keeps a word of n pieces at n log n, so that no text stalls the program.
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")

local M = {}

local Merging = {}
Merging.__index = Merging

-- In the keys below, a double holds two ids, or a rank and a position.
local MAX_ID, MAX_POSITION = 2 ^ 26, 2 ^ 31

--- Is this value an id: a whole number from 0 to 2^26 − 1?
-- @treturn boolean
function M.is_id(id)
  return type(id) == "number" and id >= 0 and id < MAX_ID and id % 1 == 0
end

--- Indexes merges: the rank of a pair of ids, and the id that each rank makes.
-- @tparam table ids map from piece to id
-- @tparam table merges list of pairs of pieces, best first
-- @tparam string name for messages
-- @treturn table with the method `apply`
-- @raise when a merge names a piece that the vocabulary lacks
function M.new(ids, merges, name)
  local rank_of, made = {}, {}
  for rank, merge in ipairs(merges) do
    local left, right, both = ids[merge[1]], ids[merge[2]], ids[merge[1] .. merge[2]]
    if not (left and right and both) then
      errors.raise("%s: merge %d (%s %s) names a piece that the vocabulary lacks", name, rank,
        schema.show(merge[1]), schema.show(merge[2]))
    end
    rank_of[left * MAX_ID + right] = rank
    made[rank] = both
  end
  return setmetatable({ rank_of = rank_of, made = made }, Merging)
end

-- A binary heap of numbers, smallest first.

local function push(heap, value)
  local i = #heap + 1
  while i > 1 do
    local parent = bit.rshift(i, 1)
    if heap[parent] <= value then
      break
    end
    heap[i] = heap[parent]
    i = parent
  end
  heap[i] = value
end

local function pop(heap)
  local n = #heap
  local top, value = heap[1], heap[n]
  heap[n] = nil
  n = n - 1
  local i = 1
  while 2 * i <= n do
    local child = 2 * i
    if child < n and heap[child + 1] < heap[child] then
      child = child + 1
    end
    if heap[child] >= value then
      break
    end
    heap[i] = heap[child]
    i = child
  end
  if n > 0 then
    heap[i] = value
  end
  return top
end

-- Up to so many pieces a look at every pair is faster than a heap.
local SHORT = 24

local ranks = {} -- of the pair at each position; huge where it has none

--- The merges of a short word, in place.
local function apply_short(self, symbols, n)
  local rank_of, made = self.rank_of, self.made
  for i = 1, n - 1 do
    ranks[i] = rank_of[symbols[i] * MAX_ID + symbols[i + 1]] or math.huge
  end
  while n > 1 do
    local at, least = 0, math.huge
    for i = 1, n - 1 do
      if ranks[i] < least then
        at, least = i, ranks[i]
      end
    end
    if at == 0 then
      break
    end
    symbols[at] = made[least]
    for i = at + 1, n - 1 do
      symbols[i], ranks[i - 1] = symbols[i + 1], ranks[i]
    end
    symbols[n], n = nil, n - 1
    if at > 1 then
      ranks[at - 1] = rank_of[symbols[at - 1] * MAX_ID + symbols[at]] or math.huge
    end
    if at < n then
      ranks[at] = rank_of[symbols[at] * MAX_ID + symbols[at + 1]] or math.huge
    end
  end
  return symbols
end

--- Merges neighbours until no pair of them has a rank: always the pair of the lowest rank, the
-- leftmost of equals. A heap holds the candidates as rank · 2^31 + position. A merge may overtake
-- other candidates; such a one is recognised when it comes up, since its pair no longer makes the
-- same piece.
-- @tparam table symbols list of ids; the call destroys it
-- @treturn table list of ids
function Merging:apply(symbols)
  local rank_of, made = self.rank_of, self.made
  local n = #symbols
  if n <= SHORT then
    return apply_short(self, symbols, n)
  end
  local following, preceding, heap = {}, {}, {}
  local function offer(left)
    local right = following[left]
    local rank = left > 0 and right <= n and rank_of[symbols[left] * MAX_ID + symbols[right]]
    if rank then
      push(heap, rank * MAX_POSITION + left)
    end
  end
  for i = 1, n do
    following[i], preceding[i] = i + 1, i - 1
  end
  for i = 1, n - 1 do
    offer(i)
  end
  while heap[1] do
    local key = pop(heap)
    local left = key % MAX_POSITION
    local id = made[(key - left) / MAX_POSITION]
    local right = following[left]
    local rank = symbols[left] and right <= n
      and rank_of[symbols[left] * MAX_ID + symbols[right]]
    if rank and made[rank] == id then
      local after = following[right]
      symbols[left], symbols[right] = id, false
      following[left], preceding[after] = after, left
      offer(preceding[left])
      offer(left)
    end
  end
  local merged, i = {}, 1
  while i <= n do
    merged[#merged + 1] = symbols[i]
    i = following[i]
  end
  return merged
end

return M
