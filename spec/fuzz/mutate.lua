--- One input out of others. An input is a bundle: a table from the names of its parts to bytes. A
-- part has a kind: "bytes", "document" (JSON), "tensors" (a safetensors file), "words" (a command
-- line, a word on a line). Owns: which part is changed, how often, by what. Leaves to others: the
-- changes (bytes.lua, document.lua, tensors.lua).
local bytes = require("spec.fuzz.bytes")
local document = require("spec.fuzz.document")
local tensors = require("spec.fuzz.tensors")

local M = {}

local MOST = 300000 -- bytes of a part; longer ones are cut

M.tensors = tensors.file

local function change_tensors(draw, text, other, words)
  local header, data = tensors.parts(text)
  if not header or draw:once_in(8) then
    return bytes.change(draw, text, other, words)
  end
  local changed = draw:once_in(2) and tensors.change(draw, header, data, words)
  if changed then
    return changed
  elseif draw:once_in(4) then
    return M.tensors(header, bytes.change(draw, data, other, words))
  end
  header = document.change(draw, header, tensors.parts(other) or other, words)
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
