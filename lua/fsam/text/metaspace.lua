--- Spaces as SentencePiece's pieces spell them: U+2581, at the beginning of a word.
--
-- Owns: Hugging Face's pre_tokenizer and decoder Metaspace. Leaves to others: the other
-- pre_tokenizers (components.lua).
local errors = require("fsam.errors")
local ffi = require("ffi")
local schema = require("fsam.base.schema")

local M = {}

local SPACE = "\226\150\129"

local optional = schema.optional
local SHAPE = schema.record({ replacement = optional(schema.one_of({ SPACE })),
  prepend_scheme = optional(schema.one_of({ "always", "first", "never" })),
  add_prefix_space = optional(schema.boolean), split = optional(schema.boolean) })

--- The stretches of a text, each of which but the first begins with U+2581.
local function stretches(text)
  local list, start = {}, 1
  local at = text:find(SPACE, 2, true)
  while at do
    list[#list + 1] = text:sub(start, at - 1)
    start = at
    at = text:find(SPACE, at + #SPACE, true)
  end
  list[#list + 1] = text:sub(start)
  return list
end

--- The pre_tokenizer.
-- @tparam table component of a tokenizer.json
-- @tparam string where its path
-- @treturn function (text, first) → list of words; `first`: does the text begin the whole one?
-- @raise one line, for flags that contradict each other or are not supported
function M.splitter(component, where)
  schema.check(component, SHAPE, where, "the pre_tokenizer Metaspace")
  local scheme = component.prepend_scheme or "always"
  if component.add_prefix_space == false then
    if scheme ~= "never" and component.prepend_scheme then
      errors.raise("%s: the pre_tokenizer Metaspace has add_prefix_space false and prepend_scheme "
        .. "%s, which contradict each other", where, scheme)
    end
    scheme = "never"
  end
  return function(text, first)
    text = text:gsub(" ", SPACE)
    local prepend = scheme == "always" or scheme == "first" and first
    if prepend and text:sub(1, #SPACE) ~= SPACE then
      text = SPACE .. text
    end
    return component.split == false and { text } or stretches(text)
  end
end

-- What a byte may be: part of a word, space, or the first of U+2581 or of a space past ASCII.
local WORD_BYTE, SPACE_BYTE, ODD_BYTE = 0, 1, 2
local kinds = ffi.new("uint8_t[256]")
for _, byte in ipairs({ 9, 10, 11, 12, 13, 32 }) do
  kinds[byte] = SPACE_BYTE
end
for _, byte in ipairs({ 0xC2, 0xE1, 0xE2, 0xE3 }) do
  kinds[byte] = ODD_BYTE
end

local capacity = 16384
local buffer = ffi.new("uint8_t[?]", capacity)

--- Words at spaces, each with U+2581 before it, as one text: what a pre_tokenizer of
-- WhitespaceSplit and Metaspace gives.
-- @tparam string text normalised
-- @treturn ?cdata uint8_t array, which the next call overwrites; nil for a text with characters
--   that make this less than simple
-- @treturn ?int how many bytes it holds
function M.spaced(text)
  if 4 * #text > capacity then
    capacity = 8 * #text
    buffer = ffi.new("uint8_t[?]", capacity)
  end
  local p, out, at, before = ffi.cast("const uint8_t *", text), buffer, 0, SPACE_BYTE
  for i = 0, #text - 1 do
    local kind = kinds[p[i]]
    if kind == ODD_BYTE then
      return nil
    elseif kind == WORD_BYTE then
      if before == SPACE_BYTE then
        out[at], out[at + 1], out[at + 2] = 0xE2, 0x96, 0x81
        at = at + 3
      end
      out[at] = p[i]
      at = at + 1
    end
    before = kind
  end
  return out, at
end

--- The decoder: readable text of tokens.
-- @tparam {string,…} tokens
-- @treturn string
function M.join(tokens)
  local parts = {}
  for i, token in ipairs(tokens) do
    parts[i] = token:gsub(SPACE, i == 1 and "" or " ")
  end
  return table.concat(parts)
end

return M
