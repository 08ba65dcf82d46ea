--- From names and options to the pieces of an optimizer. Owns: which definitions a choice means,
-- giving each owner a complete table of its own options, and the checks that need several owners.
-- Leaves to others: the declarations (their owners), reading a command line (fsam.options), the
-- step itself (fsam.step).
local choice = require("fsam.step.choice")
local compat = require("fsam.step.compat")
local errors = require("fsam.errors")
local groups = require("fsam.step.groups")
local masking = require("fsam.step.masking")
local new_values = require("fsam.step.new_values")
local optim = require("fsam.optim")
local options = require("fsam.options")
local policies = require("fsam.mask")
local registry = require("fsam.base.registry")
local sam = require("fsam.sam")
local schema = require("fsam.base.schema")
local step_options = require("fsam.step.options")
local view = require("fsam.step.view")

local M = {}

-- The type of an optimizer that no sam-type wraps: one pass and nothing else.
local PLAIN = { name = "plain", passes = 1, options = {} }

-- The definitions that a choice means; raises where a name is unknown.
local function definitions(o)
  local chosen = options.complete(choice, o)
  for _, declared in ipairs(choice) do
    chosen[declared.name] = (declared.same or {})[chosen[declared.name]] or chosen[declared.name]
  end
  local wraps = chosen.optimizer == "sam"
  local base = optim.get(wraps and chosen.base_optimizer or chosen.optimizer)
  return base, wraps and sam.get(chosen.sam_type) or PLAIN, chosen.seed
end

-- Each owner's complete options: the base's, the type's, the mask's, the step's and those that
-- imitate the released code.
local function settle(base, t, values)
  return {
    base = options.complete(base.options, values),
    type = options.complete(compat.widened(t), values),
    mask = t.masked and options.complete(policies.options, values) or nil,
    step = options.complete(step_options, values),
    compat = options.complete(compat.switches, values),
  }
end

-- Raises unless these definitions and options go together. A plain optimizer does not read the
-- options of ascents, so nothing about them can be wrong.
local function check(base, t, settings)
  if t ~= PLAIN then
    groups.check(t, settings.step, settings.mask)
  end
  if t.masked then
    policies.check(policies.get(settings.mask.fisher), base, t)
  end
end

--- Raises unless an optimizer, its sam-type and the options go together.
-- @tparam table o optimizer, base_optimizer, sam_type
-- @tparam table values name → value
function M.check(o, values)
  local base, t = definitions(o)
  check(base, t, settle(base, t, values))
end

--- The pieces of an optimizer.
-- @tparam table o what the caller gave to `build` of fsam.step
-- @treturn table params, seed; base, type: definitions; s, base_s: views of the step for the type
--   and for the base; masking (fsam.step.masking); settings, the step's own options; compat
--   (fsam.step.compat)
function M.prepare(o)
  local base, t, seed = definitions(o)
  local settings = settle(base, t, o.options or {})
  check(base, t, settings)
  -- A base that the type replaces keeps no state.
  local base_s = view.new({ params = o.params, spec = t.update and { name = base.name } or base,
    prefix = base.name .. ".", options = settings.base, declared = base.options, seed = seed })
  local s = view.new({ params = o.params, spec = t, prefix = "sam.", options = settings.type,
    declared = t.options, seed = seed })
  local origin = o.options and o.options.origin
  local masks = t.masked and masking.new({ params = o.params, options = settings.mask, seed = seed,
    sampler = o.sampler, exclude_implied = origin and origin.mask_exclude ~= "command line" })
    or masking.NONE
  local extreme = new_values.always(base, t, settings)
  return { params = o.params, seed = seed, extreme = extreme, base = base, base_s = base_s, s = s,
    settings = settings.step, type = compat.type(t, settings.compat),
    masking = compat.masking(masks, settings.compat),
    compat = compat.new(settings.step, settings.compat) }
end

--- The shape of `options` (fsam.base.schema): names that some owner declares, whichever is chosen.
-- A table that a command line gave has more than that, and is let through.
function M.options_shape(value, place)
  if type(value) ~= "table" then
    return ("%s is %s, expected a table"):format(place, schema.show(value))
  elseif type(value.spec) == "table" then
    return nil
  end
  local known = {}
  local function add(declarations)
    for _, d in ipairs(declarations) do
      known[d.name] = d
    end
  end
  for _, register in ipairs({ optim, sam }) do
    for _, one in ipairs(register.names()) do
      add(register.options(one))
    end
  end
  for _, list in ipairs({ policies.options, step_options, compat.switches, choice }) do
    add(list)
  end
  for key, given in pairs(value) do
    local d = known[key]
    local wanted = d and ((d.type == "number" or d.type == "integer") and "number"
      or d.type == "flag" and "boolean" or d.type == "list" and "table" or "string")
    if not d then
      return errors.unknown_text(("%s: the option"):format(place), schema.show(key):gsub('"', ""),
        registry.sorted(known))
    elseif type(given) ~= wanted then
      return ("%s.%s is %s, expected a %s"):format(place, key, schema.show(given), wanted)
    end
  end
end

return M
