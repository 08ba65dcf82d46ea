--- The parts of a tokenizer.json that work on text before the model: normalizers and
-- pre_tokenizers.
--
-- Owns: which of them we read, and what each does. A normalizer is an object with the method
-- `normalize`; a splitter is a function from a text to the list of its words. Leaves to others:
-- BERT's own pair (bert.lua), classes of code points (unicode.lua), byte-level words (bpe.lua).
local base64 = require("fsam.base.base64")
local bert = require("fsam.text.bert")
local charsmap = require("fsam.text.charsmap")
local errors = require("fsam.errors")
local ffi = require("ffi")
local metaspace = require("fsam.text.metaspace")
local new_buffer = require("fsam.text.buffer")
local schema = require("fsam.base.schema")
local unicode = require("fsam.text.unicode")
local utf8 = require("fsam.base.utf8")

local M = {}

local boolean, optional = schema.boolean, schema.optional

local function of_type(component)
  return type(component) == "table" and tostring(component.type) or "null"
end

--- Raises the line for a part that is not read.
-- @tparam string where tokenizer.json
-- @tparam string part such as "a normalizer"
-- @param component
-- @tparam string supported what is read
function M.unsupported(where, part, component, supported)
  errors.raise("%s: %s of type %s is not supported (%s)", where, part,
    of_type(component):sub(1, 60):gsub("%c", "?"), supported)
end

--- The type of a part, "null" where there is none.
M.of_type = of_type

-- -- normalizers ----------------------------------------------------------------------------------

local reserve = new_buffer()

local function lowercase(text)
  if not text:find("[\128-\255]") then
    return text:lower()
  end
  local codes, n = utf8.decode(text)
  local out, at = reserve(8 * n), 0
  for i = 0, n - 1 do
    local first, second = unicode.lower_codes(codes[i])
    at = utf8.put(out, at, first)
    if second then
      at = utf8.put(out, at, second)
    end
  end
  return ffi.string(out, at)
end

local function strip_marks(text)
  if not text:find("[\128-\255]") then
    return text
  end
  local bits, codes, n = unicode.classes(), utf8.decode(text)
  local out, at = reserve(4 * n), 0
  for i = 0, n - 1 do
    if bit.band(bits[codes[i]], unicode.BITS.COMBINING) == 0 then
      at = utf8.put(out, at, codes[i])
    end
  end
  return ffi.string(out, at)
end

local function form(name)
  return function()
    return function(text)
      return unicode.normal_form(text, name)
    end
  end
end

local function constant(f)
  return function()
    return f
  end
end

-- Type → function (component, where) → function (text) → text.
local NORMALIZERS = {
  NFC = form("NFC"), NFD = form("NFD"), NFKC = form("NFKC"), NFKD = form("NFKD"),
  Lowercase = constant(lowercase),
  StripAccents = constant(strip_marks),
}

local STRIP = schema.record({ strip_left = optional(boolean), strip_right = optional(boolean) })

function NORMALIZERS.Strip(component, where)
  schema.check(component, STRIP, where, "the normalizer Strip")
  return function(text)
    return unicode.trim(text, component.strip_left, component.strip_right)
  end
end

-- The regular expressions that files of Transformers have in a Replace, as patterns of Lua.
local EXPRESSIONS = { [" {2,}"] = "  +", ["^ +"] = "^ +", [" +$"] = " +$" }

function NORMALIZERS.Replace(component, where)
  local given = type(component.pattern) == "table" and component.pattern or {}
  local text, content = given.String, component.content
  local pattern = EXPRESSIONS[given.Regex]
  if type(text) == "string" and text ~= "" then
    pattern = text:gsub("%W", "%%%0"):gsub("%%%z", "%%z")
  end
  if not pattern or type(content) ~= "string" then
    errors.raise("%s: a normalizer of type Replace is supported with a pattern that is a text that "
      .. "is not empty, or the expression %s", where, schema.show(" {2,}"))
  end
  local result = content:gsub("%%", "%%%%")
  return function(plain)
    if text and not plain:find(text, 1, true) then -- much faster than gsub
      return plain
    end
    return (plain:gsub(pattern, result))
  end
end

function NORMALIZERS.Prepend(component, where)
  local prefix = component.prepend
  if type(prefix) ~= "string" then
    errors.raise("%s: the normalizer Prepend has the text %s", where, schema.show(prefix))
  end
  return function(text)
    return text ~= "" and prefix .. text or text
  end
end

function NORMALIZERS.Precompiled(component, where)
  local blob = base64.decode(component.precompiled_charsmap)
  if not blob then
    errors.raise("%s: the normalizer Precompiled has no precompiled_charsmap in base64", where)
  end
  local rules = charsmap.new(blob, where)
  return function(text)
    return rules:normalize(text)
  end
end

local BERT = schema.record({ lowercase = optional(boolean), clean_text = optional(boolean),
  handle_chinese_chars = optional(boolean), strip_accents = optional(boolean) })

local function bert_normalizer(component, where)
  schema.check(component, BERT, where, "the normalizer BertNormalizer")
  return bert.new({
    lowercase = component.lowercase or false,
    clean_text = component.clean_text or false,
    chinese = component.handle_chinese_chars or false,
    strip_accents = component.strip_accents,
  })
end

function NORMALIZERS.BertNormalizer(component, where)
  local made = bert_normalizer(component, where)
  return function(text)
    return made:normalize(text)
  end
end

local NORMALIZER_NAMES = "BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, "
  .. "Replace, Prepend, Precompiled, Sequence"

