--- A linear warm-up from --init-lr-scale · lr, the rate held, then an exponential decay to
-- --final-lr-scale · lr, which stays. The stages' lengths are updates, or with --phase-ratio shares
-- of the plan. Source: fairseq's tri_stage_lr_scheduler.py (Park et al. 2019).
local errors = require("fsam.errors")
local schedule = require("fsam.train.schedule")

-- Updates of the three stages.
local function stages(p)
  local share = p.phase_ratio
  if share then
    return math.floor(p.total * share[1]), math.floor(p.total * share[2]),
      math.floor(p.total * share[3])
  end
  return p.warmup_steps, p.hold_steps, p.decay_steps
end

local function steps(name, help)
  return { name = name, type = "integer", default = 0, min = 0, help = help }
end

schedule.define("tri_stage", {
  options = {
    steps("warmup_steps", "tri_stage's updates of warm-up"),
    steps("hold_steps", "tri_stage's updates at --lr"),
    steps("decay_steps", "tri_stage's updates of decay"),
    { name = "phase_ratio", type = "list", of = "number", count = 3, min = 0, max = 1,
      metavar = "A,B,C", help = "the three as shares of the updates, which add up to 1" },
    { name = "init_lr_scale", type = "number", default = 0.01, min = 0,
      help = "tri_stage's first rate, as a multiple of --lr" },
    { name = "final_lr_scale", type = "number", default = 0.01, above = 0,
      help = "tri_stage's last rate, as a multiple of --lr" },
  },
  begin = function(p)
    local share = p.phase_ratio
    if share and math.abs(share[1] + share[2] + share[3] - 1) > 1e-6 then
      errors.raise("--phase-ratio %g,%g,%g does not add up to 1", unpack(share))
    end
    local _, _, decay = stages(p)
    if decay < 1 then
      errors.raise("--lr-scheduler tri_stage needs updates of decay: --decay-steps, or "
        .. "--phase-ratio")
    end
  end,
  rate = function(p, _, n)
    local warmup, hold, decay = stages(p)
    local first, last = p.init_lr_scale * p.lr, p.final_lr_scale * p.lr
    if n < warmup then
      return first + (p.lr - first) / warmup * n
    elseif n < warmup + hold then
      return p.lr
    elseif n <= warmup + hold + decay then
      return p.lr * math.exp(-(-math.log(p.final_lr_scale) / decay) * (n - warmup - hold))
    end
    return last
  end,
  ending = function(p)
    return p.final_lr_scale * p.lr
  end,
})
