--- SAM on every k-th step, the base optimizer in between (the `interval` of MosaicML Composer's
-- SAM).
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("sam-k", {
  options = {
    radius.option(0.05),
    { name = "k", type = "integer", default = 5, min = 1,
      help = "steps from one second pass to the next" },
  },
  every = function(s)
    return s.step % s.k == 0
  end,
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
})
