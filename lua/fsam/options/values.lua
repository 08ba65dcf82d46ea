--- One option's value: from the words of the command line to Lua and back.
--
-- Owns: conversion, ranges and choices. Each failure is one line that begins with the flag. Leaves
-- to others: which options there are (their declarations; see options/init.lua for the form).
local errors = require("fsam.errors")
local numbers = require("fsam.base.numbers")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

-- The permitted numbers in words: "from 0 to 1", "above 0", "at least 1", …
local function range(d)
  if d.min and d.max then
    return ("from %.10g to %.10g"):format(d.min, d.max)
  end
  local parts = {}
  if d.above or d.min then
    parts[1] = d.above and ("above %.10g"):format(d.above) or ("at least %.10g"):format(d.min)
  end
  if d.below or d.max then
    parts[#parts + 1] = d.below and ("below %.10g"):format(d.below)
      or ("at most %.10g"):format(d.max)
  end
  return table.concat(parts, " and ")
end

local function inside(d, x)
  return (not d.min or x >= d.min) and (not d.max or x <= d.max)
    and (not d.above or x > d.above) and (not d.below or x < d.below)
end

-- Programs compute in f32, where smaller numbers are 0 and larger ones infinite.
local LEAST, MOST = 2 ^ -149, numbers.F32_MOST

-- Signs that programs for texts put in place of a hyphen: U+2010 to U+2015, and the minus U+2212.
local DASHES = { "\226\128[\144-\149]", "\226\136\146" }

--- Does a word hold a dash that only looks like a hyphen?
-- @tparam string word
-- @tparam[opt=""] string before a Lua pattern of what stands before it
-- @treturn boolean
function M.has_dash(word, before)
  for _, dash in ipairs(DASHES) do
    if word:find((before or "") .. dash) then
      return true
    end
  end
  return false
end

local function number(d, text, flag)
  local x = tonumber(text)
  if not x or x ~= x or math.abs(x) == math.huge then
    errors.raise("%s %s is not a number%s", flag, text, M.has_dash(text)
      and "; its dash is not the hyphen -, which must be typed" or "")
  elseif (d.type == "integer" or d.of == "integer") and x % 1 ~= 0 then
    errors.raise("%s %s is not a whole number", flag, text)
  elseif not inside(d, x) then
    errors.raise("%s %s is out of range; it must be %s", flag, text, range(d))
  elseif x ~= 0 and (math.abs(x) < LEAST or math.abs(x) > MOST) then
    errors.raise("%s %s is out of range: it is no f32 number (1.4e-45 to 3.4e38, or 0)", flag, text)
  end
  return x
end

local CONVERT = { number = number, integer = number }

function CONVERT.string(_, text, flag)
  if text == "" then
    errors.raise("%s is empty", flag)
  end
  return text
end

function CONVERT.flag()
  return true
end

function CONVERT.choice(d, text, flag)
  if text == "" then
    errors.raise("%s is empty; it takes one of %s", flag, table.concat(d.choices, ", "))
  end
  local same = d.same and d.same[text]
  for _, choice in ipairs(d.choices) do
    if choice == (same or text) then
      return choice
    end
  end
  -- fairseq writes some names with underscores, some with dashes.
  for _, choice in ipairs(d.choices) do
    if choice:gsub("_", "-") == text:gsub("_", "-") then
      return choice
    end
  end
  return errors.unknown(flag, text, d.choices)
end

-- "a,b", "a b" or Python's "(a, b)", "[a, b]"; "none" is the empty list.
function CONVERT.list(d, text, flag)
  local list = {}
  local inner = text:match("^%s*[%(%[](.*)[%)%]]%s*$") or text
  for item in inner:gmatch("[^,%s]+") do
    list[#list + 1] = (d.of == "number" or d.of == "integer") and number(d, item, flag)
      or item:gsub("^['\"](.*)['\"]$", "%1")
  end
  if not d.count and #list == 1 and list[1] == "none" then
    return {}
  elseif d.count and #list ~= d.count then
    errors.raise("%s %s has %s, expected %d separated by a comma", flag, text,
      numbers.quantity(#list, "value"), d.count)
  end
  return list
end

-- One number, or a list of them.
function CONVERT.series(d, text, flag)
  local list = CONVERT.list(d, text, flag)
  if #list == 0 then
    errors.raise("%s is empty", flag)
  end
  return #list == 1 and list[1] or list
end

--- A series' value for an epoch.
-- @tparam number|{number,…} series
-- @tparam integer epoch from 1
-- @treturn number
function M.of_epoch(series, epoch)
  return type(series) == "table" and series[math.min(epoch, #series)] or series
end

--- Is this the name of an option's type?
-- @treturn boolean
function M.is_type(name)
  return CONVERT[name] ~= nil
end

--- The names of all types of options, sorted.
-- @treturn {string,…}
function M.types()
  return registry.sorted(CONVERT)
end

--- Converts what was typed.
-- @tparam table d declaration (see options/init.lua)
-- @tparam string|boolean text the word after the flag; of a flag without a value true
-- @tparam string flag its name as messages show it
-- @return the value
-- @raise one line that names the flag, what was typed and what is valid
function M.convert(d, text, flag)
  return CONVERT[d.type](d, text, flag)
end

local LUA_TYPES = { number = "number", integer = "number", flag = "boolean", list = "table" }

--- Checks a value that no command line converted.
-- @tparam table d declaration
-- @param value not nil
-- @tparam string flag its name as messages show it
-- @raise one line that names the flag, the value and what is valid
function M.check(d, value, flag)
  local wanted, got = LUA_TYPES[d.type] or "string", type(value)
  if d.type == "series" then
    wanted = got == "table" and "table" or "number"
  end
  if got ~= wanted then
    errors.raise("%s is %s, expected a %s", flag, schema.show(value), wanted)
  elseif got ~= "boolean" then
    CONVERT[d.type](d, M.show(d, value), flag)
  end
end

--- A value in the form in which it is typed.
-- @tparam table _ declaration
-- @param value nil gives the empty string
-- @treturn string
function M.show(_, value)
  if value == nil then
    return ""
  elseif type(value) == "table" then
    local parts = {}
    for i, item in ipairs(value) do
      parts[i] = type(item) == "number" and ("%.10g"):format(item) or tostring(item)
    end
    return #parts > 0 and table.concat(parts, ",") or "none"
  elseif type(value) == "number" then
    return ("%.10g"):format(value)
  end
  return tostring(value)
end

return M
