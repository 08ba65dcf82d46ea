--- Learning rates over time: a schedule is a function from the number of updates done to a rate.
--
-- Owns: the formulas. Leaves to others: how many updates are planned (progress.lua), the flags
-- (flags.lua). The step number n counts from 0, so with warm-up the first update has rate 0 where
-- the formula says so (polynomial_decay does, as in fairseq).
--
-- Sources: fairseq's lr_scheduler folder; Transformers' get_{linear,constant}_schedule_with_warmup.

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

-- Each is built from p = { lr, warmup, total, ending, power } and gives fn(n) → lr.
local SCHEDULES = {}

local function warmed(p, n)
  return p.lr * n / p.warmup
end

function SCHEDULES.polynomial_decay(p)
  return function(n)
    if p.warmup > 0 and n <= p.warmup then
      return warmed(p, n)
    elseif n >= p.total then
      return p.ending
    end
    local left = 1 - (n - p.warmup) / (p.total - p.warmup)
    return (p.lr - p.ending) * left ^ p.power + p.ending
  end
end

-- Transformers' name for the same with power 1. The values are equal but for a plan that is all
-- warm-up: Transformers' has ended at `total`, fairseq's is at the peak there.
function SCHEDULES.linear(p)
  local rate = SCHEDULES.polynomial_decay({
    lr = p.lr, warmup = p.warmup, total = p.total, ending = p.ending, power = 1,
  })
  return function(n)
    return n >= p.total and p.ending or rate(n)
  end
end

-- Half a cosine from lr to the end rate, which is then kept (fairseq would start another period).
function SCHEDULES.cosine(p)
  return function(n)
    if p.warmup > 0 and n < p.warmup then
      return p.ending + (p.lr - p.ending) * n / p.warmup
    elseif n >= p.total then
      return p.ending
    end
    local done = (n - p.warmup) / (p.total - p.warmup)
    return p.ending + 0.5 * (p.lr - p.ending) * (1 + math.cos(math.pi * done))
  end
end

function SCHEDULES.inverse_sqrt(p)
  return function(n)
    if n < p.warmup then
      return warmed(p, n)
    end
    return p.lr * math.sqrt(math.max(p.warmup, 1)) / math.sqrt(math.max(n, 1))
  end
end

-- fairseq's: the warm-up starts at lr/warmup, not at 0.
function SCHEDULES.fixed(p)
  return function(n)
    return n < p.warmup and p.lr * (n + 1) / p.warmup or p.lr
  end
end

-- Transformers': the warm-up starts at 0.
function SCHEDULES.constant(p)
  return function(n)
    return n < p.warmup and warmed(p, n) or p.lr
  end
end

--- The names, sorted.
-- @treturn {string,…}
function M.names()
  return registry.sorted(SCHEDULES)
end

--- Makes a schedule.
-- @tparam string name one of names()
-- @tparam table options lr, total_num_update, warmup_updates, end_learning_rate (0), power (1)
-- @treturn function fn(n) → the rate of the update with n updates before it
-- @raise for an unknown name, or a warm-up longer than the plan
function M.new(name, options)
  if not SCHEDULES[name] then
    errors.unknown("--lr-scheduler", name, M.names())
  end
  local p = {
    lr = options.lr, total = options.total_num_update, warmup = options.warmup_updates,
    ending = options.end_learning_rate or 0, power = options.power or 1,
  }
  if p.warmup > p.total then
    errors.raise("--warmup-updates %d is more than the %d updates that are planned; lower it or "
      .. "raise --total-num-update", p.warmup, p.total)
  end
  return SCHEDULES[name](p)
end

local optional, whole = arguments.optional, schema.integer(0)
arguments.guard("fsam.schedule", M, {
  names = {},
  new = { arguments.arg("name", schema.string), arguments.fields({ lr = schema.number(),
    total_num_update = whole, warmup_updates = whole, end_learning_rate = optional(schema.number()),
    power = optional(schema.number()) }) },
})

return M
