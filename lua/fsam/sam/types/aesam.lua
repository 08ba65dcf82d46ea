--- AE-SAM (Jiang et al. 2023, alg. 1): SAM where the gradient is large relative to its running
-- mean, else the base optimizer. With n = ‖g‖² and its running mean and variance,
--   mu ← delta mu + (1 - delta) n,  var ← delta var + (1 - delta) (n - mu)²,
-- a step has a second pass if n ≥ mu + c sqrt(var); c goes from lambda2 to lambda1 over the run.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

sam.define("aesam", {
  options = {
    radius.option(0.05),
    { name = "ae_delta", type = "number", default = 0.9, min = 0, below = 1,
      help = "aesam's decay of the mean and variance of the squared gradient norm" },
    { name = "ae_lambda1", type = "number", default = -1,
      help = "aesam's threshold at the end of the run, in standard deviations" },
    { name = "ae_lambda2", type = "number", default = 1,
      help = "aesam's threshold at its start" },
  },
  scalars = { "mu", "var" },
  every = function(s)
    local delta, n = s.ae_delta, s:read(s.g:dot(s.g))
    local mu = delta * s:read(s.mu) + (1 - delta) * n
    local var = delta * s:read(s.var) + (1 - delta) * (n - mu) ^ 2
    s.mu:set(mu)
    s.var:set(var)
    local c = s.ae_lambda2 + (s.ae_lambda1 - s.ae_lambda2) * s.progress
    return n >= mu + c * math.sqrt(var)
  end,
  ascend = function(s)
    return radius.along(s.g, s.rho)
  end,
})
