--- Made-up sentences as long as CoLA's, for the measurements here. Owns: their lengths and ids.
-- Leaves to others: what is done with them.
local packing = require("fsam.data.packing")

local M = {}

-- Tokens of 32 sentences: between 5 and 24, 11.4 on average, as in CoLA.
local LENGTHS = { 9, 12, 7, 14, 10, 8, 17, 11, 6, 13, 9, 24, 10, 8, 12, 15, 7, 11, 9, 19, 10, 13, 5,
  12, 8, 16, 11, 9, 14, 10, 7, 19 }

local function sentence(i)
  local ids = { 0 }
  for k = 2, LENGTHS[i % #LENGTHS + 1] do
    ids[k] = 5 + (i * 7919 + k * 104729) % 40000
  end
  return { ids = ids, label = i % 2 }
end

--- The sentences first + 1 … first + count as a host batch.
-- @tparam table model with RoBERTa's vocabulary and two labels
-- @tparam integer ordinal of the first
function M.pack(model, first, count, ordinal)
  local list = {}
  for i = 1, count do
    list[i] = sentence(first + i)
  end
  return packing.pack(list, { pad_id = model.pad_id, position_offset = model.position_offset,
    first_ordinal = ordinal })
end

return M
