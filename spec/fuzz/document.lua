--- Changes of a JSON text that keep it a JSON text: values of other types, members left out,
-- doubled and renamed, deep nesting, huge numbers. It works on places in the text, so that
-- duplicated members and numbers that no table can hold are possible. Owns: finding values and
-- members, and these changes. Leaves to others: changes of bytes (bytes.lua).
local bytes = require("spec.fuzz.bytes")

local M = {}

local DEEPEST = 300 -- levels that are looked into

-- -- places ---------------------------------------------------------------------------------------

local function string_end(text, i)
  local at = i + 1
  while true do
    at = text:find('["\\]', at)
    if not at then
      return nil
    elseif text:byte(at) == 34 then
      return at
    end
    at = at + 2
  end
end

local scan_value

-- Members or elements from `i`, behind the opening bracket; gives the place of the closing one.
local function scan_items(found, text, i, close, depth)
  local before
  i = text:find("[^ \t\r\n]", i)
  while i and text:byte(i) ~= close do
    local item = { from = i, before = before }
    if close == 125 then
      item.key_to = text:byte(i) == 34 and string_end(text, i)
      i = item.key_to and text:match("^[ \t\r\n]*:()", item.key_to + 1)
      if not i then
        return nil
      end
    end
    local to = scan_value(found, text, i, depth + 1)
    if not to then
      return nil
    end
    item.to = to
    found.items[#found.items + 1] = item
    if before then
      before.after = item
    end
    before = item
    i = text:find("[^ \t\r\n]", to + 1)
    if i and text:byte(i) == 44 then
      i = text:find("[^ \t\r\n]", i + 1)
    elseif not i or text:byte(i) ~= close then
      return nil
    end
  end
  return i
end

-- Gives the place of the value's last byte; nil where the text is not JSON.
function scan_value(found, text, i, depth)
  i = text:find("[^ \t\r\n]", i)
  local first = i and text:byte(i)
  local to
  if depth > DEEPEST or not first then
    return nil
  elseif first == 123 or first == 91 then
    to = scan_items(found, text, i + 1, first + 2, depth)
  elseif first == 34 then
    to = string_end(text, i)
  else
    to = select(2, text:find("^[%w%+%-%.]+", i))
  end
  found.values[#found.values + 1] = to and { from = i, to = to } or nil
  return to
end

local KEPT = 60000 -- values and members
local kept, count = {}, 0 -- places of texts, which are changed again and again; false: not JSON

--- The places of a text's values, members and elements.
-- @treturn ?table { values, items }; nil when the text is not JSON
local function places(text)
  if kept[text] == nil then
    if count > KEPT then
      kept, count = {}, 0
    end
    local found = { values = {}, items = {} }
    kept[text] = scan_value(found, text, 1, 0) and found or false
    count = count + 1 + (kept[text] and #found.values + #found.items or 0)
  end
  return kept[text] or nil
end

-- -- changes --------------------------------------------------------------------------------------

local TEXTS = { "null", "true", "false", "0", "-1", "1", "2", "0.5", "1e308", "-1e308", "1e999",
  "4294967296", "2147483648", "9007199254740993", "123456789012345678901234567890", "-0.0",
  "1e-320",
  '""', '"a"', '"0"', '"-1"', '"\\u0000"', '"\\u001b[31mred"', '"a\\nb"', '"\\ud800"', '"\\u202e"',
  '"\194\155"', '"\255\254"', '"null"', "[]", "{}", "[[]]", "[null]", "[1]", '["a"]', "[{}]",
  '{"0":null}', '{"1":"a"}', '{"":0}', '{"__index":[]}', "[1,2,3,4,5,6,7,8]",
  '"' .. ("long "):rep(700) .. '"' }

local function replaced(text, from, to, by)
  return text:sub(1, from - 1) .. by .. text:sub(to + 1)
end

local function wrapped(draw, value)
  local times = draw:once_in(3) and draw:from({ 2, 150, 199, 200, 201, 250, 5000 }) or 1
  if draw:once_in(2) then
    return ("["):rep(times) .. value .. ("]"):rep(times)
  end
  return ('{"a":'):rep(times) .. value .. ("}"):rep(times)
end

-- A value in another form of itself.
local function altered(draw, value, other, words)
  local inside = value:match('^"(.*)"$')
  local number = tonumber(value)
  if inside and draw:once_in(4) then
    return inside -- a text that holds a number or null becomes one
  elseif inside and draw:once_in(3) then
    return '"' .. draw:from(words):gsub('[%c"\\]', "_") .. '"'
  elseif inside then
    return '"' .. bytes.change(draw, inside, other, words):gsub("[%z\1-\31]", " ") .. '"'
  elseif number then
    return draw:from({ '"' .. value .. '"', "-" .. value, value .. "0", value .. ".5",
      ("%.17g"):format(number + 1), ("%.17g"):format(number - 1), ("%.17g"):format(number * 2) })
  end
  return '"' .. value:sub(1, 40):gsub('[%c"\\]', "_") .. '"'
end

local function any_value(draw, text)
  local found = places(text)
  local place = found and draw:from(found.values)
  return place and text:sub(place.from, place.to)
end

local function change_value(draw, text, found, other, words)
  local place = draw:from(found.values)
  local value = text:sub(place.from, place.to)
  local kind = draw:upto(6)
  local by = kind <= 2 and draw:from(TEXTS)
    or kind == 3 and any_value(draw, other)
    or kind == 4 and any_value(draw, text)
    or kind == 5 and wrapped(draw, value)
    or altered(draw, value, other, words)
  return replaced(text, place.from, place.to, by)
end

-- An item and the comma beside it are left out.
local function without(text, item)
  local from, to = item.from, item.to
  if item.after then
    to = item.after.from - 1
  elseif item.before then
    from = item.before.to + 1
  end
  return replaced(text, from, to, "")
end

local function change_item(draw, text, found, _, words)
  local item = draw:from(found.items)
  local whole, kind = text:sub(item.from, item.to), draw:upto(6)
  if kind <= 2 then
    return without(text, item)
  elseif kind == 3 then -- again, sometimes very often
    local times = draw:once_in(50) and 1000 or draw:once_in(5) and 40 or 1
    times = math.min(times, math.floor(60000 / #whole))
    return replaced(text, item.from, item.to, whole .. ("," .. whole):rep(times))
  elseif kind == 4 and item.after then -- in the other order
    local after = item.after
    return text:sub(1, item.from - 1) .. text:sub(after.from, after.to)
      .. text:sub(item.to + 1, after.from - 1) .. whole .. text:sub(after.to + 1)
  elseif item.key_to then -- another name, or a further member
    local name = '"' .. draw:from(words):gsub('[%c"\\]', "_") .. '"'
    if kind == 5 then
      return replaced(text, item.from, item.key_to, name)
    end
    return replaced(text, item.from, item.to, whole .. "," .. name .. ":" .. draw:from(TEXTS))
  end
  return replaced(text, item.from, item.to, whole .. "," .. draw:from(TEXTS))
end

--- One change.
-- @tparam Draw draw
-- @tparam string text
-- @tparam string other a text of the same kind, to take values from
-- @tparam {string,…} words names and values that the format knows; at least one
-- @treturn string; a text that is not JSON is changed as bytes
function M.change(draw, text, other, words)
  local found = places(text)
  if not found or draw:once_in(8) then
    return bytes.change(draw, text, other, words)
  elseif #found.items > 0 and draw:once_in(2) then
    return change_item(draw, text, found, other, words)
  end
  return change_value(draw, text, found, other, words)
end

return M
