--- The place of a list's largest value, the first of equals. Owns: that a list with a value that is
-- not a finite number has no largest one, so that broken logits are never taken for a class.

--- @tparam {number,…} list
-- @treturn ?integer from 1; nil where a value is not a finite number, or the list is empty
return function(list)
  local best
  for i = 1, #list do
    local value = list[i]
    if value - value ~= 0 then -- NaN, and for infinities NaN too
      return nil
    elseif not best or value > list[best] then
      best = i
    end
  end
  return best
end
