--- SAM: e = rho · g / ‖g‖ (Foret et al. 2021, eq. 2, p = 2).
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("sam", {
  options = { radius.option(0.05) },
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
})
