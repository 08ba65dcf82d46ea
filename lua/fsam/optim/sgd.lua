--- Stochastic gradient descent with momentum, in PyTorch's form: b = momentum · b + g; u = lr · b
-- (or lr · (g + momentum · b) with Nesterov's form). Weight decay is L2 unless --decay decoupled.
local optim = require("fsam.optim")

optim.define("sgd", {
  options = {
    { name = "momentum", type = "number", default = 0, min = 0, below = 1, help = "momentum" },
    { name = "nesterov", type = "flag", help = "Nesterov's form of momentum" },
    { name = "decay", type = "choice", choices = { "decoupled", "coupled" }, default = "coupled",
      help = "weight decay apart from the gradient, or added to it (L2)" },
  },
  state = { "momentum_buffer" },
  update = function(s)
    local coupled = s.decay == "coupled"
    local g = coupled and s.g + s.w * s.weight_decay or s.g
    local b = s.momentum_buffer:set(s.momentum_buffer * s.momentum + g)
    local u = (s.nesterov and g + b * s.momentum or b) * s.lr
    return coupled and u or u + s.w * (s.weight_decay * s.lr)
  end,
})
