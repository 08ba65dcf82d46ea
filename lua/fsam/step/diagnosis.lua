--- What a diagnosed step measures besides training: the loss at w and at w + e, how the two
-- gradients agree, the noise of the gradient, the mask. It adds passes that write nothing the step
-- reads, and draws no random number, so a diagnosed step gives the same weights bit for bit. It
-- keeps what it needs in a vector of its own. An observer (fsam.step.observe). Owns: what is
-- measured. Leaves to others: averages over an epoch (report/diagnosed_steps.lua).
--
-- Both losses are means over all samples of the step under one dropout. The passes of the step
-- serve where they can; a forward pass is added at w where the first pass was elsewhere (explore)
-- or saw fewer samples, and at w + e where the second pass chose samples or drew other dropout.
-- With --m-sharpness, gradients and e are those of the first group.
--
-- Noise: the simple noise scale tr(Σ) / |G|² (McCandlish et al. 2018, app. A.1), Σ the covariance
-- of a sample's gradient, G the true gradient. From the step's mean gradient g over n samples and
-- the mean gradient a over the first h = floor(n / 2) of them, whose pass is all that is added:
--   tr(Σ) ≈ |a - b|² / (1/h + 1/(n - h)) = |a - g|² n h / (n - h)      b: mean over the others
--   |G|²  ≈ |g|² - tr(Σ) / n
-- For equal halves these are their estimators for batches of n/2 and n. Each is unbiased, their
-- ratio is not: average the two over many steps before dividing.
local C = require("fsam.C")
local observe = require("fsam.step.observe")

local Diagnosis = setmetatable({}, { __index = observe.NONE })
Diagnosis.__index = Diagnosis

local M = {}

local clock = C.lib.fsam_clock

--- @tparam table params
-- @tparam table s what a type sees (fsam.step.view)
-- @tparam table masking fsam.step.masking
-- @tparam function evaluate as fsam.step has it: passes that the step does not count
function M.new(params, s, masking, evaluate)
  return setmetatable({ params = params, s = s, masking = masking, evaluate = evaluate,
    kept = params:scratch("diagnosis"), seconds = 0 }, Diagnosis)
end

-- A pass of its own; the report says how long they took.
local function pass(self, request)
  local began = clock()
  local mean = self.evaluate(request):mean()
  self.seconds = self.seconds + clock() - began
  return mean
end

-- Mean loss over the step's samples where c stands now, under the dropout of the other loss.
local function loss_here(self)
  return pass(self, { backward = false, draw = self.draw })
end

-- The same, from a pass of the step if it saw all samples under that dropout.
local function loss_of(self, result)
  local whole = result.samples == self.s.N
  return whole and result.draw == self.draw and result:mean() or loss_here(self)
end

--- An exploration stands for e in types that have no other.
function Diagnosis:explored(x)
  self.draw = 0
  self.loss = loss_here(self)
  self.enorm = x:norm():request()
end

-- |a - g|² and |g|², for the noise.
local function measure_noise(self, result, skip)
  local g, ordinals = self.params.g, result:ordinals()
  local n, half = #ordinals, {}
  for i = 1, math.floor(n / 2) do
    half[i] = ordinals[i]
  end
  if #half == 0 then
    return
  end
  local a = self.kept
  pass(self, { into = a, backward = true, choice = half, skip = skip, draw = result.draw })
  self.n, self.h = n, #half
  self.spread, self.square = (a - g):dot(a - g):request(), g:dot(g):request()
end

function Diagnosis:first(result, _, skip)
  if self.over then
    return
  elseif self.loss then
    self.loss_at_e = loss_of(self, result)
  else
    self.draw = result.draw
    self.loss = loss_of(self, result)
  end
  measure_noise(self, result, skip)
end

function Diagnosis:again()
  self.over = true
end

--- Keeps g as the type sees it, clipped or 0: pass 2 may overwrite it.
function Diagnosis:ascended(e, masked)
  if self.over then
    return
  end
  self.kept:set(self.s.g)
  if e then
    self.unmasked_norm = self.masking.mask and e:norm():request()
    self.enorm = masked:norm():request()
  end
end

--- Here c is at w + e. A group's s.g2 is its share of a mean over `of` samples; scaled up, it is
-- the group's own mean.
function Diagnosis:second(result, mean_over)
  if self.over then
    return
  end
  local g, g2 = self.kept, self.s.g2
  g2 = mean_over and g2 * (mean_over / result.samples) or g2
  self.dot, self.seen = g:dot(g2):request(), g:norm():request()
  self.g2norm = g2:norm():request()
  self.loss_at_e = loss_of(self, result)
  self.over = true
end

local function read(scalar)
  return scalar and scalar:read()
end

local function ratio(a, b)
  return a and b and b > 0 and a / b or nil
end

--- Adds `diagnosis`: what was measured, as plain numbers (docs/sam-types.md explains each). Leaves
-- out what the step does not have.
function Diagnosis:measured(info)
  local d = { loss = self.loss, loss_at_e = self.loss_at_e, gnorm = info.gnorm,
    enorm = read(self.enorm), g2norm = read(self.g2norm), seconds = self.seconds }
  d.rise = self.loss_at_e and self.loss_at_e - self.loss
  d.cosine = ratio(read(self.dot), self.seen and read(self.seen) * d.g2norm)
  if self.spread then
    local n, h = self.n, self.h
    d.noise_trace = self.spread:read() * n * h / (n - h)
    d.noise_square = self.square:read() - d.noise_trace / n
    d.noise_scale = ratio(d.noise_trace, d.noise_square)
  end
  if self.masking.mask then
    d.mask_density, d.mask_overlap = self.masking.mask:density(), self.masking.overlap
    d.mask_kept = ratio(d.enorm, read(self.unmasked_norm))
  end
  info.diagnosis = d
end

return M
