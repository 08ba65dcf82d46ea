--- Stable SAM (Tan et al. 2024): the second gradient at the first one's length, d = g2 ‖g‖ / ‖g2‖.
-- Perturbing changes a step's direction, not its length.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("stable", {
  options = {
    radius.option(0.05),
  },
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
  descend = function(s)
    return s.g2 * (s.g:norm() / s.g2:norm())
  end,
})
