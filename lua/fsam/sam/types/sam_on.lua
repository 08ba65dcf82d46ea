--- SAM on normalisation layers only (Müller et al. 2023): e = rho · g / ‖g‖ over LayerNorm's
-- parameters, 0 elsewhere. They are few, so rho is larger than SAM's.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("sam-on", {
  options = {
    radius.option(0.5),
  },
  ascend = function(s)
    local g = s:each(function(parameter)
      return parameter.kind == "norm"
    end) * s.g
    return radius.along(g, s.rho)
  end,
})
