--- What public functions take: declared once, in a table beside the function. From it follow the
-- check at the function's door and the spec that calls every function wrongly.
--
--     arguments.guard("fsam.pass", Pass, {
--       new = { arguments.fields({ model = is_model, seed = optional(schema.integer(0)) }) },
--       bind = { self = is_pass, arguments.fields({ step = …, batches = … }) },
--       memory = { self = is_pass },
--     })
--
-- A mistake is one line with the place of the innermost caller in a file of the user's. Shapes are
-- those of base/schema.lua. A door costs a few tests, so what the library itself calls often goes
-- behind it with `within`.
--
-- Owns: declaring, checking, the register of what was declared, and shapes of Lua objects. Leaves
-- to others: shapes of plain values (schema.lua), rules between arguments (the functions).
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

local declared = {} -- name → declaration
local by_function = setmetatable({}, { __mode = "k" }) -- function → declaration
local inner = setmetatable({}, { __mode = "k" }) -- checked function → the function behind the check

-- -- shapes ---------------------------------------------------------------------------------------

M.optional, M.where = schema.optional, schema.where

--- Anything, nil too.
function M.any()
  return nil
end

M.func = schema.of_type("function", "a function")
M.table = schema.of_type("table", "a table")

-- A field of a table or of its classes, without running code: some refuse unknown names.
local function field(value, name)
  for _ = 1, 5 do
    local found = rawget(value, name)
    if found ~= nil then
      return found
    end
    local meta = getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index")
    if type(value) ~= "table" then
      return nil
    end
  end
end

--- An object by what it has: a table with fields of these Lua types.
-- @tparam string expected what the message says, with where to get one
-- @tparam table has name → Lua type
function M.object(expected, has)
  return M.where(function(value)
    if type(value) ~= "table" then
      return false
    end
    for name, kind in pairs(has) do
      if type(field(value, name)) ~= kind then
        return false
      end
    end
    return true
  end, expected)
end

--- The one table of named arguments: unknown names are refused, and the nearest is suggested.
-- @tparam table shapes name → shape
-- @treturn table an argument, for a declaration
function M.fields(shapes)
  local names, closed = registry.sorted(shapes), schema.closed(shapes)
  local expected = ("expected a table { %s }"):format(table.concat(names, ", "))
  return { name = "", fields = shapes, shape = function(value)
    if type(value) ~= "table" then
      return ("the argument is %s, %s"):format(schema.show(value), expected)
    end
    return closed(value, "")
  end }
end

--- A table of named arguments that may be left out.
function M.optional_fields(shapes)
  local given = M.fields(shapes)
  return { name = "", fields = shapes, shape = function(value, place)
    if value ~= nil then
      return given.shape(value, place)
    end
  end }
end

--- A positional argument.
-- @tparam string name in messages
-- @tparam function shape
-- @treturn table
function M.arg(name, shape)
  return { name = name, shape = shape }
end

-- -- checking -------------------------------------------------------------------------------------

-- The line about what does not fit, or nil.
local function fault_of(declaration, count, ...)
  local own = declaration.self and 1 or 0
  if declaration.self then
    local fault = declaration.self((...), "self")
    if fault then
      return ("it is a method, object:%s(…), and %s"):format(declaration.method, fault)
    end
  end
  local list = declaration
  for i = 1, #list do
    local fault = list[i].shape((select(own + i, ...)), list[i].name)
    if fault then
      return fault
    end
  end
  for i = #list + own + 1, declaration.more and 0 or count do
    if (select(i, ...)) ~= nil then
      return ("it takes %d argument%s, got %d"):format(#list, #list == 1 and "" or "s", count - own)
    end
  end
end

local function fail(declaration, fault)
  local place = source_line.users()
  local text = ("%s: %s"):format(declaration.name, fault):gsub("%c", "?")
  error(errors.new(place and source_line.text(place) .. ": " .. text or text, place ~= false), 0)
end

--- What is wrong with arguments of a declared function; nil where they fit. Nothing is called.
-- @tparam string name as declared
-- @param ... the arguments
-- @treturn ?string
function M.fault(name, ...)
  return fault_of(declared[name], select("#", ...), ...)
end

--- Declares a function that is made anew at each call of another, and checks its arguments.
-- @tparam string name
-- @tparam table list as for `declare`
-- @treturn function (…), which raises where the arguments do not fit
function M.checker(name, list)
  list.name, list.method = name, name:match("[%w_]+$")
  declared[name] = list
  return function(...)
    local fault = fault_of(list, select("#", ...), ...)
    if fault then
      fail(list, fault)
    end
  end
end

--- Declares a function.
-- @tparam string name by which users reach it
-- @tparam table list its arguments in order (`arg`, `fields`), with `self`, the shape of the object
--   of a method; more = true: it may have further arguments; inside = true: it checks them itself
-- @tparam function fn
-- @treturn function the same with its check; with inside = true the same
function M.declare(name, list, fn)
  local check = M.checker(name, list)
  local door = fn
  if not list.inside then
    door = function(...)
      check(...)
      return fn(...)
    end
    inner[door] = fn
  end
  by_function[door], list.door = list, door
  return door
end

--- Declares functions of a module or class, and puts a check before each.
-- @tparam string prefix of their names; of methods with a colon at its end ("params:")
-- @tparam table class the functions by name
-- @tparam table lists name → declaration, as for `declare`
function M.guard(prefix, class, lists)
  local separator = prefix:find(":$") and "" or "."
  for name, list in pairs(lists) do
    class[name] = M.declare(prefix .. separator .. name, list, class[name])
  end
end

--- Another table with a module's functions, each behind its check, for users; the library's own
-- calls go to the module and cost what they did. What is assigned to either is the module's.
-- @tparam string prefix of their names
-- @tparam table module the functions by name; what is not declared is there unchanged
-- @tparam table lists name → declaration, as for `declare`
-- @treturn table
function M.face(prefix, module, lists)
  local doors = {}
  for name, value in pairs(module) do
    doors[name] = lists[name] and M.declare(prefix .. "." .. name, lists[name], value) or value
  end
  return setmetatable({}, {
    __index = doors,
    __newindex = function(_, name, value)
      doors[name], module[name] = value, value
    end,
    __show = function()
      return prefix .. ": " .. table.concat(registry.sorted(doors), "  ")
    end,
  })
end

--- The function behind a check, for the library's own calls in a loop.
function M.within(fn)
  return inner[fn] or fn
end

--- The declaration of a function, or nil.
function M.of(fn)
  return by_function[fn]
end

--- All declarations by name.
-- @treturn table name → declaration
function M.all()
  return declared
end

-- errors.lua and schema.lua's ground lie below this file, so what they take is declared here.
local ANY, TEXT = M.arg("value", M.any), M.arg("text", schema.string)
M.guard("fsam.errors", errors, {
  is = { ANY }, line = { TEXT }, nearest = { ANY, M.arg("list", M.table) },
  suggestion = { ANY, M.arg("list", M.table) }, new = { TEXT, M.arg("placed", M.any) },
  raise = { TEXT, more = true }, unknown = { TEXT, ANY, M.arg("list", M.table) },
  unknown_text = { TEXT, ANY, M.arg("list", M.table) },
})

return M
