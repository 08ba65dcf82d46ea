--- bSAM (Möllenhoff & Khan 2023, alg. 1): SAM as a relaxation of Bayes, with a Gaussian of
-- precision N s around the weights; it replaces the base optimizer. With N training samples and
-- delta the weight decay,
--   g at w + n / sqrt(N s), n standard normal;  e = rho g / s from w;  d at w + e, clipped
--   m ← b1 m + (1 - b1) (d + delta w);  w ← w - lr m / s;
--   s ← b2 s + (1 - b2) (sqrt(s) |g| + damping + delta).
-- w moves by the old s, which is bsam_start before the first update.
local errors = require("fsam.errors")
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

local function precision(s)
  return s.t == 0 and s.bsam_start or s.s
end

local function samples(s)
  return s.bsam_samples or s.train_samples
    or errors.raise("bsam needs the number of training samples: --bsam-samples, or train_samples "
      .. "in optimizer:step")
end

sam.define("bsam", {
  options = {
    radius.option(0.01),
    { name = "bsam_betas", type = "list", of = "number", count = 2, default = { 0.9, 0.999 },
      min = 0, below = 1, metavar = "B1,B2", help = "bsam's decay of momentum and precision" },
    { name = "bsam_damping", type = "number", default = 0.1, above = 0,
      help = "added to bsam's precision" },
    { name = "bsam_start", type = "number", default = 1, above = 0,
      help = "bsam's first precision" },
    { name = "bsam_samples", type = "integer", min = 1, metavar = "N",
      help = "samples that bsam's noise stands for; default: the training set's" },
  },
  state = { "m", "s" },
  explore = function(s)
    return s:normal() * (precision(s) * samples(s)) ^ -0.5
  end,
  ascend = function(s)
    return s.g * s.rho / precision(s)
  end,
  update = function(s)
    local b1, b2, old = s.bsam_betas[1], s.bsam_betas[2], precision(s)
    local m = s.m:set(s.m * b1 + (s.d + s.w * s.weight_decay) * (1 - b1))
    local u = m / old * s.lr -- built before s is set, so with the old one
    s.s:set((s.g:abs() * old ^ 0.5 + s.weight_decay + s.bsam_damping) * (1 - b2) + old * b2)
    return u
  end,
})
