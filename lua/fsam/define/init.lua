--- The parts of sam-types, base optimizers and mask policies, as their authors write them. A
-- mistake is one line with the author's file and line. Owns: what a definition may hold, calling a
-- part, and what it must return. Leaves to others: what the parts are for (fsam.sam, fsam.optim,
-- fsam.mask), when they are called (fsam.step).
local code = require("fsam.vector.instructions")
local errors = require("fsam.errors")
local fields = require("fsam.define.fields")
local node = require("fsam.vector.expression")
local options = require("fsam.options")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")
local tested = require("fsam.vector.tested")
local values = require("fsam.options.values")

source_line.own()

local M = {}

-- -- what parts return ----------------------------------------------------------------------------

-- Is this a value of another model than the step's?
local function is_of_another(x, s)
  return type(x) == "table" and x.params and s.w and x.params ~= s.w.params or false
end

local function is_vector(x, s)
  return node.rank(x) == code.VECTOR and not is_of_another(x, s)
end

local function is_ordinals(list, s)
  if type(list) ~= "table" or #list == 0 then
    return false
  end
  for _, ordinal in ipairs(list) do
    if type(ordinal) ~= "number" or ordinal % 1 ~= 0 or ordinal < 0 or ordinal >= s.N then
      return false
    end
  end
  return true
end

local function none(x)
  return x == nil
end

local function either(first, second)
  return function(x, s)
    return first(x, s) or second(x, s)
  end
end

local VECTOR = ", a vector of the whole model"

-- Of each part: a test of its result, and what the message says instead of it.
local RESULTS = {
  explore = { is_vector, "the perturbation before the first pass" .. VECTOR },
  ascend = { is_vector, "the perturbation" .. VECTOR },
  descend = { either(none, is_vector), "the direction of the update" .. VECTOR
    .. " (or nothing: g2)" },
  update = { is_vector, "what is subtracted from w" .. VECTOR },
  values = { is_vector, "the importance of each weight" .. VECTOR },
  every = { function(x) return x == nil or type(x) == "boolean" end,
    "true or false (a scalar is read first: s:read(x))" },
  select = { either(none, is_ordinals),
    "a list of ordinals from 0 to s.N - 1 (or nothing: all samples)" },
  skip = { either(none, function(x) return type(x) == "table" end),
    "a table parameter → true (or nothing)" },
  schedule = { function(x) return type(x) == "number" and x == x end, "rho, a number" },
}

-- Methods of expressions that return no number, and the vectors among the fields of s.
local NO_NUMBER, VECTORS = {}, { w = true, c = true, g = true, g2 = true, e = true, m = true }
for name in pairs(node.methods) do
  NO_NUMBER[name] = name ~= "read" or nil
end

-- Raises where a part, or a function that it makes, compares a vector with a number by == or ~=.
-- `s` is the part's first argument; a function within has others.
local function refuse_comparisons(func, chunk, within)
  for _, found in ipairs(tested.compared(chunk)) do
    if NO_NUMBER[found.method] or VECTORS[found.field] and not within then
      source_line.fail_at({ func = func, currentline = found.line }, node.NO_NUMBER,
        found.method and ("what %s() returns"):format(found.method) or "s." .. found.field)
    end
  end
  for _, inner in ipairs(tested.inner(chunk)) do
    refuse_comparisons(func, inner, true)
  end
end

--- A part that calls the author's function and checks what it returned.
-- @tparam string owner the name of the type, optimizer or policy
-- @tparam string part
-- @tparam function func gets s, of a mask policy a context too
function M.wrap(owner, part, func)
  local expected = RESULTS[part]
  refuse_comparisons(func, func)
  if source_line.is_users(func) then
    jit.off(func, true) -- a part runs once a step; compiled, an endless loop would not see Ctrl-C
  end
  return function(s, context)
    local result = source_line.call(func, s, context)
    if expected and not expected[1](result, s) then
      source_line.fail_at(source_line.of(func), "%s of %s returned %s; it must return %s", part,
        owner, node.describe(result) .. (is_of_another(result, s) and " of another model" or ""),
        expected[2])
    end
    return result
  end
