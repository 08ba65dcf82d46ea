--- Friendly SAM (Li et al. 2024, alg. 1): the ascent subtracts what all batches share, an average m
-- of past gradients, and follows this batch's own noise,
--   d = g - sigma m,  e = rho d / ‖d‖,  m ← lambda m + (1 - lambda) g.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("friendly", {
  options = {
    radius.option(0.05),
    { name = "sigma", type = "number", default = 1, min = 0,
      help = "friendly's share of the average gradient that is left out" },
    { name = "lambda", type = "number", default = 0.9, min = 0, below = 1,
      help = "friendly's decay of the average gradient" },
  },
  state = { "m" },
  ascend = function(s)
    local d = s.g - s.m * s.sigma
    s.m:set(s.m * s.lambda + s.g * (1 - s.lambda))
    return radius.along(d, s.rho)
  end,
})
