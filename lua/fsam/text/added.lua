--- Finding special and other added tokens in text.
--
-- Owns: the split of a text into added tokens and the stretches between them. The rules are those
-- of Hugging Face's AddedVocabulary: leftmost, then longest; `single_word` asks that no word
-- character touches the token; `lstrip` and `rstrip` swallow the space beside it.
local unicode = require("fsam.text.unicode")
local utf8 = require("fsam.base.utf8")

local M = {}

local Splitter = {}
Splitter.__index = Splitter

--- A splitter.
-- @tparam table tokens list of `{ content, id, lstrip, rstrip, single_word }`
-- @treturn ?table with the method `split`; nil when there is no token to find
function M.new(tokens)
  local by_byte, class = {}, {}
  for _, token in ipairs(tokens) do
    local first = token.content:byte()
    if first then
      if not by_byte[first] then
        by_byte[first] = {}
        class[#class + 1] = (token.content:sub(1, 1):gsub("%p", "%%%0"):gsub("%z", "%%z"))
      end
      table.insert(by_byte[first], token)
    end
  end
  if #class == 0 then
    return nil
  end
  for _, list in pairs(by_byte) do
    table.sort(list, function(a, b)
      return #a.content > #b.content
    end)
  end
  return setmetatable({ by_byte = by_byte, class = "[" .. table.concat(class) .. "]" }, Splitter)
end

--- The code point that ends before byte `at`, and the position of its first byte.
local function before(text, at)
  local first = at - 1
  while first > 1 and text:byte(first) >= 0x80 and text:byte(first) < 0xC0 do
    first = first - 1
  end
  local codes = utf8.decode(text:sub(first, at - 1))
  return codes[0], first
end

--- The code point that starts at byte `at`, and the position after it.
local function from(text, at)
  local last = at
  while last < #text and text:byte(last + 1) >= 0x80 and text:byte(last + 1) < 0xC0 do
    last = last + 1
  end
  local codes = utf8.decode(text:sub(at, last))
  return codes[0], last + 1
end

local function is_space(code)
  return bit.band(unicode.classes()[code], unicode.BITS.SPACE) ~= 0
end

local function touches_word(text, first, last)
  return first > 1 and unicode.is_word((before(text, first)))
    or last < #text and unicode.is_word((from(text, last + 1)))
end

--- The next token at or after byte `at`, with the bounds of its text.
local function find(self, text, at)
  while true do
    local first = text:find(self.class, at)
    if not first then
      return nil
    end
    for _, token in ipairs(self.by_byte[text:byte(first)]) do
      local last = first + #token.content - 1
      if text:sub(first, last) == token.content then
        return token, first, last
      end
    end
    at = first + 1
  end
end

--- Splits a text.
-- @tparam string text valid UTF-8
-- @treturn table list of strings (none empty) and ids of added tokens (numbers), in order
function Splitter:split(text)
  local parts, done, at = {}, 1, 1 -- text before `done` is in parts
  while true do
    local token, first, last = find(self, text, at)
    if not token then
      break
    end
    at = last + 1
    if not (token.single_word and touches_word(text, first, last)) then
      while token.lstrip and first > done do
        local code, start = before(text, first)
        if not is_space(code) then
          break
        end
        first = start
      end
      while token.rstrip and last < #text do
        local code, after = from(text, last + 1)
        if not is_space(code) then
          break
        end
        last = after - 1
      end
      if first > done then
        parts[#parts + 1] = text:sub(done, first - 1)
      end
      parts[#parts + 1] = token.id
      done = last + 1
    end
  end
  if done <= #text then
    parts[#parts + 1] = text:sub(done)
  end
  return parts
end

return M
