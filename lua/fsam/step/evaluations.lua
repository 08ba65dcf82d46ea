--- Counts the gradients that a step takes, in samples: what optimizers are compared by
-- (recipes/compare.lua). Passes of a mask policy count; passes that only look (`apart`) do not.
local M = {}

--- What fsam.step was given, with an `evaluate` that counts.
-- @tparam table o evaluate (fsam.pass), and anything else
-- @treturn table a copy of o; its `evaluations` is the count so far
function M.counting(o)
  local counted, evaluate = {}, o.evaluate
  for key, value in pairs(o) do
    counted[key] = value
  end
  counted.evaluations = 0
  function counted.evaluate(request)
    local result = evaluate(request)
    if request.backward and not request.apart then
      -- A pass of each rank alone has its part of the choice; together they have all of it.
      counted.evaluations = counted.evaluations
        + (request.alone and #request.choice or #result:losses())
    end
    return result
  end
  return counted
end

return M
