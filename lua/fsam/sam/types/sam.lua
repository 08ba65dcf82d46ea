--- SAM: e = rho · g / ‖g‖ (Foret et al. 2021, eq. 2, p = 2).
local sam = require("fsam.sam")

sam.define("sam", {
  options = {
    { name = "rho", type = "number", default = 0.05, min = 0, help = "radius of the perturbation" },
    { name = "norm_eps", type = "number", default = 0, min = 0,
      help = "added to the gradient's norm before dividing by it" },
  },
  ascend = function(s)
    return s.g * (s.rho / (s.g:norm() + s.norm_eps))
  end,
})
