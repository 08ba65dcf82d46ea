--- Stable SAM (Tan et al. 2024): the second gradient at the first one's length, d = g2 ‖g‖ / ‖g2‖,
-- so that perturbing changes where a step goes and not how far.
local sam = require("fsam.sam")

sam.define("stable", {
  options = {
    { name = "rho", type = "number", default = 0.05, min = 0, help = "radius of the perturbation" },
  },
  ascend = function(s)
    return s.g * (s.rho / s.g:norm())
  end,
  descend = function(s)
    return s.g2 * (s.g:norm() / s.g2:norm())
  end,
})
