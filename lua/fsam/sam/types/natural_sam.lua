--- FisherSAM of Kim et al. (ICML 2022), named natural-sam here, since fisher-X is X with a mask:
-- the ball is measured by the Fisher information F, so the ascent follows the natural gradient,
--   e = rho F⁻¹g / sqrt(g · F⁻¹g),
-- with their diagonal, damped F = 1 + eta g² of the batch's mean gradient. eta = 0 is sam.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("natural-sam", {
  options = {
    radius.option(0.1),
    { name = "natural_eta", type = "number", default = 1, min = 0,
      help = "natural-sam's weight of the Fisher information" },
  },
  ascend = function(s)
    local natural = s.g / (s.g * s.g * s.natural_eta + 1)
    return natural * (s.rho / s.g:dot(natural):sqrt())
  end,
})
