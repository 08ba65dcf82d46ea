--- Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019), in two forms
-- that differ in where eps stands:
--   fairseq  u = lr sqrt(1 - b2^t) / (1 - b1^t) · m / (sqrt(v) + eps)
--   torch    u = lr / (1 - b1^t) · m / (sqrt(v) / sqrt(1 - b2^t) + eps)
-- --decay coupled adds weight_decay · w to the gradient instead (L2).
local optim = require("fsam.optim")

optim.define("adam", {
  options = {
    { name = "adam_betas", type = "list", of = "number", count = 2, default = { 0.9, 0.98 },
      min = 0, below = 1, metavar = "B1,B2", help = "decay of the two moments" },
    { name = "adam_eps", type = "number", default = 1e-6, above = 0, help = "added to sqrt(v)" },
    { name = "adam_form", type = "choice", choices = { "fairseq", "torch" }, default = "fairseq",
      help = "eps before the bias correction (fairseq) or after it (torch)" },
    { name = "decay", type = "choice", choices = { "decoupled", "coupled" }, default = "decoupled",
      help = "weight decay apart from the gradient, or added to it (L2)" },
  },
  state = { "exp_avg", "exp_avg_sq" },
  update = function(s)
    local b1, b2, t = s.adam_betas[1], s.adam_betas[2], s.t + 1
    local g = s.decay == "coupled" and s.g + s.w * s.weight_decay or s.g
    local m = s.exp_avg:set(s.exp_avg * b1 + g * (1 - b1))
    local v = s.exp_avg_sq:set(s.exp_avg_sq * b2 + g * g * (1 - b2))
    local c1, c2 = 1 - b1 ^ t, math.sqrt(1 - b2 ^ t)
    local u
    if s.adam_form == "fairseq" then
      u = m / (v:sqrt() + s.adam_eps) * (s.lr * c2 / c1)
    else
      u = m / (v:sqrt() / c2 + s.adam_eps) * (s.lr / c1)
    end
    if s.decay == "coupled" then
      return u
    end
    return u + s.w * (s.weight_decay * s.lr)
  end,
})
