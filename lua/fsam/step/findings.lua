--- What a step's passes found, for reports: losses, hits and norms, over one group of samples or
-- several (--m-sharpness). Norms of several groups are averaged; they are scalars of the device
-- until `report` reads them.
local Findings = {}
Findings.__index = Findings

local M = {}

--- @tparam table ranks of the step (fsam.ranks)
function M.new(ranks)
  return setmetatable({ ranks = ranks }, Findings):clear()
end

--- Forgets everything: the passes so far do not count.
function Findings:clear()
  self.losses, self.correct, self.gnorms, self.enorms, self.explored = {}, nil, {}, {}, nil
  self.risen, self.risen_count, self.parts = 0, 0, 0
  self.alone = false
  return self
end

--- Adds a first pass: its result (fsam.pass.outputs) and its gradient's norm, a scalar.
-- @treturn table the norm, requested
function Findings:first(result, norm)
  self.alone = self.ranks.size > result.ranks.size
  self.gnorms[#self.gnorms + 1] = norm:request()
  if result.samples == 0 then
    return norm -- a rank alone may have no sample of a group
  end
  for _, loss in ipairs(result:losses()) do
    self.losses[#self.losses + 1] = loss
  end
  local correct = result:correct()
  self.correct = correct and correct + (self.correct or 0)
  self.parts = self.parts + 1
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

-- What ranks found alone becomes what they found together: a collective. A number that is not
-- finite stays so.
local function together(self, found)
  local sums = self.ranks:sum_numbers({ self.risen, self.risen_count, found.correct or 0,
    #self.losses > 0 and not found.correct and 1 or 0, self.parts, found.gnorm * #self.gnorms,
    found.enorm * #self.enorms })
  found.losses = self.ranks:gather(self.losses)
  found.loss, found.seen = mean(found.losses), #found.losses
  found.correct = sums[4] == 0 and sums[3] or nil
  found.perturbed = sums[2] > 0 and sums[1] / sums[2] or nil
  found.gnorm, found.enorm = sums[6] / sums[5], sums[7] / sums[5]
  return found
end

--- The findings as plain numbers, once the norms have been computed.
-- @tparam function finite fn(x, what) → x, or leaves the step
-- @treturn table loss (mean), losses, correct or nil, seen (samples), perturbed (mean loss of the
--   second passes) or nil, gnorm, enorm
function Findings:report(finite)
  if #self.enorms == 0 then
    self.enorms[1] = self.explored
  end
  local found = {
    loss = mean(self.losses), losses = self.losses, correct = self.correct, seen = #self.losses,
    perturbed = self.risen_count > 0 and self.risen / self.risen_count or nil,
    gnorm = read(self.gnorms), enorm = read(self.enorms),
  }
  if self.alone then
    found = together(self, found)
    finite(found.loss, "the loss")
    finite(found.perturbed or 0, "the loss at the perturbed point")
  end
  finite(found.gnorm, "the gradient's norm")
  return found
end

return M
