--- What a step found, for reports: losses, hits, norms and how many samples' gradients it took,
-- over one group of samples or several (--m-sharpness). Norms of several groups are averaged; they
-- are scalars of the device until the step has been measured. An observer (fsam.step.observe).
local observe = require("fsam.step.observe")

local Log = setmetatable({}, { __index = observe.NONE })
Log.__index = Log

local M = {}

-- Forgets the passes so far.
local function clear(self)
  self.losses, self.correct, self.gnorms, self.enorms, self.exploration = {}, nil, {}, {}, nil
  self.risen, self.risen_count = 0, 0
end

function M.new()
  local self = setmetatable({ evaluations = 0 }, Log)
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
  for _, loss in ipairs(result:losses()) do
    self.losses[#self.losses + 1] = loss
  end
  local correct = result:correct()
  self.correct = correct and correct + (self.correct or 0)
  self.gnorms[#self.gnorms + 1] = norm
end

Log.again = clear

function Log:ascended(_, masked)
  self.enorms[#self.enorms + 1] = masked and masked:norm():request()
end

function Log:second(result)
  local losses = result:losses()
  self.risen = self.risen + result:mean() * #losses
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

--- Adds loss (mean), losses, correct or nil, seen (samples), perturbed (mean loss of the second
-- passes) or nil, gnorm, enorm.
function Log:measured(info)
  info.loss, info.losses, info.correct, info.seen = mean(self.losses), self.losses, self.correct,
    #self.losses
  info.perturbed = self.risen_count > 0 and self.risen / self.risen_count or nil
  info.gnorm = read(self.gnorms)
  info.enorm = read(#self.enorms > 0 and self.enorms or { self.exploration })
end

return M
