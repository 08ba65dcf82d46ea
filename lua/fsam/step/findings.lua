--- What a step's passes found, for reports: losses, hits and norms, over one group of samples or
-- several (--m-sharpness). Norms of several groups are averaged; they are scalars of the device
-- until `report` reads them.
local Findings = {}
Findings.__index = Findings

local M = {}

function M.new()
  return setmetatable({}, Findings):clear()
end

--- Forgets everything: the passes so far do not count.
function Findings:clear()
  self.losses, self.correct, self.gnorms, self.enorms, self.explored = {}, nil, {}, {}, nil
  self.risen, self.risen_count = 0, 0
  return self
end

--- Adds a first pass: its result (fsam.pass.outputs) and its gradient's norm, a scalar.
-- @treturn table the norm, requested
function Findings:first(result, norm)
  for _, loss in ipairs(result:losses()) do
    self.losses[#self.losses + 1] = loss
  end
  local correct = result:correct()
  self.correct = correct and correct + (self.correct or 0)
  self.gnorms[#self.gnorms + 1] = norm:request()
  return norm
end

--- Adds an exploration's norm: that of the perturbation, in types that have no other.
function Findings:exploration(norm)
  self.explored = norm:request()
end

--- Adds a perturbation's norm.
-- @treturn table the norm, requested
function Findings:perturbation(norm)
  self.enorms[#self.enorms + 1] = norm:request()
  return norm
end

--- Adds a second pass.
function Findings:second(result)
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

--- The findings as plain numbers, once the norms have been computed.
-- @tparam function finite fn(x, what) → x, or leaves the step
-- @treturn table loss (mean), losses, correct or nil, seen (samples), perturbed (mean loss of the
--   second passes) or nil, gnorm, enorm
function Findings:report(finite)
  if #self.enorms == 0 then
    self.enorms[1] = self.explored
  end
  return {
    loss = mean(self.losses), losses = self.losses, correct = self.correct, seen = #self.losses,
    perturbed = self.risen_count > 0 and self.risen / self.risen_count or nil,
    gnorm = finite(read(self.gnorms), "the gradient's norm"), enorm = read(self.enorms),
  }
end

return M
