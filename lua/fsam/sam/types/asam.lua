--- ASAM (Kwon et al. 2021, eq. 5): the perturbation is measured in units of each weight,
--   e = rho T² g / ‖T g‖,  T = |w| + eta on matrices, 1 elsewhere.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")
local vector = require("fsam.vector")

sam.define("asam", {
  options = {
    radius.option(0.5),
    { name = "eta", type = "number", default = 0.01, min = 0, help = "asam's floor of |w|" },
  },
  ascend = function(s)
    local matrix = s:each(function(parameter)
      return #parameter.shape > 1
    end)
    local t = vector.where(matrix, s.w:abs() + s.eta, 1)
    return t * t * s.g * (s.rho / (t * s.g):norm())
  end,
})
