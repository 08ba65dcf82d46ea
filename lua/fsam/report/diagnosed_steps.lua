--- The diagnosed steps of an epoch: sums of their numbers, averages, and the line that shows them.
--
-- Owns: sums by name, their form in trainer.json, and the line's words. Leaves to others: a
-- diagnosis itself (fsam.step.diagnosis). The noise scale is the ratio of two averages: that of a
-- single step is biased.

local format = require("fsam.base.numbers")

local M = {}

local Diagnosed = {}
Diagnosed.__index = Diagnosed

--- Nothing yet, or the sums that `state` gave.
-- @tparam[opt] table state
function M.new(state)
  return setmetatable({ sums = state and state.sums or {}, counts = state and state.counts or {} },
    Diagnosed)
end

--- Adds a step's diagnosis; leaves out numbers that are not finite.
-- @tparam table d name → number
function Diagnosed:add(d)
  for name, value in pairs(d) do
    if value == value and math.abs(value) < math.huge then
      self.sums[name] = (self.sums[name] or 0) + value
      self.counts[name] = (self.counts[name] or 0) + 1
    end
  end
end

--- Mean of each name, and the noise scale made of them.
-- @treturn ?table with `count`, the number of diagnosed steps; nil when there was none
function Diagnosed:averages()
  if not next(self.counts) then
    return nil
  end
  local means, most = {}, 0
  for name, sum in pairs(self.sums) do
    means[name] = sum / self.counts[name]
    most = math.max(most, self.counts[name])
  end
  local square = means.noise_square
  means.noise_scale = square and square > 0 and means.noise_trace / square or nil
  means.count = most
  return means
end

--- The sums as a plain table, for trainer.json.
function Diagnosed:state()
  return { sums = self.sums, counts = self.counts }
end

local function amount(x)
  return x < 1000 and ("%.3g"):format(x) or format.count(x)
end

local function percent(x)
  return ("%.3g %%"):format(100 * x)
end

-- The averages that the line shows, in its order: words, and how the number is written.
local PARTS = {
  { "rise", "loss %+.3g at w + e" },
  { "enorm", "‖e‖ %.3g" },
  { "cosine", "cos(g, g2) %.3f" },
  { "noise_scale", "noise scale %s", amount },
  { "mask_density", "mask %s", percent },
  { "mask_overlap", "overlap %s", percent },
}

--- The averages in one line.
-- @tparam table means of `averages`
function M.text(means)
  local parts = {}
  for _, part in ipairs(PARTS) do
    local value = means[part[1]]
    if value then
      parts[#parts + 1] = part[2]:format(part[3] and part[3](value) or value)
    end
  end
  parts[#parts + 1] = means.count == 1 and "1 step" or ("%d steps"):format(means.count)
  return table.concat(parts, "   ")
end

return M
