--- Spaces as SentencePiece's pieces spell them: U+2581, at the beginning of a word.
--
-- Owns: Hugging Face's pre_tokenizer and decoder Metaspace. Leaves to others: the other
-- pre_tokenizers (components.lua).
local errors = require("fsam.errors")
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

--- Words at spaces, each with U+2581 before it, as one text: what a pre_tokenizer of
-- WhitespaceSplit and Metaspace gives.
-- @tparam string text normalised
-- @treturn ?string nil, for a text with characters that make this less than simple
function M.spaced(text)
  if text:find("[\194\225-\227]") then -- the first bytes of U+2581 and of all spaces past ASCII
    return nil
  end
  text = text:gsub("^[ \t-\r]+", ""):gsub("[ \t-\r]+$", "")
  if text == "" then
    return text
  end
  return SPACE .. text:gsub("[ \t-\r]+", SPACE)
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
