--- Building an optimizer from names and options. Owns: which definitions a choice means, which
-- options each of them owns, giving each owner a complete table of its own, and the checks that
-- need all of them. Leaves to others: the declarations (their owners), reading a command line
-- (fsam.options), the step itself (fsam.step).
local choice = require("fsam.step.choice")
local compat = require("fsam.step.compat")
local groups = require("fsam.step.groups")
local masking = require("fsam.step.masking")
local optim = require("fsam.optim")
local options = require("fsam.options")
local policies = require("fsam.mask")
local sam = require("fsam.sam")
local step_options = require("fsam.step.options")
local view = require("fsam.step.view")

local M = {}

-- Of an optimizer without a sam-type: one pass and nothing else.
local PLAIN = { name = "plain", passes = 1, options = {} }

--- The declarations that a sam-type reads, with those of all ascents, of masks for a fisher- form,
-- and the switches that imitate the released code.
-- @tparam string name
-- @treturn {table,…} declarations
function M.type_options(name)
  local list, t = {}, sam.get(name)
  local function add(declarations)
    for _, declared in ipairs(declarations) do
      list[#list + 1] = declared
    end
  end
  add(compat.widened(t))
  for _, declared in ipairs(step_options) do
    list[#list + 1] = declared.only == "sam" and declared or nil
  end
  if t.masked then
    add(policies.options)
    add(compat.of_masks)
  end
  return list
end

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

-- Each owner's options, complete: of the base, the type, the mask, the step, the imitation.
local function settle(base, t, values)
  return {
    base = options.complete(base.options, values),
    type = options.complete(t.options, values),
    mask = t.masked and options.complete(policies.options, values) or nil,
    step = options.complete(step_options, values),
    compat = options.complete(compat.switches, values),
  }
end

-- The options of ascents have no effect on a plain optimizer.
local function check(base, t, settings)
  if t ~= PLAIN then
    groups.check(t, settings.step, settings.mask)
  end
  if t.masked then
    policies.check(policies.get(settings.mask.fisher), base, t)
  end
end

--- Raises unless a choice of optimizer goes with the options: before any work.
-- @tparam table o optimizer, base_optimizer, sam_type
-- @tparam table values name → value
function M.check(o, values)
  local base, t = definitions(o)
  check(base, t, settle(base, t, values))
end

--- What fsam.step.new is made of.
-- @tparam table o as fsam.step.build has it
-- @treturn table params, seed; base, type: definitions; s, base_s: their views; masking, settings
--   (the step's), compat (fsam.step.compat)
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
  return { params = o.params, seed = seed, base = base, base_s = base_s, s = s,
    settings = settings.step, type = compat.type(t, settings.compat),
    masking = compat.masking(masks, settings.compat),
    compat = compat.new(settings.step, settings.compat) }
end

return M
