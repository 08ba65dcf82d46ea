--- WSAM (Yue et al. 2023, alg. 1): sharpness as a weighted regulariser, apart from the base
-- optimizer. The base steps along g; beside it w loses lr · gamma / (1 - gamma) · (g2 - g).
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("wsam", {
  options = {
    radius.option(0.05),
    { name = "sharpness_weight", type = "number", default = 0.9, min = 0, below = 1,
      help = "wsam's gamma: 0 is the base optimizer, 0.5 is sam for plain sgd" },
  },
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
  descend = function(s)
    return s.g
  end,
  after = function(s)
    local weight = s.lr * s.sharpness_weight / (1 - s.sharpness_weight)
    s.w:set(s.w - (s.g2 - s.g) * weight)
  end,
})
