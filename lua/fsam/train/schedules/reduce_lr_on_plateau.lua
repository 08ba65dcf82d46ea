--- A linear warm-up, then the rate is multiplied by --lr-shrink after every epoch whose validation
-- is no better, beyond --lr-patience such epochs. Better is by more than --lr-threshold of the best
-- value. Sources: fairseq's reduce_lr_on_plateau.py; PyTorch's ReduceLROnPlateau, which it uses.
local flags = require("fsam.train.schedules.flags")
local schedule = require("fsam.train.schedule")

local LEAST_CHANGE = 1e-8 -- a smaller one is not made, as in PyTorch

local function is_better(p, value, best)
  if not best then
    return true
  elseif p.maximize then
    return value > best * (1 + p.lr_threshold)
  end
  return value < best * (1 - p.lr_threshold)
end

schedule.define("reduce_lr_on_plateau", {
  options = { flags.warmup_updates, flags.warmup_init_lr, flags.lr_shrink,
    { name = "lr_patience", type = "integer", default = 0, min = 0,
      help = "epochs without a better score that reduce_lr_on_plateau lets pass" },
    { name = "lr_threshold", type = "number", default = 1e-4, min = 0,
      help = "share of the best score that a better one must exceed it by" } },
  begin = function(_, s)
    s.bad = 0 -- epochs without a better score; s.best stays nil until there is one
  end,
  rate = function(p, s, n)
    local warmup = p.warmup_updates
    if warmup > 0 and n <= warmup then
      local first = p.warmup_init_lr < 0 and 0 or p.warmup_init_lr
      return first + n * ((p.lr - first) / warmup)
    end
    s.warm = 1
    return s.lr
  end,
  end_epoch = function(p, s, value)
    if not value or not s.warm and p.warmup_updates > 0 then
      return
    elseif is_better(p, value, s.best) then
      s.best, s.bad = value, 0
    else
      s.bad = s.bad + 1
    end
    if s.bad > p.lr_patience then
      local lower = math.max(s.lr * p.lr_shrink, 0)
      s.lr, s.bad = s.lr - lower > LEAST_CHANGE and lower or s.lr, 0
    end
  end,
})
