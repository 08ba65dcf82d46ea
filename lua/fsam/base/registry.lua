--- A register of things defined by name. The built-in ones live in a file each, which is loaded
-- when its name is first asked for. Owns: nothing but names; what is registered is its
-- owner's.
local Registry = {}
Registry.__index = Registry

local M = {}

--- A new register.
-- @tparam[opt] string prefix of the built-in ones' modules ("fsam.optim.")
-- @tparam[opt] table built_in their names; a dash in a name is an underscore in its file's
function M.new(prefix, built_in)
  return setmetatable({ prefix = prefix, built_in = built_in or {}, defined = {} }, Registry)
end

--- Adds or replaces a thing.
function Registry:define(name, thing)
  self.defined[name] = thing
end

--- The thing of a name, or nil.
function Registry:get(name)
  for _, built_in in ipairs(self.built_in) do
    if built_in == name and not self.defined[name] then
      require(self.prefix .. name:gsub("-", "_"))
    end
  end
  return self.defined[name]
end

--- All names, sorted.
function Registry:names()
  for _, built_in in ipairs(self.built_in) do
    self:get(built_in)
  end
  return M.sorted(self.defined)
end

--- The keys of a table, sorted.
function M.sorted(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

return M
