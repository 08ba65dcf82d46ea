--- What every step reports: losses, hits, norms and how many samples' gradients it took, over one
-- group of samples or several (--m-sharpness). Norms of several groups are averaged. They stay
-- scalars on the device until the event "measured". An observer (fsam.step.observe).
local observe = require("fsam.step.observe")

local Log = setmetatable({}, { __index = observe.NONE })
Log.__index = Log

local M = {}

-- Forgets the passes so far.
local function clear(self)
  self.losses, self.correct, self.gnorms, self.enorms, self.exploration = {}, nil, {}, {}, nil
  self.risen, self.risen_count, self.parts, self.alone = 0, 0, 0, false
end

--- @tparam table ranks who make the step together (fsam.ranks)
function M.new(ranks)
  local self = setmetatable({ ranks = ranks, evaluations = 0 }, Log)
  clear(self)
  return self
end

--- `evaluations` is what optimizers are compared by (recipes/compare.lua): gradients, in samples,
-- those of mask policies included.
function Log:gradient(samples)
  self.evaluations = self.evaluations + samples
end

--- An exploration stands for the perturbation in types that have no other.
function Log:explored(x)
  self.exploration = x:norm():request()
end

function Log:first(result, norm)
  -- The result of a caller's own evaluate has no ranks: it counts as all ranks' together.
  self.alone = result.ranks ~= nil and result.ranks.size < self.ranks.size
  self.gnorms[#self.gnorms + 1] = norm
  if result.samples == 0 then
    return -- a rank alone may have no sample of a group
  end
  self.parts = self.parts + 1
  for _, loss in ipairs(result:losses()) do
    self.losses[#self.losses + 1] = loss
  end
  local correct = result:correct()
  self.correct = correct and correct + (self.correct or 0)
end

Log.again = clear

function Log:ascended(_, masked)
  self.enorms[#self.enorms + 1] = masked and masked:norm():request()
end

function Log:second(result)
  local losses = result:losses()
  for _, loss in ipairs(losses) do
    self.risen = self.risen + loss
  end
  self.risen_count = self.risen_count + #losses
end

local function mean(values)
  local sum = 0
  for _, value in ipairs(values) do
    sum = sum + value
  end
  return #values > 0 and sum / #values or 0
end

local function read(norms)
  local values = {}
  for i, norm in ipairs(norms) do
    values[i] = norm:read()
  end
  return mean(values)
end

-- What ranks found alone becomes what they found together: a collective.
local function together(self, info)
  local sums = self.ranks:sum_numbers({ self.risen, self.risen_count, info.correct or 0,
    #self.losses > 0 and not info.correct and 1 or 0, self.parts, info.gnorm * #self.gnorms,
    info.enorm * #self.enorms })
  info.losses = self.ranks:gather(self.losses)
  info.loss, info.seen = mean(info.losses), #info.losses
  info.perturbed = sums[2] > 0 and sums[1] / sums[2] or nil
  info.correct = sums[4] == 0 and sums[3] or nil
  info.gnorm, info.enorm = sums[6] / sums[5], sums[7] / sums[5]
end

--- Adds loss (mean), losses, correct or nil, seen (samples), perturbed (mean loss of the second
-- passes) or nil, gnorm, enorm.
function Log:measured(info)
  info.loss, info.losses, info.correct, info.seen = mean(self.losses), self.losses, self.correct,
    #self.losses
  info.perturbed = self.risen_count > 0 and self.risen / self.risen_count or nil
  info.gnorm = read(self.gnorms)
  info.enorm = read(#self.enorms > 0 and self.enorms or { self.exploration })
  if self.alone then
    together(self, info)
  end
end

return M
