--- What a table from outside must look like, said once, and one line about where it does not.
--
-- Owns: the shapes below, and the words of a mismatch. A shape is a function (value, place) that
-- returns nil when the value fits, or one line: "place is …, expected …". Shapes are built once,
-- when a module is loaded, and nest. Leaves to others: who raises the line, and in which file's or
-- author's name (`check` does it for files), and rules between fields.
local errors = require("fsam.errors")
local json = require("fsam.base.json")
local registry = require("fsam.base.registry")

local M = {}

local QUOTED = 60 -- bytes of a text that a message shows

--- A value as a message shows it: short, printable, its kind where it has no short form.
-- @param value
-- @treturn string
function M.show(value)
  local kind = type(value)
  if kind == "string" then
    local short = #value > QUOTED and value:sub(1, QUOTED) .. "…" or value
    return '"' .. short:gsub("%c", "?") .. '"'
  elseif value == nil then
    return "missing"
  elseif value == json.null then
    return "null"
  elseif kind == "table" then
    return json.is_array(value) and "a list" or "a table"
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return "a " .. kind
end

local function mismatch(value, place, expected)
  return ("%s is %s, expected %s"):format(place == "" and "it" or place, M.show(value), expected)
end

--- What a test accepts.
-- @tparam function test (value) → boolean
-- @tparam string expected what the message says
function M.where(test, expected)
  return function(value, place)
    return not test(value) and mismatch(value, place, expected) or nil
  end
end

--- A shape that one Lua type decides.
-- @tparam string name of the type
-- @tparam string expected what the message says
function M.of_type(name, expected)
  return M.where(function(value)
    return type(value) == name
  end, expected)
end

M.string = M.of_type("string", "a text")

--- A path: C ends a text at its first NUL byte, and "" in front of a file's name is the root.
M.path = M.where(function(value)
  return type(value) == "string" and value ~= "" and not value:find("\0", 1, true)
end, "a path, which is not empty and has no NUL bytes")
M.boolean = M.of_type("boolean", "true or false")

--- Anything but nil and null.
function M.present(value, place)
  return (value == nil or value == json.null) and mismatch(value, place, "a value") or nil
end

--- A number in [low, high], never NaN.
-- @tparam[opt=-math.huge] number low
-- @tparam[opt=math.huge] number high
-- @tparam[opt] string expected what the message says instead of the bounds
function M.number(low, high, expected)
  low, high = low or -math.huge, high or math.huge
  expected = expected or (low == -math.huge and high == math.huge and "a number"
    or ("a number from %.17g to %.17g"):format(low, high))
  return function(value, place)
    if type(value) ~= "number" or not (value >= low and value <= high) then
      return mismatch(value, place, expected)
    end
  end
end

--- A whole number in [low, high].
-- @tparam[opt=-2^53] number low
-- @tparam[opt=2^53] number high
function M.integer(low, high)
  low, high = low or -2 ^ 53, high or 2 ^ 53
  local expected = ("an integer from %.17g to %.17g"):format(low, high)
  return function(value, place)
    if type(value) ~= "number" or value % 1 ~= 0 or value < low or value > high then
      return mismatch(value, place, expected)
    end
  end
end

--- One of a few words.
-- @tparam {string,…} words
function M.one_of(words)
  local known = {}
  for _, word in ipairs(words) do
    known[word] = true
  end
  local expected = table.concat(words, " or ")
  return function(value, place)
    return not known[value] and mismatch(value, place, expected) or nil
  end
end

--- What fits a shape, or is nil or null.
function M.optional(shape)
  return function(value, place)
    if value ~= nil and value ~= json.null then
      return shape(value, place)
    end
  end
end

--- What fits one of several shapes.
-- @tparam string expected what the message says
-- @tparam function ... the shapes
function M.either(expected, ...)
  local shapes = { ... }
  return function(value, place)
    for _, shape in ipairs(shapes) do
      if not shape(value, place) then
        return nil
      end
    end
    return mismatch(value, place, expected)
  end
end

--- A list: keys 1 … n without holes, each element of one shape. An empty table is a list.
-- @tparam function shape of the elements
-- @tparam[opt=0] integer least how many elements there must be
function M.list(shape, least)
  return function(value, place)
    if type(value) ~= "table" then
      return mismatch(value, place, "a list")
    end
    local count = 0
    for key in pairs(value) do
      if type(key) ~= "number" or key % 1 ~= 0 or key < 1 then
        return mismatch(value, place, "a list")
      end
      count = count + 1
    end
    if count ~= #value then
      return ("%s has a hole, expected a list"):format(place)
    elseif count < (least or 0) then
      return ("%s has %d elements, expected at least %d"):format(place, count, least)
    end
    for i = 1, count do
      if shape(value[i], place) then -- the place of an element is made where it is needed
        return shape(value[i], ("%s[%d]"):format(place, i))
      end
    end
  end
end

--- A table from names to values of one shape. A list that is not empty does not fit.
-- @tparam function shape of the values
function M.map(shape)
  return function(value, place)
    if type(value) ~= "table" or (json.is_array(value) and next(value) ~= nil) then
      return mismatch(value, place, "a table of names")
    end
    for key, item in pairs(value) do
      if type(key) ~= "string" then
        return mismatch(value, place, "a table of names")
      end
      if shape(item, place) then
        return shape(item, ("%s.%s"):format(place, key:sub(1, QUOTED):gsub("%c", "?")))
      end
    end
  end
end

--- A table with named members. Others are let through, as a later version may have written them.
-- @tparam table fields map from name to shape; `optional` for one that may be absent
function M.record(fields)
  local names = registry.sorted(fields) -- so that the first fault does not depend on chance
  return function(value, place)
    if type(value) ~= "table" or (json.is_array(value) and next(value) ~= nil) then
      return mismatch(value, place, "a table")
    end
    for _, name in ipairs(names) do
      if fields[name](value[name], place) then
        return fields[name](value[name], place == "" and name or place .. "." .. name)
      end
    end
  end
end

--- As `record`, but a member that is not declared is a fault, with the nearest declared name.
-- @tparam table fields map from name to shape
function M.closed(fields)
  local names, record = registry.sorted(fields), M.record(fields)
  return function(value, place)
    for key in pairs(type(value) == "table" and value or {}) do
      if fields[key] == nil then
        local name = type(key) == "string" and key:sub(1, QUOTED):gsub("%c", "?") or M.show(key)
        return ("%s has no field %s%s (%s)"):format(place == "" and "it" or place, name,
          errors.suggestion(name, names), table.concat(names, ", "))
      end
    end
    return record(value, place)
  end
end

--- Raises one line where a value from a file does not fit.
-- @param value
-- @tparam function shape
-- @tparam string where the file, which begins the line
-- @tparam[opt="the value"] string place the member of the file that the value is; "" when it is the
--   whole and a record, whose members are then named alone
-- @return the value
-- @raise "WHERE: PLACE is …, expected …"
function M.check(value, shape, where, place)
  local fault = shape(value, place or "the value")
  if fault then
    errors.raise("%s: %s", where, fault)
  end
  return value
end

return M
