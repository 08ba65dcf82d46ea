--- Statistics of few numbers: mean, standard deviation, median, and two paired tests.
--
-- Sources: Student's t distribution for whole degrees of freedom, Abramowitz & Stegun (1964) 26.7.3
-- and 26.7.4; the signed-rank test, Wilcoxon (1945), with midranks for ties and without zeros, its
-- distribution counted in full.
local M = {}

--- The arithmetic mean; nil for an empty list.
function M.mean(list)
  local sum = 0
  for _, x in ipairs(list) do
    sum = sum + x
  end
  return #list > 0 and sum / #list or nil
end

--- The sample's standard deviation (n - 1); nil for fewer than two numbers.
function M.deviation(list)
  if #list < 2 then
    return nil
  end
  local mean, sum = M.mean(list), 0
  for _, x in ipairs(list) do
    sum = sum + (x - mean) ^ 2
  end
  return math.sqrt(sum / (#list - 1))
end

--- The median; nil for an empty list.
function M.median(list)
  local sorted = {}
  for i, x in ipairs(list) do
    sorted[i] = x
  end
  table.sort(sorted)
  local middle = (#sorted + 1) / 2
  return #sorted > 0 and (sorted[math.floor(middle)] + sorted[math.ceil(middle)]) / 2 or nil
end

--- P(|T| > |t|) of Student's t with `df` degrees of freedom.
function M.student(t, df)
  local theta = math.atan(math.abs(t) / math.sqrt(df))
  local c2, sin = math.cos(theta) ^ 2, math.sin(theta)
  -- A(t|df), the probability between -t and t, is a series in powers of cos².
  local term, sum = 1, 0
  local odd = df % 2 == 1
  for k = odd and 3 or 2, df - 1, 2 do
    sum = sum + term
    term = term * c2 * (k - 1) / k
  end
  sum = sum + term
  if not odd then
    return 1 - sin * sum
  elseif df == 1 then
    return 1 - 2 * theta / math.pi
  end
  return 1 - 2 / math.pi * (theta + sin * math.cos(theta) * sum)
end

--- The paired t-test.
-- @tparam {number,…} differences one per pair
-- @treturn ?number p, two-sided; nil of fewer than two pairs, or when all differences are equal and
--   not 0 (then nothing measures the noise)
-- @treturn ?number t
function M.paired_t(differences)
  local n, sd = #differences, M.deviation(differences)
  if not sd then
    return nil
  end
  local mean = M.mean(differences)
  if sd == 0 then
    return mean == 0 and 1 or nil, mean == 0 and 0 or nil
  end
  local t = mean / (sd / math.sqrt(n))
  return M.student(t, n - 1), t
end

-- Twice the ranks of |x|, ties sharing the mean of theirs, so that all are whole.
local function doubled_ranks(list)
  local order, ranks = {}, {}
  for i = 1, #list do
    order[i] = i
  end
  table.sort(order, function(a, b)
    return math.abs(list[a]) < math.abs(list[b])
  end)
  local first = 1
  while first <= #order do
    local last = first
    while last < #order and math.abs(list[order[last + 1]]) == math.abs(list[order[first]]) do
      last = last + 1
    end
    for i = first, last do
      ranks[order[i]] = first + last
    end
    first = last + 1
  end
  return ranks
end

-- Of all 2^n ways to give signs to the ranks: counts[s] of them have the positive ones sum to s.
local function sign_sums(ranks)
  local counts, most = { [0] = 1 }, 0
  for _, rank in ipairs(ranks) do
    most = most + rank
    for s = most, rank, -1 do
      counts[s] = (counts[s] or 0) + (counts[s - rank] or 0)
    end
  end
  return counts, most
end

--- Wilcoxon's signed-rank test, exact.
-- @tparam {number,…} differences one per pair; zeros are left out
-- @treturn ?number p, two-sided; nil when no difference is left
-- @treturn ?number the sum of the positive ranks
function M.wilcoxon(differences)
  local list, positive = {}, 0
  for _, x in ipairs(differences) do
    list[#list + 1] = x ~= 0 and x or nil
  end
  if #list == 0 then
    return nil
  end
  local ranks = doubled_ranks(list)
  for i, x in ipairs(list) do
    positive = positive + (x > 0 and ranks[i] or 0)
  end
  local counts, most = sign_sums(ranks)
  local below, tail = math.min(positive, most - positive), 0
  for s = 0, below do
    tail = tail + (counts[s] or 0)
  end
  return math.min(1, 2 * tail / 2 ^ #list), positive / 2
end

return M
