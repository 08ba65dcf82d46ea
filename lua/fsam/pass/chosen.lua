--- The samples of a step that a pass is to see, of all that its micro-batches have. Owns: finding
-- them by their ordinals. Leaves to others: packing (fsam.data.packing), and which are chosen
-- (fsam.step.choice).
local arguments = require("fsam.base.arguments")
local packing = require("fsam.data.packing")

local choose_places = arguments.within(packing.choose)

local M = {}

--- The chosen samples of micro-batches, repacked.
-- @tparam {table,…} list host batches
-- @tparam {integer,…} choice ordinals of samples; those of other ranks are passed over
-- @treturn {table,…} host batches; one of which all samples are chosen is the same, and one without
--   any is left out
function M.samples(list, choice)
  local wanted, chosen = {}, {}
  for _, ordinal in ipairs(choice) do
    wanted[ordinal] = true
  end
  for _, host in ipairs(list) do
    local places = {}
    for place = 1, host.count do
      if wanted[host.ordinals[place - 1]] then
        places[#places + 1] = place
      end
    end
    if #places == host.count then
      chosen[#chosen + 1] = host
    elseif #places > 0 then
      chosen[#chosen + 1] = choose_places(host, places)
    end
  end
  return chosen
end

return M
