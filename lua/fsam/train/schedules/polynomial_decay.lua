--- A linear warm-up from 0, then a decay to --end-learning-rate at --total-num-update: the schedule
-- of fairseq's fine-tuning. With warm-up the first update has rate 0. Of several rates the second
-- is the first epoch's, as in fairseq. From --force-anneal on each epoch decays from the rate at
-- which it begins. Source: fairseq's polynomial_decay_schedule.py.
local C = require("fsam.C")
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

schedule.define("polynomial_decay", {
  several = true,
  options = { flags.warmup_updates, flags.end_learning_rate, flags.force_anneal,
    { name = "power", type = "number", default = 1, above = 0, help = "of polynomial_decay" } },
  begin = function(p, s)
    s.base = p.lr
    s.factor = p.warmup_updates > 0 and 1 / p.warmup_updates or 1
    s.lr = s.factor * s.base
  end,
  begin_epoch = function(p, s, epoch)
    local annealing = p.force_anneal and epoch >= p.force_anneal
    s.base = annealing and s.lr or p.rates[math.min(epoch + 1, #p.rates)]
    s.lr = s.factor * s.base
  end,
  rate = function(p, s, n)
    local warmup = p.warmup_updates
    if warmup > 0 and n <= warmup then
      s.factor = n / warmup
      return s.factor * s.base
    elseif n >= p.total then
      return p.end_learning_rate
    end
    local left = 1 - (n - warmup) / (p.total - warmup)
    return (s.base - p.end_learning_rate) * C.pow(left, p.power) + p.end_learning_rate
  end,
  ending = function(p)
    return p.end_learning_rate
  end,
})
