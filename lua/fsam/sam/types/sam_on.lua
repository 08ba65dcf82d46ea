--- SAM on normalisation layers only (Müller et al. 2023): e = rho · g / ‖g‖ over LayerNorm's
-- parameters, 0 elsewhere. They are few, so rho is larger than SAM's.
local sam = require("fsam.sam")

sam.define("sam-on", {
  options = {
    { name = "rho", type = "number", default = 0.5, min = 0, help = "radius of the perturbation" },
  },
  ascend = function(s)
    local g = s:each(function(parameter)
      return parameter.kind == "norm"
    end) * s.g
    return g * (s.rho / g:norm())
  end,
})
