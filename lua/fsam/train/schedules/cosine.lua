--- Half a cosine from lr to --min-lr in each period; the next period is --t-mult times as long and
-- its rates are multiplied by --lr-shrink. Without --lr-period-updates one period fills the plan.
-- The warm-up begins at --warmup-init-lr, or --min-lr. Source: fairseq's cosine_lr_scheduler.py.
local C = require("fsam.C")
local errors = require("fsam.errors")
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

local function lowest(p)
  return math.min(p.min_lr, p.lr)
end

-- The number of the period that an update after the warm-up is in, from 0; its length; and the
-- updates of it that are done.
local function period(p, done)
  local first = p.lr_period_updates or p.total - p.warmup_updates
  if p.t_mult == 1 then
    local i = math.floor(done / first)
    return i, first, done - first * i
  end
  local i = math.floor(math.log(1 - done / first * (1 - p.t_mult)) / math.log(p.t_mult))
  local grown = C.pow(p.t_mult, i)
  return i, grown * first, done - (1 - grown) / (1 - p.t_mult) * first
end

schedule.define("cosine", {
  options = { flags.warmup_updates, flags.warmup_init_lr, flags.min_lr, flags.lr_shrink,
    flags.lr_period_updates,
    { name = "t_mult", type = "number", default = 1, min = 1,
      help = "factor from one period's length to the next" } },
  begin = function(p)
    if not p.lr_period_updates and p.total <= p.warmup_updates then
      errors.raise("--lr-scheduler cosine has no updates after its warm-up of %d; lower "
        .. "--warmup-updates, or give --lr-period-updates", p.warmup_updates)
    end
  end,
  rate = function(p, _, n)
    local low, warmup = lowest(p), p.warmup_updates
    if n < warmup then
      local first = p.warmup_init_lr < 0 and low or p.warmup_init_lr
      return first + n * ((p.lr - first) / warmup)
    end
    local i, length, done = period(p, n - warmup)
    local shrink = C.pow(p.lr_shrink, i)
    local from, to = p.lr * shrink, low * shrink
    return to + 0.5 * (from - to) * (1 + math.cos(math.pi * done / length))
  end,
  ending = lowest,
})