-- Appends the steps of a normalizer.
local function take_normalizer(component, where, steps)
  local kind = of_type(component)
  if kind == "Sequence" then
    schema.check(component.normalizers, schema.list(schema.present), where, "normalizers")
    for _, part in ipairs(component.normalizers) do
      take_normalizer(part, where, steps)
    end
  elseif NORMALIZERS[kind] then
    steps[#steps + 1] = NORMALIZERS[kind](component, where)
  else
    M.unsupported(where, "a normalizer", component, NORMALIZER_NAMES)
  end
end

local Chain = {}
Chain.__index = Chain

function Chain:normalize(text)
  text = utf8.clean(text)
  for _, step in ipairs(self.steps) do
    text = step(text)
  end
  return text
end

--- The normalizer of a tokenizer.json.
-- @tparam ?table component
-- @tparam string where its path
-- @treturn table with the method `normalize`: text of any bytes to valid UTF-8
-- @raise one line, for one that is not read
function M.normalizer(component, where)
  if of_type(component) == "BertNormalizer" then
    return bert_normalizer(component, where)
  end
  local steps = {}
  if component ~= nil then
    take_normalizer(component, where, steps)
  end
  return setmetatable({ steps = steps }, Chain)
end

-- -- pre_tokenizers -------------------------------------------------------------------------------

--- Words by what a code point belongs to: neighbours of equal class form one word. A class of nil
-- is a space, which is dropped; false is a word of its own.
local function runs(text, class_of_code)
  local codes, n = utf8.decode(text)
  local words, start, at, current = {}, 1, 1, nil
  for i = 0, n - 1 do
    local code = codes[i]
    local class = class_of_code(code)
    if class ~= current or class == false then
      if current ~= nil and at > start then
        words[#words + 1] = text:sub(start, at - 1)
      end
      start, current = at, class
    end
    at = at + (code < 0x80 and 1 or code < 0x800 and 2 or code < 0x10000 and 3 or 4)
  end
  if current ~= nil and at > start then
    words[#words + 1] = text:sub(start)
  end
  return words
end

local function has(code, name)
  return bit.band(unicode.classes()[code], unicode.BITS[name]) ~= 0
end

local function whitespace(text)
  return runs(text, function(code)
    if unicode.is_word(code) then
      return 1
    end
    return not has(code, "SPACE") and 2 or nil
  end)
end

local function whitespace_split(text)
  return runs(text, function(code)
    return not has(code, "SPACE") and 1 or nil
  end)
end

local function punctuation(text)
  return runs(text, function(code)
    return not has(code, "PUNCTUATION") and 1
  end)
end

local SPLITTERS = {
  BertPreTokenizer = constant(bert.words),
  Whitespace = constant(whitespace),
  WhitespaceSplit = constant(whitespace_split),
  Metaspace = metaspace.splitter,
}

function SPLITTERS.Punctuation(component, where)
  local behavior = component.behavior
  if behavior ~= nil and behavior ~= "Isolated" then
    errors.raise("%s: a pre_tokenizer of type Punctuation is supported with the behavior Isolated, "
      .. "got %s", where, schema.show(behavior))
  end
  return punctuation
end

local SPLITTER_NAMES = "BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Metaspace, "
  .. "ByteLevel with BPE, Sequence"

local BYTE_LEVEL = schema.record({ add_prefix_space = optional(boolean),
  use_regex = optional(boolean) })

-- Appends the parts of a pre_tokenizer: functions, and the record of ByteLevel.
local function take_splitter(component, where, parts)
  local kind = of_type(component)
  if kind == "Sequence" then
    schema.check(component.pretokenizers, schema.list(schema.present), where, "pretokenizers")
    for _, part in ipairs(component.pretokenizers) do
      take_splitter(part, where, parts)
    end
  elseif kind == "ByteLevel" then
    parts[#parts + 1] = schema.check(component, BYTE_LEVEL, where, "the pre_tokenizer ByteLevel")
  elseif SPLITTERS[kind] then
    parts[#parts + 1] = SPLITTERS[kind](component, where)
  else
    M.unsupported(where, "a pre_tokenizer", component, SPLITTER_NAMES)
  end
end

--- The words of a text by several splitters, each of which splits the words of the one before.
local function split_by(parts)
  if #parts == 1 then
    return parts[1]
  end
  return function(text, first)
    local words = { text }
    for _, part in ipairs(parts) do
      local finer = {}
      for i, word in ipairs(words) do
        local begins = first and i == 1 and text:sub(1, #word) == word
        for _, piece in ipairs(part(word, begins)) do
          finer[#finer + 1] = piece
        end
      end
      words = finer
    end
    return words
  end
end

--- The pre_tokenizer of a tokenizer.json.
-- @tparam ?table component
-- @tparam string where its path
-- @treturn ?function (text, first) → list of its words, where `first` says whether the text begins
--   the whole one; nil for BERT's alone, and where there is
--   nothing to split by
-- @treturn ?table the last part when it is ByteLevel: `add_prefix_space`, `use_regex`
-- @treturn boolean is it BERT's alone?
-- @raise one line, for one that is not read
function M.pre_tokenizer(component, where)
  if of_type(component) == "BertPreTokenizer" then
    return nil, nil, true
  end
  local parts = {}
  if component ~= nil then
    take_splitter(component, where, parts)
  end
  local byte_level = type(parts[#parts]) == "table" and table.remove(parts) or nil
  for _, part in ipairs(parts) do
    if type(part) == "table" then
      errors.raise("%s: a pre_tokenizer of type ByteLevel is supported at the end of a Sequence "
        .. "only", where)
    end
  end
  return #parts > 0 and split_by(parts) or nil, byte_level, false
end

return M
