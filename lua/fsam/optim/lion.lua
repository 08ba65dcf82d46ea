--- Lion (Chen et al. 2023, alg. 2): the sign of a momentum, decoupled weight decay; learning rates
-- are 3 to 10 times smaller than Adam's.
--   u = lr (sign(b1 m + (1 - b1) g) + weight_decay w);  m ← b2 m + (1 - b2) g
local optim = require("fsam.optim")

optim.define("lion", {
  options = {
    { name = "lion_betas", type = "list", of = "number", count = 2, default = { 0.9, 0.99 },
      min = 0, below = 1, metavar = "B1,B2",
      help = "lion's weight of the momentum in an update, and its decay" },
  },
  state = { "exp_avg" },
  update = function(s)
    local b1, b2 = s.lion_betas[1], s.lion_betas[2]
    local u = (s.exp_avg * b1 + s.g * (1 - b1)):sign()
    s.exp_avg:set(s.exp_avg * b2 + s.g * (1 - b2))
    return u * s.lr + s.w * (s.weight_decay * s.lr)
  end,
})
