--- A linear warm-up from 0, then a line to --end-learning-rate: Transformers' name for
-- polynomial_decay of power 1. The values are equal but for a plan that is all warm-up:
-- Transformers' has ended at --total-num-update, fairseq's is at the peak there. Source:
-- Transformers' get_linear_schedule_with_warmup.
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

schedule.define("linear", {
  options = { flags.warmup_updates, flags.end_learning_rate },
  rate = function(p, _, n)
    local warmup, ending = p.warmup_updates, p.end_learning_rate
    if n >= p.total then
      return ending
    elseif n <= warmup and warmup > 0 then
      return n / warmup * p.lr
    end
    return (p.lr - ending) * (1 - (n - warmup) / (p.total - warmup)) + ending
  end,
  ending = function(p)
    return p.end_learning_rate
  end,
})
