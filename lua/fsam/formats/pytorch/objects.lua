--- Python's values as inert Lua tables. Numbers, texts and booleans are Lua's own, None is
-- json.null; everything else is a table whose field `is` says what it stands for:
--
--     list, tuple, set   is, n and the values 1 … n
--     dict               is, keys (a list in order) and map (key → value)
--     object             is, class ("argparse.Namespace"), and what the file says about it: args,
--                        state, list, dict. It is a record: its class is never looked up or called
--     class              is, name: a class or function by name, as the file refers to it
--     integer            is, bytes: a whole number that no double holds (little-endian)
--     storage, tensor    see storage.lua
--
-- Owns: these tables, and reading them. Tables from a file may share values and hold themselves.
local json = require("fsam.base.json")
local header = require("fsam.formats.safetensors.header")

local M = {}

--- A list, tuple or set.
-- @tparam string is
-- @tparam table values 1 … n; it becomes the result
-- @tparam[opt=#values] number n
function M.sequence(is, values, n)
  values.n, values.is = n or #values, is
  return values
end

--- An empty dict.
function M.dict()
  return { is = "dict", keys = {}, map = {} }
end

--- Sets a member of a dict. A NaN as key, which is equal to nothing, is dropped.
function M.set(dict, key, value)
  if key == key then
    if dict.map[key] == nil then
      dict.keys[#dict.keys + 1] = key
    end
    dict.map[key] = value
  end
end

--- A dict of text keys from a flat list: key, value, key, value, …
function M.members(...)
  local dict, given = M.dict(), { ... }
  for i = 1, select("#", ...), 2 do
    M.set(dict, given[i], given[i + 1])
  end
  return dict
end

--- An object of a class.
-- @tparam string class
function M.object(class)
  return { is = "object", class = class }
end

--- What a value stands for: a word of the head of this file, or the Lua type's name.
function M.kind(value)
  if value == json.null then
    return "none"
  end
  return type(value) == "table" and value.is or type(value)
end

-- The dict that an object's attributes are, or its members where it is a dict itself.
local function attributes(value)
  local kind = M.kind(value)
  local dict = kind == "dict" and value or kind == "object" and (value.dict or value.state)
  if M.kind(dict) == "tuple" then -- (dict of attributes, slots)
    dict = dict[1]
  end
  return M.kind(dict) == "dict" and dict or nil
end

-- OmegaConf, in which fairseq keeps its settings, wraps a dict, and each value in it: `_content` is
-- the dict, `_val` the value, "???" one that is missing and "${…}" one that stands elsewhere.
local function is_setting(value)
  return M.kind(value) == "object" and value.class:find("^omegaconf%.") ~= nil
end

local function unwrapped(value, name)
  local inner = is_setting(value) and attributes(value)
  if inner and inner.map[name] ~= nil then
    return inner.map[name]
  end
  return value
end

local function is_absent(value)
  return value == json.null or type(value) == "string" and (value == "???" or value:find("^%${"))
end

--- A member of a dict, or an attribute of an object; of settings of OmegaConf the value itself. Nil
-- where there is none, and for None.
-- @param value any value
-- @tparam string name
function M.field(value, name)
  local settings = is_setting(value)
  local dict = attributes(unwrapped(value, "_content"))
  local member = dict and dict.map[name]
  if settings then
    member = unwrapped(member, "_val")
  end
  if member == json.null or settings and is_absent(member) then
    return nil
  end
  return member
end

--- A value in words, for messages.
function M.show(value)
  local kind = M.kind(value)
  if kind == "object" then
    return "an object of " .. header.printable(value.class)
  elseif kind == "class" then
    return "the name " .. header.printable(value.name)
  elseif kind == "string" then
    return '"' .. header.printable(value) .. '"'
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return (kind == "integer" and "an " or "a ") .. kind
end

return M
