--- A rate for each epoch (--lr A,B,…; the last one stays), with a linear warm-up from lr / warmup.
-- From --force-anneal on the last rate is multiplied by --lr-shrink in each epoch. Source:
-- fairseq's fixed_schedule.py.
local C = require("fsam.C")
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

schedule.define("fixed", {
  several = true,
  options = { flags.warmup_updates, flags.force_anneal, flags.lr_shrink },
  begin = function(p, s)
    s.base = p.lr
  end,
  begin_epoch = function(p, s, epoch)
    local last = p.rates[#p.rates]
    if p.force_anneal and epoch >= p.force_anneal then
      s.base = last * C.pow(p.lr_shrink, epoch + 1 - p.force_anneal)
    else
      s.base = p.rates[epoch] or last
    end
  end,
  rate = function(p, s, n)
    if n < p.warmup_updates then
      return (n + 1) / p.warmup_updates * s.base
    end
    return s.base
  end,
  ending = function(p)
    return p.force_anneal and 0 or p.rates[#p.rates]
  end,
})
