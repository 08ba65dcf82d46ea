--- RST (Zhao et al. 2022): at random, a step is SAM's with probability sam_probability, else the
-- base optimizer's. The draw is keyed by seed and step.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("rst", {
  options = {
    radius.option(0.05),
    { name = "sam_probability", type = "number", default = 0.5, min = 0, max = 1,
      help = "rst's share of steps with a second pass" },
  },
  every = function(s)
    return s:random() < s.sam_probability
  end,
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
})
