--- Layer-wise decay of the learning rate (Clark et al. 2020; Bao et al. 2022): each layer's change
-- of w is multiplied by X^(L - layer), where L is the head's number. The head moves at the full
-- rate, the last layer at X, the embeddings (layer -1) at X^(L + 1).
local M = {}

--- The factors, one per parameter.
-- @tparam table params sealed parameters
-- @tparam number decay X
-- @treturn ?table a row; nil when all factors are 1
function M.row(params, decay)
  if decay == 1 then
    return nil
  end
  local head = -math.huge
  for _, parameter in ipairs(params.parameters) do
    head = math.max(head, parameter.layer)
  end
  return params:each(function(parameter)
    return decay ^ (head - parameter.layer)
  end)
end

--- The weights after an update, each change scaled by its factor.
-- @tparam table row from row()
-- @param before w as an expression, before the step
-- @param now w after sets that joined the update (the same when there were none)
-- @param u what the optimizer subtracts
function M.apply(row, before, now, u)
  if rawequal(before, now) then
    return before - u * row
  end
  return before - (before - now + u) * row
end

return M
