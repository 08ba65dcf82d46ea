--- A register of things defined by name. Each built-in one has a file, which is loaded when its
-- name is first looked up. A name stands for one thing: what a run was trained with must not depend
-- on which of two files was read last. Owns: the names, and helpers for lists. Leaves
-- to others: what a registered thing is and whether it is a good one.
local source_line = require("fsam.base.source_line")

local Registry = {}
Registry.__index = Registry

local M = {}

--- A new register.
-- @tparam[opt] string prefix of the built-in things' modules ("fsam.optim.")
-- @tparam[opt] {string,…} built_in their names; a dash in a name is an underscore in its file's
-- @treturn table with the methods define, get, names
function M.new(prefix, built_in)
  return setmetatable({ prefix = prefix, built_in = built_in or {}, defined = {}, places = {} },
    Registry)
end

local function module_of(self, name)
  return (self.prefix or "") .. name:gsub("-", "_")
end

-- Does the built-in thing's own file run now? Until it returns, `require` keeps a mark in its place
-- that is no module.
local function is_loading(self, name)
  local loaded = package.loaded[module_of(self, name)]
  return loaded ~= nil and loaded ~= true and type(loaded) ~= "table"
end

-- A definition that runs again, and one that is typed again at the prompt, replace their former
-- selves.
local function is_again(before, place)
  return before == place or before:find("^stdin:") ~= nil and place:find("^stdin:") ~= nil
end

--- Adds a thing.
-- @tparam string name
-- @param thing any value but nil
-- @tparam string what begins the message: sam.define("name")
-- @raise one line with the author's place when the name is a built-in thing's, or was defined at
--   another place
function Registry:define(name, thing, what)
  local position = source_line.users()
  local place, before = source_line.text(position), self.places[name]
  if self:is_built_in(name) and not is_loading(self, name) then
    source_line.fail_at(position, "%s: %s is built in; choose another name", what, name)
  elseif before and not is_again(before, place) then
    source_line.fail_at(position, "%s: %s is defined already, at %s; choose another name", what,
      name, before)
  end
  self.defined[name], self.places[name] = thing, place
end

--- What is defined so far is built in.
function Registry:seal()
  self.built_in = M.sorted(self.defined)
end

--- The thing of a name, or nil. Loads the file of a built-in one.
function Registry:get(name)
  for _, built_in in ipairs(self.built_in) do
    if built_in == name and not self.defined[name] then
      require(module_of(self, name))
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

--- Do two lists have the same elements in the same order?
-- @tparam table a
-- @tparam table b
-- @treturn boolean
function M.same(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then
      return false
    end
  end
  return true
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
