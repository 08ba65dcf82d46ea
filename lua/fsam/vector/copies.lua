--- Copies of a model's vectors, for a user to keep.
--
-- Owns: their memory. An arena gives none back, so what a collected copy leaves serves the next.
-- Leaves to others: making vectors (params.lua).
local code = require("fsam.vector.instructions")
local storage = require("fsam.vector.storage")

local Copies = {}
Copies.__index = Copies

local M = {}

--- The copies of a model.
-- @tparam table params fsam.vector.params
-- @tparam function make (name) → a new vector of the model, which no checkpoint has
function M.new(params, make)
  return setmetatable({ params = params, make = make, spare = {} }, Copies)
end

-- Keeps a vector's memory for another one when the vector is collected.
local function return_when_collected(self, vector)
  local keeper, raw = newproxy(true), vector.raw
  getmetatable(keeper).__gc = function()
    table.insert(self.spare, raw)
  end
  rawset(vector, "keeper", keeper)
end

--- A vector of its own with the values that another has now.
-- @tparam table vector a vector of this model
-- @tparam string name in messages
-- @treturn table a vector; no checkpoint has it
function Copies:of(vector, name)
  self.params.queue:commit()
  if #self.spare == 0 then
    collectgarbage()
  end
  local raw = table.remove(self.spare)
  local copy = raw and storage.new(self.params, name, code.F32, false, raw, raw.data)
    or self.make(name)
  return_when_collected(self, copy)
  copy.raw:copy(vector.raw)
  return copy
end

return M
