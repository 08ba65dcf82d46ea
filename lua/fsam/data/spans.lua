--- Marks around a span of a text, which tell a model of sentences what it is asked about.
--
-- Owns: finding a span by its characters or by its words, and setting marks. Leaves to others:
-- which spans and marks (data/tasks/NAME.lua).
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")

local M = {}

-- The byte at which a text's character begins, from 0; one more than its last where it ends there.
local function byte_of(text, character)
  local at, count = 1, 0
  while count < character and at <= #text do
    local byte = text:byte(at)
    at = at + (byte < 0x80 and 1 or byte < 0xE0 and 2 or byte < 0xF0 and 3 or 4)
    count = count + 1
  end
  return count == character and at or nil
end

--- Sets marks around characters.
-- @tparam string text UTF-8
-- @tparam integer from the first character, from 0
-- @tparam integer to one after the last
-- @tparam {string,string} marks before and after
-- @tparam string place for messages
-- @treturn string
-- @raise one line when the text has no such characters
function M.characters(text, from, to, marks, place)
  local first, after = byte_of(text, from), byte_of(text, to)
  if not first or not after or first >= after then
    errors.raise("%s: the span %d to %d is not in its text \"%s\"", place, from, to, text)
  end
  return text:sub(1, first - 1) .. marks[1] .. text:sub(first, after - 1) .. marks[2]
    .. text:sub(after)
end

-- Where a word begins and ends; words are what spaces separate, the first is 0.
local function word_at(text, number)
  local from, to = 0, 0
  for _ = 0, number do
    from, to = text:find("%S+", to + 1)
    if not from then
      return nil
    end
  end
  return from, to
end

--- Where a span of words lies: the bytes of its own text, where this stands at the word, else those
-- of as many whole words.
-- @tparam string text
-- @tparam integer number of its first word, from 0
-- @tparam string span its text
-- @tparam string place for messages
-- @treturn integer the first byte
-- @treturn integer the last one
-- @raise one line when the text has no such word
function M.words(text, number, span, place)
  local from, to = word_at(text, number)
  local _, count = span:gsub("%S+", "")
  local _, last = word_at(text, number + math.max(count, 1) - 1)
  if not from or not last then
    errors.raise("%s: the span \"%s\" at word %d is not in its text \"%s\"", place, span, number,
      text)
  end
  local inside = text:sub(from, last):lower():find(span:lower(), 1, true)
  if inside and from + inside - 1 <= to then
    return from + inside - 1, from + inside + #span - 2
  end
  return from, last
end

--- Sets marks around several spans of bytes that do not overlap.
-- @tparam string text
-- @tparam {table,…} spans each { first, last, before, after }: bytes and marks
-- @treturn string
function M.mark(text, spans)
  local sorted = { unpack(spans) }
  table.sort(sorted, function(a, b)
    return a[1] > b[1]
  end)
  for _, s in ipairs(sorted) do -- from the end, so that places before stay
    text = text:sub(1, s[1] - 1) .. s[3] .. text:sub(s[1], s[2]) .. s[4] .. text:sub(s[2] + 1)
  end
  return text
end

local TEXT, PLACE, WHOLE = arguments.arg("text", schema.string),
  arguments.arg("place", schema.string), schema.integer(0)
arguments.guard("fsam.data.spans", M, {
  characters = { TEXT, arguments.arg("from", WHOLE), arguments.arg("to", WHOLE),
    arguments.arg("marks", schema.list(schema.string, 2)), PLACE },
  words = { TEXT, arguments.arg("number", WHOLE), arguments.arg("span", schema.string), PLACE },
  mark = { TEXT, arguments.arg("spans", schema.list(arguments.table)) },
})

return M
