--- Random choices for mutators, the same for the same seed. Owns: turning a generator's words into
-- choices. Leaves to others: the generator (fsam.data.mt19937).
local mt19937 = require("fsam.data.mt19937")

local M = {}

local Draw = {}
Draw.__index = Draw

--- A source of choices.
-- @tparam integer seed 0 … 2^32−1
function M.new(seed)
  return setmetatable({ state = mt19937.new(seed) }, Draw)
end

--- A whole number from 1 to n.
function Draw:upto(n)
  return self.state:interval(n - 1) + 1
end

--- True once in n times.
function Draw:once_in(n)
  return self.state:interval(n - 1) == 0
end

--- One of a list.
function Draw:from(list)
  return list[self.state:interval(#list - 1) + 1]
end

--- Bytes without meaning.
-- @tparam integer count
function Draw:bytes(count)
  local list = {}
  for i = 1, count do
    list[i] = string.char(self.state:interval(255))
  end
  return table.concat(list)
end

return M
