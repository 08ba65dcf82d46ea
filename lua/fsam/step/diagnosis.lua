--- What a diagnosed step looks at besides training: the loss at w and at w + e, how the two
-- gradients agree, the noise of the gradient, the mask. It adds passes that write nothing the step
-- reads, and draws no random number, so a diagnosed step gives the same weights bit for bit. Owns
-- what is measured, and when within the step (fsam.step calls it); averages over an epoch are
-- report/diagnosed_steps.lua's.
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

local Diagnosis = {}
Diagnosis.__index = Diagnosis

local M = {}

local clock = C.lib.fsam_clock

--- @tparam table params; @tparam table s what a type sees (fsam.step.view), begun
function M.new(params, s)
  return setmetatable({ params = params, s = s, seconds = 0 }, Diagnosis)
end

-- A pass of its own: apart from the step's evaluations. The time it takes is part of what is told.
local function pass(self, request)
  local began = clock()
  request.apart = true
  local result = self.s.evaluate(request)
  local mean = result:mean()
  self.seconds = self.seconds + clock() - began
  return mean
end

-- Mean loss over the step's samples where c stands now, under the dropout of the other loss.
local function loss_here(self)
  return pass(self, { backward = false, draw = self.draw })
end

-- The same, from a pass of the step if it saw all samples under that dropout.
local function loss_of(self, result)
  local whole = result.samples == (self.s.N or result.samples)
  return whole and result.draw == self.draw and result:mean() or loss_here(self)
end

--- Before an exploration leaves w.
function Diagnosis:before_explore()
  self.draw = 0
  self.loss = loss_here(self)
end

--- The exploration; it stands for e in types that have no other.
function Diagnosis:explored(x)
  self.enorm = x:norm():request()
end

-- The spread of half the samples' gradient about g.
local function measure_noise(self, result, skip)
  local g, ordinals = self.params.g, result:ordinals()
  local n, half = #ordinals, {}
  for i = 1, math.floor(n / 2) do
    half[i] = ordinals[i]
  end
  if #half == 0 then
    return
  end
  local a = self.params:scratch("g2")
  pass(self, { into = a, backward = true, choice = half, skip = skip, draw = result.draw })
  self.n, self.h = n, #half
  self.spread, self.square = (a - g):dot(a - g):request(), g:dot(g):request()
end

--- After the first pass.
-- @tparam table result of it; @tparam ?table skip the parameters that it left out
function Diagnosis:first(result, skip)
  if self.loss then
    self.loss_at_e = loss_of(self, result)
  else
    self.draw = result.draw
    self.loss = loss_of(self, result)
  end
  measure_noise(self, result, skip)
end

--- The perturbation before it is masked.
function Diagnosis:unmasked(e)
  self.unmasked_norm = e:norm():request()
end

--- After the second pass, with g kept and c at w + e. s.g is what the type saw: it may be clipped,
-- or 0. `of`: how many samples s.g2 is a share of the mean over (nil: those of the pass).
function Diagnosis:second(result, enorm, of)
  local s = self.s
  local g2 = of and s.g2 * (of / result.samples) or s.g2
  self.enorm = enorm or self.enorm
  self.dot, self.seen = s.g:dot(g2):request(), s.g:norm():request()
  self.g2norm = g2:norm():request()
  self.loss_at_e = loss_of(self, result)
end

local function read(scalar)
  return scalar and scalar:read()
end

local function ratio(a, b)
  return a and b and b > 0 and a / b or nil
end

--- After the update: what was measured, as plain numbers (docs/sam-types.md says what each is);
-- what the step does not have is left out.
-- @tparam number gnorm; @tparam ?table masking (fsam.step.masking)
function Diagnosis:report(gnorm, masking)
  local d = { loss = self.loss, loss_at_e = self.loss_at_e, gnorm = gnorm,
    enorm = read(self.enorm), g2norm = read(self.g2norm), seconds = self.seconds }
  d.rise = self.loss_at_e and self.loss_at_e - self.loss
  d.cosine = ratio(read(self.dot), self.seen and read(self.seen) * d.g2norm)
  if self.spread then
    local n, h = self.n, self.h
    d.noise_trace = self.spread:read() * n * h / (n - h)
    d.noise_square = self.square:read() - d.noise_trace / n
    d.noise_scale = ratio(d.noise_trace, d.noise_square)
  end
  if masking then
    d.mask_density, d.mask_overlap = masking.mask:density(), masking.overlap
    d.mask_kept = ratio(d.enorm, read(self.unmasked_norm))
  end
  return d
end

return M
