--- Flags that belong to base optimizers, sam-types, masks, the steps of sam-types and schedules of
-- the learning rate, gathered from their definitions.
--
-- Owns: making one flag of a name that several declare (rho), whose --help shows the default that
-- most have and then the owners of another; which definitions a command uses. Leaves to others: the
-- declarations (their owners), the value that each gets (options/resolve.lua).

local compat = require("fsam.step.compat")
local errors = require("fsam.errors")
local options = require("fsam.options")
local schedule = require("fsam.train.schedule")
local step_options = require("fsam.step.options")
local values = require("fsam.options.values")

local M = {}

-- d as a flag of its own, without owners yet.
local function new_flag(d)
  local flag = { declared = {}, owners = {}, defaults = {}, masked = {} }
  for key, value in pairs(d) do
    flag[key] = value
  end
  return flag
end

-- A range that not all owners have is not the flag's: each owner checks its own
-- (options/resolve.lua).
local function widen(flag, d)
  for _, bound in ipairs({ "min", "max", "above", "below" }) do
    if flag[bound] ~= d[bound] then
      flag[bound] = nil
    end
  end
end

-- The owner whose default most owners have, the first of equals.
local function commonest(flag)
  local count, best = {}, nil
  for _, owner in ipairs(flag.owners) do
    local text = values.show(flag, flag.defaults[owner])
    count[text] = (count[text] or 0) + 1
  end
  for _, owner in ipairs(flag.owners) do
    local n = count[values.show(flag, flag.defaults[owner])]
    if not best or n > count[values.show(flag, flag.defaults[best])] then
      best = owner
    end
  end
  return best
end

-- Help names the owners whose default differs from most owners'. A fisher- form has its plain
-- type's and is not named.
local function describe(flag)
  local differ = {}
  flag.default = flag.defaults[commonest(flag)]
  for _, owner in ipairs(flag.owners) do
    local text = values.show(flag, flag.defaults[owner])
    if text ~= values.show(flag, flag.default) and not flag.masked[owner] then
      differ[#differ + 1] = owner .. " " .. (text == "" and "none" or text)
    end
  end
  if #differ > 0 then
    flag.help = ("%s [%s]"):format(flag.help or "", table.concat(differ, ", "))
  end
end

-- Each: role, name, declarations, group of --help (or nil) and, of a sam-type, is it a fisher-
-- form? In the order of --help. What every masked type shares is one definition, and so is what
-- every step of a sam-type shares.
local function definitions()
  local optim, sam = require("fsam.optim"), require("fsam.sam")
  local list = {}
  for _, name in ipairs(optim.names()) do
    list[#list + 1] = { "base", name, optim.options(name), "Optimizer" }
  end
  for _, name in ipairs(sam.names()) do
    local t = sam.get(name)
    list[#list + 1] = { "sam", name, compat.widened(t), "Sharpness (--optimizer sam)", t.masked }
  end
  list[#list + 1] = { "step", "sam", M.step_options(true) }
  list[#list + 1] = { "mask", "mask", require("fsam.mask").options, "Masks" }
  list[#list + 1] = { "mask", "mask", compat.of_masks }
  return list
end

local function schedules()
  local list = {}
  for _, name in ipairs(schedule.names()) do
    list[#list + 1] = { "schedule", name, schedule.get(name).options }
  end
  return list
end

--- The step's own options: those of every step, or those of steps with a sam-type.
-- @tparam boolean sharp
-- @treturn {table,…} declarations
function M.step_options(sharp)
  local list = {}
  for _, d in ipairs(step_options) do
    if (d.only == "sam") == sharp then
      list[#list + 1] = d
    end
  end
  return list
end

-- One flag of each name that definitions declare.
local function gather(list, taken)
  local flags, by_name = {}, {}
  for _, definition in ipairs(list) do
    local role, name, declarations, group, masked = unpack(definition, 1, 5)
    for _, d in ipairs(options.declare(declarations or {}, { group = group })) do
      local flag = by_name[d.name]
      if taken[d.name] then
        errors.raise("%s: its option %s would be %s, which every run has; choose another name",
          masked and name:gsub("^fisher%-", "") or name, d.name, options.flag(d.name))
      elseif not flag then
        flag = new_flag(d)
        by_name[d.name], flags[#flags + 1] = flag, flag
      end
      widen(flag, d)
      flag.declared[role] = flag.declared[role] or {}
      flag.declared[role][name] = d
      flag.owners[#flag.owners + 1], flag.defaults[name] = name, d.default
      flag.masked[name] = masked
    end
  end
  for _, flag in ipairs(flags) do
    describe(flag)
  end
  return flags
end

--- The flags of all definitions but schedules.
-- @tparam table taken name → true: flags of the recipe itself, whose names no definition may use
-- @treturn {table,…} declarations with `declared`: role → name → the definition's own declaration
function M.collect(taken)
  return gather(definitions(), taken)
end

--- The flags of all schedules, likewise.
function M.of_schedules()
  return gather(schedules(), {})
end

--- The definitions that a command uses.
-- @tparam table o optimizer, base_optimizer, sam_type, lr_scheduler
-- @treturn {{role,name},…}
function M.in_use(o)
  local rate = { "schedule", o.lr_scheduler }
  if o.optimizer ~= "sam" then
    return { rate, { "base", o.optimizer } }
  end
  local list = { rate, { "base", o.base_optimizer }, { "sam", o.sam_type }, { "step", "sam" } }
  if require("fsam.sam").get(o.sam_type).masked then
    list[#list + 1] = { "mask", "mask" }
  end
  return list
end

--- Remarks on flags that were typed and that nothing in use reads. They are no errors: a command
-- made for another type names them.
-- @tparam table o options as read
-- @treturn {string,…}
function M.remarks(o)
  local active = o.optimizer == "sam" and o.base_optimizer .. " + " .. o.sam_type or o.optimizer
  local remarks = {}
  for _, flag in ipairs(o.spec.flags) do
    if o.given[flag.name] and not options.in_use(o, flag) then
      remarks[#remarks + 1] = ("%s has no effect with %s"):format(options.flag(flag.name),
        flag.declared.schedule and o.lr_scheduler or active)
    end
  end
  return remarks
end

return M