end

-- -- definitions ----------------------------------------------------------------------------------

-- Raises unless each part is known and of its kind.
local function check_kinds(what, spec, kinds)
  for part, value in pairs(spec) do
    if not kinds[part] then
      source_line.fail("%s", errors.unknown_text(what .. ": part", part, registry.sorted(kinds)))
    elseif type(value) ~= kinds[part] then
      source_line.fail("%s: %s is a %s, expected a %s", what, part, type(value), kinds[part])
    end
  end
end

local function check_option(what, d)
  if type(d.name) ~= "string" or not values.is_type(d.type) then
    source_line.fail("%s: option %s: its type %s is unknown (%s)", what, tostring(d.name),
      tostring(d.type), table.concat(values.types(), ", "))
  elseif (d.type == "number" or d.type == "integer") and d.default ~= nil
      and type(d.default) ~= "number" then
    source_line.fail("%s: option %s: the default %s is no number; declare { name = %q, type = …, "
      .. "default = … } with one of the types %s", what, d.name, tostring(d.default), d.name,
      table.concat(values.types(), ", "))
  elseif d.type == "choice" and type(d.choices) ~= "table" then
    source_line.fail("%s: option %s: choices is missing, a list of words", what, d.name)
  elseif d.default ~= nil then
    local fits, err = pcall(values.check, d, d.default, "the default")
    if not fits then
      source_line.fail("%s: option %s: %s", what, d.name, tostring(err))
    end
  end
end

-- Raises unless the options are names with defaults, or declarations with names.
local function check_form(what, list)
  for key, value in pairs(list) do
    if type(key) ~= "string" and (type(value) ~= "table" or type(value.name) ~= "string") then
      source_line.fail("%s: options has %s, expected NAME = DEFAULT, as in { rho = 0.05 }, or "
        .. "{ name = …, type = …, default = … }", what, schema.show(value))
    end
  end
end

-- Raises where no `s.NAME` can be written, or where s has the name already: as a field of every
-- step, or from another part of this definition.
local function take(what, taken, part, name)
  if not name:find("^[%a_][%w_]*$") then
    source_line.fail("%s: %s: \"%s\" is no name that s.NAME could have; letters, digits and "
      .. "underscores make one", what, part, name)
  elseif fields.is_taken(name, part) then
    source_line.fail("%s: %s: s.%s is taken; choose another name", what, part, name)
  elseif taken[name] then
    source_line.fail("%s: %s: s.%s is taken by its %s; choose another name", what, part, name,
      taken[name])
  end
  taken[name] = part
end

local NAMES = { "state", "scratch", "scalars" }

--- A definition, checked: a new table with `name`, the declarations of its options and every
-- function wrapped.
-- @tparam string what begins messages: sam.define("name")
-- @tparam string name
-- @tparam table spec what the author wrote
-- @tparam table kinds part → the Lua type that it must have
-- @tparam[opt] function complete adds to the declarations of its options
-- @raise with the author's line
function M.definition(what, name, spec, kinds, complete)
  check_kinds(what, spec, kinds)
  local definition, taken = { name = name }, {}
  for part, value in pairs(spec) do
    definition[part] = kinds[part] == "function" and M.wrap(name, part, value) or value
  end
  check_form(what, spec.options or {})
  local declared = options.declare(spec.options or {})
  for _, d in ipairs(declared) do
    check_option(what, d)
  end
  definition.options = complete and complete(declared) or declared
  for _, d in ipairs(definition.options) do
    take(what, taken, "options", d.name)
  end
  for _, part in ipairs(NAMES) do
    for key, entry in pairs(spec[part] or {}) do
      if type(key) ~= "number" or type(entry) ~= "string" then
        source_line.fail("%s: %s is a list of names, such as { \"m\" }", what, part)
      end
      take(what, taken, part, entry)
    end
  end
  return definition
end

return M
