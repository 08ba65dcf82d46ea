--- Flags that belong to optimizers, sam-types and mask policies, gathered from their definitions.
--
-- Owns what happens when several declare one name (rho): it is one flag, and its default is that of
-- the optimizer and type that are chosen. The declarations are their owners'.

local options = require("fsam.options")
local values = require("fsam.options.values")

local M = {}

-- d as a flag of its own, without owners yet.
local function new_flag(d)
  local flag = { owners = {}, defaults = {} }
  for key, value in pairs(d) do
    flag[key] = value
  end
  return flag
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

-- Help says whose default differs from most owners'; a fisher- form has its plain type's.
local function describe(flag)
  local differ = {}
  flag.default = flag.defaults[commonest(flag)]
  for _, owner in ipairs(flag.owners) do
    local text = values.show(flag, flag.defaults[owner])
    if text ~= values.show(flag, flag.default) and not owner:find("^fisher%-") then
      differ[#differ + 1] = owner .. " " .. (text == "" and "none" or text)
    end
  end
  if #differ > 0 then
    flag.help = ("%s [%s]"):format(flag.help or "", table.concat(differ, ", "))
  end
end

--- The flags of all optimizers and sam-types, those of the latter with their mask policies'.
-- @tparam table taken name → true: flags of the recipe itself, which win
-- @treturn {table,…} declarations with owners (names) and defaults (owner → value)
function M.collect(taken)
  local flags, by_name = {}, {}
  local function add(register, group)
    for _, owner in ipairs(register.names()) do
      for _, d in ipairs(options.declare(register.options(owner) or {}, { group = group })) do
        local flag = by_name[d.name]
        if not flag and not taken[d.name] then
          flag = new_flag(d)
          by_name[d.name], flags[#flags + 1] = flag, flag
        end
        if flag then
          flag.owners[#flag.owners + 1], flag.defaults[owner] = owner, d.default
        end
      end
    end
  end
  add(require("fsam.optim"), "Optimizer")
  add({ names = require("fsam.sam").names, options = require("fsam.step.build").type_options },
    "Sharpness (--optimizer sam)")
  for _, flag in ipairs(flags) do
    describe(flag)
  end
  return flags
end

local function has(list, name)
  for _, item in ipairs(list) do
    if item == name then
      return true
    end
  end
  return false
end

--- Gives each flag the default of the optimizer and type in use. One that neither reads is
-- remarked, not refused: commands made for other types name it.
-- @tparam {table,…} flags all of the recipe
-- @tparam table o options
-- @treturn {string,…} remarks
function M.settle(flags, o)
  local active = o.optimizer == "sam" and { o.base_optimizer, o.sam_type } or { o.optimizer }
  local remarks = {}
  for _, flag in ipairs(flags) do
    local used = false
    for _, owner in ipairs(active) do
      if flag.owners and has(flag.owners, owner) then
        used = true
        if not o.given[flag.name] and o[flag.name] == flag.default then
          o[flag.name] = flag.defaults[owner]
        end
      end
    end
    if flag.owners and not used and o.given[flag.name] then
      remarks[#remarks + 1] = ("%s has no effect with %s"):format(options.flag(flag.name),
        table.concat(active, " + "))
    end
  end
  return remarks
end

return M
