--- A register of things defined by name. Each built-in one has a file, which is loaded when its
-- name is first looked up. Owns: the names, and two helpers for lists of names. Leaves to others:
-- what a registered thing is and whether it is a good one.
local Registry = {}
Registry.__index = Registry

local M = {}

--- A new register.
-- @tparam[opt] string prefix of the built-in things' modules ("fsam.optim.")
-- @tparam[opt] {string,…} built_in their names; a dash in a name is an underscore in its file's
-- @treturn table with the methods define, get, names
function M.new(prefix, built_in)
  return setmetatable({ prefix = prefix, built_in = built_in or {}, defined = {} }, Registry)
end

--- Adds a thing, or replaces the one of that name.
-- @tparam string name
-- @param thing any value but nil
function Registry:define(name, thing)
  self.defined[name] = thing
end

--- The thing of a name, or nil. Loads the file of a built-in one.
function Registry:get(name)
  for _, built_in in ipairs(self.built_in) do
    if built_in == name and not self.defined[name] then
      require(self.prefix .. name:gsub("-", "_"))
    end
  end
  return self.defined[name]
end

--- Is it the name of a built-in thing?
-- @treturn boolean
function Registry:is_built_in(name)
  return M.contains(self.built_in, name)
end

--- All names, sorted; loads every built-in thing.
-- @treturn {string,…}
function Registry:names()
  for _, built_in in ipairs(self.built_in) do
    self:get(built_in)
  end
  return M.sorted(self.defined)
end

--- Is a value in a list?
-- @tparam table list
-- @param value
-- @treturn boolean
function M.contains(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

--- The keys of a table, sorted.
-- @tparam table set its keys are strings
-- @treturn {string,…}
function M.sorted(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

return M
