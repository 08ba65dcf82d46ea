--- GSAM (Zhuang et al. 2022, alg. 1): it descends along g2, the gradient at the perturbed point,
-- and lowers the surrogate gap by the part of g that is orthogonal to g2. One projection for the
-- whole model:
--   d = g2 - alpha (g - g2 (g·g2) / (g2·g2))
-- rho is proportional to the learning rate, between rho and rho_min (fsam.sam.radius).
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("gsam", {
  options = {
    radius.option(0.05),
    radius.schedule_option("proportional"),
    radius.minimum_option(nil),
    { name = "alpha", type = "number", default = 0.4, min = 0,
      help = "gsam's weight of the orthogonal part" },
  },

  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,

  descend = function(s)
    local along = s.g:dot(s.g2) / s.g2:dot(s.g2)
    return s.g2 - (s.g - s.g2 * along) * s.alpha
  end,
})
