--- LookSAM (Liu et al. 2022, alg. 1): a second pass on every k-th step only. There it keeps the
-- part of g2 that is orthogonal to g, v = g2 - g (g2·g) / (g·g). In between it adds that direction
-- again at g's scale,
--   d = g + alpha v ‖g‖ / ‖v‖.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("looksam", {
  options = {
    radius.option(0.05),
    { name = "k", type = "integer", default = 5, min = 1,
      help = "steps from one second pass to the next" },
    { name = "look_alpha", type = "number", default = 0.7, min = 0,
      help = "looksam's weight of the kept direction" },
  },
  state = { "v" },
  every = function(s)
    return s.step % s.k == 0
  end,
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
  descend = function(s)
    if s.g2 then
      s.v:set(s.g2 - s.g * (s.g2:dot(s.g) / s.g:dot(s.g)))
      return s.g2
    end
    return s.g + s.v * (s.look_alpha * s.g:norm() / s.v:norm())
  end,
})
