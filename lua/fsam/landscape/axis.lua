--- Ranges and round numbers for axes and levels; numbers that are not finite have no place on them.

local M = {}

--- Is x a finite number?
function M.is_finite(x)
  return x == x and math.abs(x) < math.huge
end

--- A range and about `count` steps of 1, 2 or 5 times a power of ten in it.
-- @tparam number low; @tparam number high
-- @treturn {number,…} the multiples of the step from low to high
-- @treturn string the format that writes them without needless digits
function M.ticks(low, high, count)
  local raw = math.max(high - low, 1e-12 * math.max(math.abs(low), math.abs(high), 1e-300)) / count
  local power = 10 ^ math.floor(math.log10(raw))
  local step = power
  for _, factor in ipairs({ 2, 5, 10 }) do
    if step < raw then
      step = factor * power
    end
  end
  local list = {}
  for k = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do
    list[#list + 1] = k * step + 0 -- no negative zero
  end
  local decimals = math.max(0, -math.floor(math.log10(step) + 1e-9))
  local plain = decimals <= 4 and math.max(math.abs(low), math.abs(high)) < 1e5
  return list, plain and ("%%.%df"):format(decimals) or "%.3g"
end

--- The smallest and the largest finite number of lists.
function M.range(lists)
  local low, high = math.huge, -math.huge
  for _, list in ipairs(lists) do
    for _, x in ipairs(list) do
      if M.is_finite(x) then
        low, high = math.min(low, x), math.max(high, x)
      end
    end
  end
  return low, high
end

return M
