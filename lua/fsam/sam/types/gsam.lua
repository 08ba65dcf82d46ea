--- GSAM (Zhuang et al. 2022): besides descending along g2, the gradient at the perturbed point, it
-- climbs down the surrogate gap with what g has orthogonal to g2 (their alg. 1), one projection for
-- the whole model:
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
