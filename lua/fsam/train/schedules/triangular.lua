--- Lines from --lr up to --max-lr and back, again and again; each time the peak is multiplied by
-- --lr-shrink. Source: fairseq's triangular_lr_scheduler.py (Smith 2017).
local C = require("fsam.C")
local errors = require("fsam.errors")
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

local period = {}
for key, value in pairs(flags.lr_period_updates) do
  period[key] = value
end
period.default, period.min, period.above = 5000, 2, nil

schedule.define("triangular", {
  options = { flags.lr_shrink, period,
    { name = "max_lr", type = "number", above = 0,
      help = "peak of triangular; --lr is where it begins" },
    { name = "shrink_min", type = "flag", help = "triangular's lowest rate shrinks too" } },
  begin = function(p)
    if not p.max_lr or p.max_lr <= p.lr then
      errors.raise("--lr-scheduler triangular needs --max-lr, above --lr %g%s", p.lr,
        p.max_lr and (" (%g is not)"):format(p.max_lr) or "")
    end
  end,
  rate = function(p, _, n)
    local half = math.floor(p.lr_period_updates / 2)
    local cycle = math.floor(n / (2 * half))
    local shrink = C.pow(p.lr_shrink, cycle)
    local low = p.shrink_min and p.lr * shrink or p.lr
    local away = math.abs(n / half - 2 * (cycle + 1) + 1)
    return low + (p.max_lr * shrink - low) * math.max(0, 1 - away)
  end,
  peak = function(p)
    return p.max_lr
  end,
  ending = function(p)
    return p.lr
  end,
})
