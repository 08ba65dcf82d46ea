--- Decides each option's value, once.
--
-- Owns: the order of the sources, each of which overrides those before it,
--
--     declared default → profile of the recipe → --preset → --compat → command line
--
-- and `origin`, which remembers the source of each value. Leaves to others: reading the command
-- line (options/init.lua), ranges (options/values.lua), the declarations (their owners).
--
-- A flag belongs to one owner (`owner = "train"`), or to several definitions that declare the same
-- name, by role and name: `declared = { sam = { asam = declaration, … }, base = { … } }`. The flags
-- with one owner are decided first, because they say which definitions the command uses. So each
-- definition gets its own default.
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local values = require("fsam.options.values")

local M = {}

local spelled = {} -- what `flag` found: it is asked for hundreds of names at each start

--- The flag of an option's name: "keep_ratio" → "--keep-ratio".
function M.flag(name)
  local flag = spelled[name]
  if not flag then
    flag = "--" .. name:gsub("_", "-")
    spelled[name] = flag
  end
  return flag
end

--- The declared default; for a flag that declares none, false.
-- @tparam table d declaration
-- @return the value, or nil where there is no default
function M.default(d)
  if d.default == nil and d.type == "flag" then
    return false
  end
  return d.default
end

--- The values of one owner, for callers without a command line.
-- @tparam {table,…} declarations
-- @tparam table decided name → value; what is missing gets its declared default
-- @treturn table name → value
-- @raise one line for a value of the wrong type or out of range
function M.complete(declarations, decided)
  local complete = {}
  for _, d in ipairs(declarations) do
    local value = decided[d.name]
    if value == nil then
      value = M.default(d)
    else
      values.check(d, value, M.flag(d.name))
    end
    complete[d.name] = value
  end
  return complete
end

-- -- profiles -------------------------------------------------------------------------------------

-- { times = 0.4, asam = 0.1, … }, and not a list.
local function is_rule(entry)
  return type(entry) == "table" and type(next(entry)) == "string"
end

--- What a profile makes of a declaration.
-- @param entry of the profile's `values`: a value, or a rule { times = F, NAME = value, … }. A rule
--   gives each optimizer or sam-type of these names its own value, and all others F times their
--   declared default (without `times`: nothing). A fisher- form follows its plain type
-- @tparam table d the owner's declaration
-- @tparam[opt] string owner the optimizer's or sam-type's name
-- @return the value, or nil where the profile says nothing
function M.profiled(entry, d, owner)
  if not is_rule(entry) then
    return entry
  end
  local own = owner and entry[owner]
  if own == nil and owner then
    own = entry[owner:match("^fisher%-(.+)")]
  end
  if own == nil and entry.times and d.default then
    own = tonumber(("%.10g"):format(d.default * entry.times)) -- 0.02 to the bit
  end
  return own
end

-- -- sources --------------------------------------------------------------------------------------

-- A source is { origin = text, get = fn(declaration, owner) → value or nil }. This makes one of a
-- table name → value.
local function of_table(origin, list)
  return { origin = origin, get = function(d)
    return list[d.name]
  end }
end

local function add_profiles(list, spec, typed)
  for _, profile in ipairs(spec.profiles or {}) do
    if profile.when(typed) then
      list[#list + 1] = { origin = "profile: " .. profile.label, get = function(d, owner)
        return M.profiled(profile.values[d.name], d, owner)
      end }
    end
  end
end

-- Adds the choices that set other flags, in the order of their declarations. A choice that comes
-- from its declared default sets nothing.
local function add_implied(list, spec, first)
  for _, d in ipairs(spec.flags) do
    local implied = d.implies and first.origin[d.name] ~= "default" and d.implies[first[d.name]]
    if implied then
      list[#list + 1] = of_table(d.name .. " " .. first[d.name],
        type(implied) == "function" and implied(first) or implied)
    end
  end
end

-- Takes the value of the last source that has one. Each owner of a flag has its own range, so typed
-- values are checked once more.
local function decide(sources, d, owner)
  local value, origin
  for _, source in ipairs(sources) do
    local found = source.get(d, owner)
    if found ~= nil then
      value, origin = found, source.origin
    end
  end
  if value ~= nil and origin ~= "default" then
    local flag = M.flag(d.name)
    values.check(d, value, origin == "command line" and flag or ("%s: %s"):format(origin, flag))
  end
  return value, origin or "default"
end

local DEFAULT = { origin = "default", get = M.default }

