--- ALBERT's and XLM-R's tokenizers: what each does to a text besides SentencePiece's own work.
--
-- Owns: their two forms. From SentencePiece's file a text goes the way it went when these models
-- were trained: the class's own rules, SentencePiece's normalisation, its search. From a
-- tokenizer.json it goes the way of Hugging Face's tokenizers library, whose parts Transformers 5
-- puts together anew for each class and takes only the pieces and the rules from the file. Leaves
-- to others: reading the files (sentencepiece.lua, tokenizer_json.lua), the search (unigram.lua).
local C = require("fsam.C")
local components = require("fsam.text.components")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")
local sentencepiece = require("fsam.text.sentencepiece")
local sentencepiece_normalizer = require("fsam.text.sentencepiece_normalizer")
local unicode = require("fsam.text.unicode")
local unigram = require("fsam.text.unigram")
local unigram_json = require("fsam.text.unigram_json")
local utf8 = require("fsam.base.utf8")

local M = {}

local SPACE = "\226\150\129"

-- -- SentencePiece's file ------------------------------------------------------------------------

local Own = {}
Own.__index = Own

-- Text without what unaccented text lacks: marks that have a place among others.
local function strip_marks(text)
  local codes, n = utf8.decode(text)
  local kept = {}
  for i = 0, n - 1 do
    if not unicode.is_mark(codes[i]) then
      kept[#kept + 1] = utf8.char(codes[i])
    end
  end
  return table.concat(kept)
end

-- Space of any kind as one space, none at the ends. Python counts four controls among the spaces.
local function single_spaces(text)
  if text:find("[\194\225-\227]") then
    text = unicode.spaces(text)
  end
  return (text:gsub("[\t-\r\28-\32]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- ALBERT's rules before SentencePiece.
function Own:normalize(text)
  if self.lower then
    text = self.lower:normalize(text)
  end
  text = single_spaces(text):gsub("``", '"'):gsub("''", '"')
  if text:find("[\128-\255]") then
    if not self.keep_accents then
      text = strip_marks(unicode.newest_form(text, "NFKD"))
    end
    text = self.lower and self.lower:normalize(text) or text
  end
  return self.inner:normalize(text)
end

--- The ids in place of a piece that ends with a digit and a comma: those of the piece without the
-- comma, found as if it stood at the beginning of a text, and the comma's.
local function without_comma(model, text)
  local found, ids = {}, {}
  model:append(found, model.normalizer.inner:normalize((text:sub(1, -2):gsub(SPACE, ""))))
  local first = found[1] and model.tokens[found[1]] or ""
  for i, id in ipairs(found) do
    if i > 1 or text:sub(1, #SPACE) == SPACE or first:sub(1, #SPACE) ~= SPACE then
      ids[#ids + 1] = id
    elseif first ~= SPACE then
      ids[#ids + 1] = model.ids[first:sub(#SPACE + 1)] or model.unk_id
    end
  end
  ids[#ids + 1] = model.ids[","] or model.unk_id
  return ids
end

-- Does a text end with a decimal digit and a comma?
local function ends_with_digit_and_comma(text)
  local character = text:match("([%z\1-\127\194-\244][\128-\191]*),$")
  if not character then
    return false
  end
  local code = utf8.decode(character)[0]
  return C.ffi.string(C.lib.fsam_unicode_category(code)) == "Nd"
end

local function add_exceptions(model, pieces)
  local exceptions = {}
  model.tokens = {}
  for i, piece in ipairs(pieces) do
    model.tokens[i - 1] = piece.text
  end
  for i, piece in ipairs(pieces) do
    if piece.text:byte(-1) == 44 and ends_with_digit_and_comma(piece.text) then
      exceptions[i - 1] = without_comma(model, piece.text)
    end
  end
  model.exceptions = exceptions
end

local function albert_from_model(path, config)
  local model = sentencepiece.read(path)
  local inner = sentencepiece_normalizer.new(model, path)
  local lower = config.do_lower_case ~= false
    and components.normalizer({ type = "Lowercase" }, path) or nil
  local made = unigram.new({ name = path, pieces = model.pieces, unk_id = model.unk_id,
    byte_ids = model.byte_fallback and model.byte_ids, narrow = true,
    normalizer = setmetatable({ inner = inner, lower = lower,
      keep_accents = config.keep_accents }, Own) })
  add_exceptions(made, model.pieces)
  return made
end

-- fairseq's ids: four tokens of its own first, the pieces after SentencePiece's three, <mask>.
local XLM_ROBERTA = { ["<s>"] = 0, ["<pad>"] = 1, ["</s>"] = 2, ["<unk>"] = 3 }

local function xlm_roberta_from_model(path)
  local model = sentencepiece.read(path)
  if model.unk_id ~= 0 or #model.pieces < 3 then
    errors.raise("%s: a model of XLM-R has %s, then <s> and </s> before the pieces; its unknown "
      .. "piece has the id %d", path, schema.show("<unk>"), model.unk_id)
  end
  local ids = {}
  for i = 4, #model.pieces do
    ids[model.pieces[i].text] = i
  end
  for text, id in pairs(XLM_ROBERTA) do
    ids[text] = id
  end
  ids["<mask>"] = #model.pieces + 1
  return unigram.new({ name = path, pieces = model.pieces, shift = 1, ids = ids,
    unk_id = XLM_ROBERTA["<unk>"], byte_ids = model.byte_fallback and model.byte_ids,
    narrow = true, normalizer = sentencepiece_normalizer.new(model, path) })
end

-- -- tokenizer.json ------------------------------------------------------------------------------

-- The rules of normalisation that the file has somewhere.
local function rules_of(whole)
  local normalizer = whole.normalizer
  local list = normalizer and (normalizer.type == "Sequence" and normalizer.normalizers
    or { normalizer })
  for _, part in ipairs(list or {}) do
    if components.of_type(part) == "Precompiled" then
      return part
    end
  end
  return nil
end

local function json_model(whole, where, config, normalizers, unk_id)
  normalizers[#normalizers + 1] = rules_of(whole)
  local scheme = config.add_prefix_space ~= false and "always" or "never"
  return unigram_json.model(whole, where, {
    unk_id = unk_id,
    normalizer = components.normalizer({ type = "Sequence", normalizers = normalizers }, where),
    pre_tokenizer = { type = "Sequence", pretokenizers = { { type = "WhitespaceSplit" },
      { type = "Metaspace", prepend_scheme = scheme } } },
  })
end

local function replace(pattern, content)
  return { type = "Replace", pattern = { String = pattern }, content = content }
end

local function albert_from_json(whole, where, config)
  local list = { replace("``", '"'), replace("''", '"') }
  if not config.keep_accents then
    list[#list + 1] = { type = "NFKD" }
    list[#list + 1] = { type = "StripAccents" }
  end
  if config.do_lower_case ~= false then
    list[#list + 1] = { type = "Lowercase" }
  end
  return json_model(whole, where, config, list, 1)
end

local function xlm_roberta_from_json(whole, where, config)
  return json_model(whole, where, config, {}, 3)
end

--- By the names of the classes: from_model(path, config) and from_json(document, path, config),
-- where config is tokenizer_config.json. Both return a model (unigram.lua).
M.AlbertTokenizer = { from_model = albert_from_model, from_json = albert_from_json }
M.XLMRobertaTokenizer = { from_model = xlm_roberta_from_model, from_json = xlm_roberta_from_json }

return M
