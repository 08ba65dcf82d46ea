--- RST (Zhao et al. 2022): at random, a step is SAM's with probability sam_probability, else the
-- base optimizer's. The draw is keyed by seed and step.
local sam = require("fsam.sam")

sam.define("rst", {
  options = {
    { name = "rho", type = "number", default = 0.05, min = 0, help = "radius of the perturbation" },
    { name = "sam_probability", type = "number", default = 0.5, min = 0, max = 1,
      help = "rst's share of steps with a second pass" },
  },
  every = function(s)
    return s:random() < s.sam_probability
  end,
  ascend = function(s)
    return s.g * (s.rho / s.g:norm())
  end,
})