-- Decides the flags with one owner each.
local function decide_plain(sources, spec)
  local first = { origin = {} }
  for _, d in ipairs(spec.flags) do
    if not d.declared then
      first[d.name], first.origin[d.name] = decide(sources, d)
    end
  end
  return first
end

-- -- checks of what a recipe wrote ----------------------------------------------------------------

-- Checks a rule of a profile: only numbers have multiples, and each name is an owner of the flag.
local function check_entry(label, d, entry)
  if not is_rule(entry) then
    return
  elseif entry.times and d.type ~= "number" and d.type ~= "integer" then
    errors.raise("profile %s: %s is a %s, which has no multiple", label, M.flag(d.name), d.type)
  end
  local known = {}
  for _, owners in pairs(d.declared or {}) do
    for name in pairs(owners) do
      known[#known + 1] = name
    end
  end
  table.sort(known)
  for name in pairs(entry) do
    if name ~= "times" and not registry.contains(known, name) then
      errors.raise("profile %s: %s has a value for %s, which does not declare it%s", label,
        M.flag(d.name), name, errors.suggestion(name, known))
    end
  end
end

--- Checks that each name in a recipe's profiles exists.
-- @tparam table spec see options.read
-- @raise one line that names the profile and the option
function M.check_profiles(spec)
  local by_name, names = {}, {}
  for _, d in ipairs(spec.flags) do
    by_name[d.name], names[#names + 1] = d, d.name
  end
  for _, profile in ipairs(spec.profiles or {}) do
    for name, entry in pairs(profile.values) do
      if not by_name[name] then
        errors.unknown(("profile %s: option"):format(profile.label), name, names)
      end
      check_entry(profile.label, by_name[name], entry)
    end
  end
end

-- -- the decision ---------------------------------------------------------------------------------

--- Decides all values of a command.
-- @tparam table spec flags; profiles; in_use(values) → { { role, name }, … }, the definitions that
--   a command uses, from the values of the flags that have one owner
-- @tparam table typed name → value, from the command line; profiles' `when` sees it
-- @treturn table name → value. Where several definitions in use declare a flag, this is the last
--   one's value; where none declares it, it is what the commonest declared default gives
-- @treturn table origin: name → "default", "profile: LABEL", "preset hf", "compat fsam4plm", or
--   "command line"
-- @treturn table owned: role → name → value, each owner's own
-- @raise one line for a value that a recipe, a preset or --compat sets out of range
function M.resolve(spec, typed)
  local profiles, typed_source = {}, of_table("command line", typed)
  add_profiles(profiles, spec, typed)
  local before = { DEFAULT, unpack(profiles) }
  before[#before + 1] = typed_source
  local first = decide_plain(before, spec)
  local in_use = spec.in_use and spec.in_use(first) or {}
  local sources = { DEFAULT, unpack(profiles) }
  add_implied(sources, spec, first)
  sources[#sources + 1] = typed_source

  local decided, origin, owned = {}, {}, {}
  local function own(role, d, owner)
    decided[d.name], origin[d.name] = decide(sources, d, owner)
    owned[role] = owned[role] or {}
    owned[role][d.name] = decided[d.name]
  end
  for _, use in ipairs(in_use) do
    owned[use[1]] = owned[use[1]] or {}
  end
  for _, d in ipairs(spec.flags) do
    if d.declared then
      decided[d.name], origin[d.name] = decide(sources, d)
    else
      own(d.owner or "recipe", d)
    end
    for _, use in ipairs(d.declared and in_use or {}) do
      local role, name = unpack(use)
      if d.declared[role] and d.declared[role][name] then
        own(role, d.declared[role][name], name)
      end
    end
  end
  return decided, origin, owned
end

--- The declaration that decides a flag's value in a command.
-- @tparam table options as options.read returns them
-- @tparam table d one of options.spec.flags
-- @treturn ?table d itself, or the declaration of the definition in use; nil when no definition in
--   use reads the flag
function M.in_use(options, d)
  if not d.declared then
    return d
  end
  local found
  for _, use in ipairs(options.spec.in_use(options)) do
    found = (d.declared[use[1]] or {})[use[2]] or found
  end
  return found
end

--- The words of a command line that are not flags, in their order.
-- @tparam table spec see options.read
-- @treturn {table,…} { name, metavar, help } of each
function M.positionals(spec)
  local p = spec.positional
  return p and (p.name and { p } or p) or {}
end

return M
