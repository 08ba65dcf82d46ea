--- A linear warm-up, then lr · sqrt(warmup / n). Source: fairseq's inverse_square_root_schedule.py,
-- which has no answer without warm-up; here that counts as one update of it.
local C = require("fsam.C")
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

schedule.define("inverse_sqrt", {
  options = { flags.warmup_updates, flags.warmup_init_lr },
  rate = function(p, _, n)
    local warmup = p.warmup_updates
    if n < warmup then
      local first = p.warmup_init_lr < 0 and 0 or p.warmup_init_lr
      return first + n * ((p.lr - first) / warmup)
    end
    return p.lr * C.pow(math.max(warmup, 1), 0.5) * C.pow(math.max(n, 1), -0.5)
  end,
})
