--- SAM on every k-th step, the base optimizer in between (the `interval` of MosaicML Composer's
-- SAM).
local sam = require("fsam.sam")

sam.define("sam-k", {
  options = {
    { name = "rho", type = "number", default = 0.05, min = 0, help = "radius of the perturbation" },
    { name = "k", type = "integer", default = 5, min = 1,
      help = "steps from one second pass to the next" },
  },
  every = function(s)
    return s.step % s.k == 0
  end,
  ascend = function(s)
    return s.g * (s.rho / s.g:norm())
  end,
})
