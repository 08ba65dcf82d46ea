--- How well scores follow labels that are numbers: Pearson's and Spearman's correlations.
--
-- Owns: the formulas. Each takes the results of a validation (data/metrics.lua): scores and labels.
local M = {}

local NAN = 0 / 0

local function mean(list)
  local sum = 0
  for i = 1, #list do
    sum = sum + list[i]
  end
  return sum / #list
end

-- The values times a power of two, the largest then between 1/2 and 1 in size. Nothing is rounded.
local function scaled(values)
  local largest = 0
  for _, value in ipairs(values) do
    largest = math.max(largest, math.abs(value))
  end
  local _, exponent = math.frexp(largest)
  local list = {}
  for i, value in ipairs(values) do
    list[i] = math.ldexp(value, -exponent)
  end
  return list
end

-- Deviations from the mean in a unit in which no square is lost, however small or large the spread
-- is; all 0 where the values do not vary.
local function deviations(values)
  local list = scaled(values)
  local first = list[1]
  for i = 1, #list do
    list[i] = list[i] - first
  end
  list = scaled(list)
  local middle = mean(list)
  for i = 1, #list do
    list[i] = list[i] - middle
  end
  return list
end

-- Is one of the values infinite or not a number?
local function unbounded(values)
  for _, value in ipairs(values) do
    if value - value ~= 0 then
      return true
    end
  end
  return false
end

-- 0 where a list does not vary; not a number where a value is infinite or none.
local function correlation(a, b)
  if unbounded(a) or unbounded(b) then
    return NAN
  end
  local das, dbs = deviations(a), deviations(b)
  local ab, aa, bb = 0, 0, 0
  for i = 1, #das do
    local da, db = das[i], dbs[i]
    ab, aa, bb = ab + da * db, aa + da * da, bb + db * db
  end
  return aa * bb == 0 and 0 or ab / math.sqrt(aa * bb)
end

-- Is one of the values not a number? Then they have no order.
local function unordered(values)
  for _, value in ipairs(values) do
    if value ~= value then
      return true
    end
  end
  return false
end

-- Ranks from 1; equal values share the mean of their ranks.
local function ranks(values)
  local order, rank = {}, {}
  for i = 1, #values do
    order[i] = i
  end
  table.sort(order, function(i, j)
    return values[i] < values[j]
  end)
  local i = 1
  while i <= #order do
    local j = i
    while j < #order and values[order[j + 1]] == values[order[i]] do
      j = j + 1
    end
    for k = i, j do
      rank[order[k]] = (i + j) / 2
    end
    i = j + 1
  end
  return rank
end

--- Pearson's.
function M.pearson(r)
  return correlation(r.scores, r.labels)
end

--- Spearman's: Pearson's of the ranks.
function M.spearman(r)
  if unordered(r.scores) or unordered(r.labels) then
    return NAN
  end
  return correlation(ranks(r.scores), ranks(r.labels))
end

return M
