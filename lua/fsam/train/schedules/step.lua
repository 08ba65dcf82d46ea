--- A linear warm-up, then the rate is multiplied by --lr-decay every --lr-decay-period updates, not
-- below --min-lr. Source: fairseq's step_lr_scheduler.py.
local C = require("fsam.C")
local errors = require("fsam.errors")
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

schedule.define("step", {
  options = { flags.warmup_updates, flags.warmup_init_lr, flags.min_lr,
    { name = "lr_decay_period", type = "integer", default = 25000, min = 1,
      alias = { "lr_deacy_period" }, -- fairseq's spelling
      help = "updates from one step down to the next" },
    { name = "lr_decay", type = "number", default = 0.5, above = 0, max = 1,
      help = "factor of a step down" } },
  begin = function(p)
    if p.min_lr >= p.lr then
      errors.raise("--min-lr %g must be below --lr %g", p.min_lr, p.lr)
    end
  end,
  rate = function(p, _, n)
    local warmup = p.warmup_updates
    if n < warmup then
      local first = p.warmup_init_lr < 0 and p.min_lr or p.warmup_init_lr
      return first + n * ((p.lr - first) / warmup)
    end
    local steps = math.floor((n - warmup) / p.lr_decay_period)
    return math.max(p.lr * C.pow(p.lr_decay, steps), p.min_lr)
  end,
  ending = function(p)
    return p.min_lr
  end,
})
