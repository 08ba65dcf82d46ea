--- What a diagnosed step measures besides training: the loss at w and at w + e, how the two
-- gradients agree, the noise of the gradient, the mask. It adds passes that write nothing the step
-- reads, and draws no random number, so a diagnosed step gives the same weights bit for bit. It
-- keeps what it needs in a vector of its own. An observer (fsam.step.observe). Owns: what is
-- measured. Leaves to others: averages over an epoch (report/diagnosed_steps.lua).
--
-- Both losses are means over all samples of the step under one dropout. The passes of the step
-- serve where they can; a forward pass is added at w where the first pass was elsewhere (explore)
-- or saw fewer samples, and at w + e where the second pass chose samples or drew other dropout.
-- With --m-sharpness the loss at w + e has each sample at its own group's w + e, and norms and
-- cosines are means over the groups. The noise is that of the first group's samples.
--
-- Noise: the simple noise scale tr(Σ) / |G|² (McCandlish et al. 2018, app. A.1), Σ the covariance
-- of a sample's gradient, G the true gradient. From the step's mean gradient g over n samples and
-- the squares of the single samples' gradients g_b, whose pass is all that is added:
--   tr(Σ) ≈ Σ_b |g_b - g|² / (n - 1) = (Σ_b |g_b|² - n |g|²) / (n - 1)
--   |G|²  ≈ |g|² - tr(Σ) / n
-- These are their estimators for batches of 1 and n. Where no pass gives these squares (weights
-- that are read several times), with the mean gradient a over the first h = floor(n / 2):
--   tr(Σ) ≈ |a - b|² / (1/h + 1/(n - h)) = |a - g|² n h / (n - h)      b: mean over the others
-- For equal halves that is their estimator for batches of n/2 and n. Each is unbiased, their ratio
-- is not: average the two over many steps before dividing.
local C = require("fsam.C")
local Pass = require("fsam.pass")
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
    kept = params:scratch("diagnosis"), seconds = 0, dots = {}, seen = {}, g2norms = {},
    enorms = {}, unmasked = {}, risen = 0, risen_of = 0 }, Diagnosis)
end

-- A pass of its own; the report says how long they took.
local function pass(self, request)
  local began = clock()
  local mean = self.evaluate(request):mean()
  self.seconds = self.seconds + clock() - began
  return mean
end

-- Mean loss where c stands now, under the dropout of the other loss; over the step's samples, or
-- those of a choice.
local function loss_here(self, choice)
  return pass(self, { backward = false, draw = self.draw, choice = choice })
end

-- The same, from a pass of the step if it saw all samples (of its group) under that dropout.
local function loss_of(self, result, in_group)
  if result.draw == self.draw and (in_group or result.samples == self.s.N) then
    return result:mean()
  end
  return loss_here(self, in_group and result:ordinals())
end

--- An exploration stands for e in types that have no other.
function Diagnosis:explored(x)
  if self.loss then
    return -- of a group before
  end
  self.draw = 0
  self.loss = loss_here(self)
  self.exploration = x:norm():request()
end

-- Σ_b |g_b|², from a pass over the samples of another; nil where there is none.
local function sum_of_squares(self, ordinals, skip, draw)
  local began = clock()
  local result = Pass.can_square(self.evaluate) and self.evaluate({ into = self.kept,
    backward = true, squares = true, choice = ordinals, skip = skip, draw = draw })
  self.seconds = self.seconds + clock() - began
  return result and self.kept:sum():request() or nil
end

-- Σ_b |g_b|² or |a - g|², and |g|², for the noise.
local function measure_noise(self, result, skip)
  local g, ordinals = self.params.g, result:ordinals()
  local n, half = #ordinals, {}
  for i = 1, math.floor(n / 2) do
    half[i] = ordinals[i]
  end
  if #half == 0 then
    return
  end
  self.n, self.square = n, g:dot(g):request()
  self.squares = sum_of_squares(self, ordinals, skip, result.draw)
  if self.squares then
    return
  end
  local a = self.kept
  pass(self, { into = a, backward = true, choice = half, skip = skip, draw = result.draw })
  self.h, self.spread = #half, (a - g):dot(a - g):request()
end

function Diagnosis:first(result, _, skip)
  if self.over or self.began then
    return
  end
  self.began = true
  if self.loss then
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
    self.unmasked[#self.unmasked + 1] = self.masking.mask and e:norm():request()
    self.enorms[#self.enorms + 1] = masked:norm():request()
  end
end

--- Here c is at w + e. A group adds its share of a mean over `mean_over` samples to s.g2; scaled
-- up, the share is the group's own mean.
function Diagnosis:second(result, mean_over)
  if self.over then
    return
  end
  local g, g2, n = self.kept, self.s.g2, #self.dots + 1
  if mean_over then
    local before = self.params:scratch("diagnosis_groups")
    local share = n > 1 and g2 - before or g2
    before:set(g2)
    g2 = share * (mean_over / result.samples)
  end
  self.dots[n], self.seen[n] = g:dot(g2):request(), g:norm():request()
  self.g2norms[n] = g2:norm():request()
  local loss = loss_of(self, result, mean_over)
  self.risen = self.risen + loss * result.samples
  self.risen_of = self.risen_of + result.samples
  self.loss_at_e = mean_over and self.risen / self.risen_of or loss -- x n / n may not be x
  self.over = not mean_over or self.risen_of >= mean_over
end

local function numbers(scalars)
  local list = {}
  for i, scalar in ipairs(scalars) do
    list[i] = scalar:read()
  end
  return list
end

-- The mean of fn(i) over a list; nil where there is none.
local function mean(list, fn)
  local sum = 0
  for i = 1, #list do
    local value = fn(i)
    if not value then
      return nil
    end
    sum = sum + value
  end
  return #list > 0 and sum / #list or nil
end

local function ratio(a, b)
  return a and b and b > 0 and a / b or nil
end

-- tr(Σ) of the noise, as the head of this file has it; nil where nothing was measured.
local function trace_of(self, d)
  local n, h = self.n, self.h
  if self.squares then
    local squares = self.squares:read()
    d.sample_gnorm = math.sqrt(squares / n)
    return (squares - n * self.square:read()) / (n - 1)
  end
  return self.spread and self.spread:read() * n * h / (n - h)
end

--- Adds `diagnosis`: what was measured, as plain numbers (docs/sam-types.md explains each). Leaves
-- out what the step does not have.
function Diagnosis:measured(info)
  local enorms, g2norms = numbers(self.enorms), numbers(self.g2norms)
  local dots, seen, unmasked = numbers(self.dots), numbers(self.seen), numbers(self.unmasked)
  local d = { loss = self.loss, loss_at_e = self.loss_at_e, gnorm = info.gnorm,
    enorm = mean(enorms, function(i)
      return enorms[i]
    end) or self.exploration and self.exploration:read(),
    g2norm = mean(g2norms, function(i)
      return g2norms[i]
    end), seconds = self.seconds }
  d.rise = self.loss_at_e and self.loss_at_e - self.loss
  d.cosine = mean(dots, function(i)
    return ratio(dots[i], seen[i] * g2norms[i])
  end)
  d.noise_trace = trace_of(self, d)
  if d.noise_trace then
    d.noise_square = self.square:read() - d.noise_trace / self.n
    d.noise_scale = ratio(d.noise_trace, d.noise_square)
  end
  if self.masking.mask then
    d.mask_density, d.mask_overlap = self.masking.mask:density(), self.masking.overlap
    d.mask_kept = mean(unmasked, function(i)
      return ratio(enorms[i], unmasked[i])
    end)
  end
  info.diagnosis = d
end

return M
