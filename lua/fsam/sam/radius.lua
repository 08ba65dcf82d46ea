--- The radius rho of every type that has one: its declaration, a perturbation of that length, and
-- rho over time.
--   constant      rho
--   proportional  rho_min + (rho - rho_min) (lr - lr_end) / (lr_peak - lr_end)   (Zhuang et al.
--                 2022)
--   linear        rho_min + (rho - rho_min) (1 - progress)
--   cosine        rho_min + (rho - rho_min) (1 + cos(pi progress)) / 2
-- Owns --rho, --rho-schedule and --rho-min. A type that wants another default declares the option
-- itself. Its part `schedule` finds the result in s.rho and may return another.
local errors = require("fsam.errors")

require("fsam.base.source_line").own()

local M = {}

-- Each gives the share of the way from rho_min to rho that is left.
local SHARES = {}

function SHARES.constant()
  return 1
end

-- A learning rate below lr_end, early in its warm-up, counts as lr_end.
function SHARES.proportional(s)
  local span = s.lr_peak - s.lr_end
  return span > 0 and math.max(0, math.min((s.lr - s.lr_end) / span, 1)) or 1
end

function SHARES.linear(s)
  return 1 - s.progress
end

function SHARES.cosine(s)
  return (1 + math.cos(math.pi * s.progress)) / 2
end

local NAMES = { "constant", "proportional", "linear", "cosine" }

--- The declaration of --rho.
-- @tparam number default
function M.option(default)
  return { name = "rho", type = "number", default = default, min = 0,
    help = "radius of the perturbation" }
end

--- The vector of length rho along d: rho d / ‖d‖ (Foret et al. 2021, eq. 2), 0 where d is 0.
function M.along(d, rho)
  return d * (rho / d:norm())
end

--- The declaration of --rho-schedule.
function M.schedule_option(default)
  return { name = "rho_schedule", type = "choice", choices = NAMES, default = default,
    help = "rho over time, from --rho down to --rho-min; proportional: to the learning rate" }
end

--- The declaration of --rho-min. Without a default it equals --rho.
function M.minimum_option(default)
  return { name = "rho_min", type = "number", default = default, min = 0,
    help = "end of --rho-schedule; none: --rho" }
end

local function find(options, name)
  for place, declared in ipairs(options) do
    if declared.name == name then
      return declared, place
    end
  end
end

--- Adds the schedule's options to those of a type that has a rho, behind it.
-- @tparam {table,…} options declarations; changed
function M.complete(options)
  local _, place = find(options, "rho")
  if not place then
    return options
  end
  for _, declared in ipairs({ M.minimum_option(0), M.schedule_option("constant") }) do
    if not find(options, declared.name) then
      table.insert(options, place + 1, declared)
    end
  end
  return options
end

--- rho of a step.
-- @tparam table options the type's, complete
-- @tparam table now lr, lr_peak, lr_end, progress
-- @treturn ?number nil for a type without rho
function M.at(options, now)
  if not options.rho_schedule then
    return options.rho
  end
  local rho, share = options.rho, SHARES[options.rho_schedule](now)
  local low = options.rho_min or rho
  return share == 1 and rho or low + (rho - low) * share
end

--- Checks the options against each other, before anything is loaded.
-- @tparam {table,…} declared the type's options
-- @tparam table o values, with `given`
-- @treturn ?string a remark
function M.check(declared, o)
  if not find(declared, "rho_schedule") then
    return nil
  elseif o.rho_schedule == "constant" then
    return o.given.rho_min and "--rho-min has no effect with --rho-schedule constant" or nil
  elseif o.rho and o.rho_min and o.rho_min > o.rho then
    errors.raise("--rho-min %g is above --rho %g, from which --rho-schedule %s comes down",
      o.rho_min, o.rho, o.rho_schedule)
  end
  return nil
end

--- "rho 0.05", or "rho 0.05 to 0.01 (cosine)".
function M.describe(o)
  local low = o.rho_min or o.rho
  if o.rho_schedule == "constant" or low == o.rho then
    return ("rho %g"):format(o.rho)
  end
  return ("rho %g to %g (%s)"):format(o.rho, low, o.rho_schedule)
end

return M
