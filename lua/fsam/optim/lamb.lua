--- LAMB (You et al. 2020, alg. 2, with φ(z) = z), for large batches: Adam's direction, scaled in
-- each tensor to the length of its weights.
--   r = m̂ / (sqrt(v̂) + eps) + weight_decay w;  u = lr r ‖w‖ / ‖r‖ of each tensor
-- The ratio is 1 where one of the norms is 0.
local optim = require("fsam.optim")
local vector = require("fsam.vector")

optim.define("lamb", {
  options = {
    { name = "adam_betas", type = "list", of = "number", count = 2, default = { 0.9, 0.999 },
      min = 0, below = 1, metavar = "B1,B2", help = "decay of the two moments" },
    { name = "adam_eps", type = "number", default = 1e-6, above = 0, help = "added to sqrt(v)" },
  },
  state = { "exp_avg", "exp_avg_sq" },
  update = function(s)
    local b1, b2, t = s.adam_betas[1], s.adam_betas[2], s.t + 1
    local m = s.exp_avg:set(s.exp_avg * b1 + s.g * (1 - b1))
    local v = s.exp_avg_sq:set(s.exp_avg_sq * b2 + s.g * s.g * (1 - b2))
    local r = m / (1 - b1 ^ t) / ((v / (1 - b2 ^ t)):sqrt() + s.adam_eps) + s.w * s.weight_decay
    local of_w, of_r = s.w:per("tensor"):norm(), r:per("tensor"):norm()
    return r * vector.where(of_w:gt(0) * of_r:gt(0), of_w / of_r, 1) * s.lr
  end,
})
