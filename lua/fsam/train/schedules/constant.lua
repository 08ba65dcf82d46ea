--- A linear warm-up from 0, then the rate unchanged. Source: Transformers'
-- get_constant_schedule_with_warmup; fairseq's `fixed` warms up from lr / warmup.
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

schedule.define("constant", {
  options = { flags.warmup_updates },
  rate = function(p, _, n)
    return n < p.warmup_updates and p.lr * (n / p.warmup_updates) or p.lr
  end,
  ending = function(p)
    return p.lr
  end,
})
