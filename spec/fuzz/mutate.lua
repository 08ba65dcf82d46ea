--- One input out of others. An input is a bundle: a table from the names of its parts to bytes. A
-- part has a kind: "bytes", "document" (JSON), "tensors" (a safetensors file), "words" (a command
-- line, a word on a line). Owns: which part is changed, how often, by what. Leaves to others: the
-- changes (bytes.lua, document.lua).
local bytes = require("spec.fuzz.bytes")
local document = require("spec.fuzz.document")

local M = {}

local MOST = 300000 -- bytes of a part; longer ones are cut

-- The length of a safetensors header as its eight bytes.
local function length_bytes(n)
  local list = {}
  for i = 1, 8 do
    list[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(list)
end

--- A safetensors file of a header and data.
function M.tensors(header, data)
  return length_bytes(#header) .. header .. data
end

-- The header and the data of a file that has both; nil otherwise.
local function parts_of(text)
  local length = 0
  for i = math.min(8, #text), 1, -1 do
    length = length * 256 + text:byte(i)
  end
  if #text >= 8 and length <= #text - 8 then
    return text:sub(9, 8 + length), text:sub(9 + length)
  end
end

local function change_tensors(draw, text, other, words)
  local header, data = parts_of(text)
  if not header or draw:once_in(8) then
    return bytes.change(draw, text, other, words)
  elseif draw:once_in(4) then
    return M.tensors(header, bytes.change(draw, data, other, words))
  end
  header = document.change(draw, header, parts_of(other) or other, words)
  return M.tensors(draw:once_in(8) and header .. "  " or header, data)
end

-- A command line: words are exchanged, left out, doubled, joined to their value or changed.
local function change_words(draw, text, other, words)
  local list = {}
  for word in text:gmatch("[^\n]+") do
    list[#list + 1] = word
  end
  local at, kind = draw:upto(#list + 1), draw:upto(7)
  if kind == 1 or not list[at] then
    table.insert(list, at, draw:from(words))
  elseif kind == 2 then
    table.remove(list, at)
  elseif kind == 3 then
    list[at] = draw:from(draw:once_in(2) and words or bytes.numbers)
  elseif kind == 4 and list[at + 1] then
    list[at] = list[at] .. "=" .. table.remove(list, at + 1)
  elseif kind == 5 then
    table.insert(list, at, list[draw:upto(#list)])
  else
    list[at] = bytes.change(draw, list[at], other, words)
  end
  return table.concat(list, "\n")
end

local CHANGES = { bytes = bytes.change, document = document.change, tensors = change_tensors,
  words = change_words }

--- A new input.
-- @tparam Draw draw
-- @tparam table target parts (a list of { name, kind }), words
-- @tparam table from the bundle that is changed
-- @tparam table other one to take pieces from
-- @treturn table a bundle
function M.input(draw, target, from, other)
  local bundle = {}
  for _, part in ipairs(target.parts) do
    bundle[part.name] = from[part.name]
  end
  repeat
    local part = draw:from(target.parts)
    local name = part.name
    if #target.parts > 1 and draw:once_in(40) then
      bundle[name] = other[name]
    elseif #target.parts > 1 and draw:once_in(100) then
      bundle[name] = nil
    else
      local changed = CHANGES[part.kind](draw, bundle[name] or "", other[name] or "", target.words)
      bundle[name] = #changed > MOST and changed:sub(1, MOST) or changed
    end
  until draw:once_in(2)
  return bundle
end

return M
