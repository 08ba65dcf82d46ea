--- The Unigram model of a tokenizer.json.
--
-- Owns: its shape, and which parts around it become what for the search. Leaves to others: the file
-- (tokenizer_json.lua), normalizers and pre_tokenizers (components.lua), the search (unigram.lua).
local components = require("fsam.text.components")
local errors = require("fsam.errors")
local metaspace = require("fsam.text.metaspace")
local schema = require("fsam.base.schema")
local sentencepiece = require("fsam.text.sentencepiece")
local unigram = require("fsam.text.unigram")

local M = {}

local optional = schema.optional

-- The shape of the model but its vocabulary, for which schema.list would cost more than reading it.
local MODEL = schema.record({ unk_id = schema.integer(0, 2 ^ 26 - 1),
  byte_fallback = optional(schema.boolean) })

--- Checks a model's shape.
-- @tparam table model of the document
-- @tparam string where its path
-- @raise one line that names the member
function M.check(model, where)
  schema.check(model, MODEL, where, "model")
  local vocab = model.vocab
  if type(vocab) ~= "table" or type(vocab[1]) ~= "table" then
    errors.raise("%s: model.vocab is %s, expected a list of pieces and scores", where,
      schema.show(vocab))
  end
  for i, entry in ipairs(vocab) do
    local text, score = nil, nil
    if type(entry) == "table" then
      text, score = entry[1], entry[2]
    end
    if type(text) ~= "string" or #text > sentencepiece.LONGEST or type(score) ~= "number"
        or score ~= score or math.abs(score) == math.huge then
      errors.raise("%s: model.vocab: item %d is not a piece of at most %d bytes and its score",
        where, i, sentencepiece.LONGEST)
    end
  end
  if model.unk_id >= #vocab then
    errors.raise("%s: model.unk_id is %d, expected the id of one of the %d pieces", where,
      model.unk_id, #vocab)
  end
end

-- The bytes that have pieces, spelled <0x00> to <0xFF>.
local function byte_ids(ids)
  local found = {}
  for byte = 0, 255 do
    found[byte] = ids[("<0x%02X>"):format(byte)]
  end
  return found
end

--- Is this WhitespaceSplit and then Metaspace that puts a space before each word?
local function is_plain(component)
  local parts = component.type == "Sequence" and component.pretokenizers or {}
  local second = parts[2] or {}
  return #parts == 2 and components.of_type(parts[1]) == "WhitespaceSplit"
    and second.type == "Metaspace" and (second.prepend_scheme or "always") == "always"
    and second.add_prefix_space ~= false and second.split ~= false
end

-- The function that parts words, and whether its texts are to be parted further.
local function words_of(component, where)
  local split, byte_level, plain = components.pre_tokenizer(component, where)
  if byte_level or plain then
    components.unsupported(where, "a pre_tokenizer", component,
      "with Unigram Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence")
  end
  if not component or not is_plain(component) then
    return split, false
  end
  return function(text, first)
    local spaced, bytes = metaspace.spaced(text)
    return spaced or split(text, first), bytes
  end, true
end

--- The model.
-- @tparam table whole the document (tokenizer_json.lua)
-- @tparam string where its path
-- @tparam ?table own what counts instead of what the file says: `unk_id`, `normalizer` (an object),
--   `pre_tokenizer` (as a file has it)
-- @treturn table unigram.lua's
-- @raise one line, when something in it is not supported
function M.model(whole, where, own)
  local model, pieces, ids = whole.model, {}, {}
  own = own or { unk_id = model.unk_id, pre_tokenizer = whole.pre_tokenizer,
    normalizer = components.normalizer(whole.normalizer, where) }
  for i, entry in ipairs(model.vocab) do
    pieces[i] = { text = entry[1], score = entry[2], kind = "normal" }
    ids[entry[1]] = i - 1
  end
  local words, by_word = words_of(own.pre_tokenizer, where)
  return unigram.new({ name = where, pieces = pieces, ids = ids, unk_id = own.unk_id,
    byte_ids = model.byte_fallback and byte_ids(ids) or nil, normalizer = own.normalizer,
    words = words, by_word = by_word })
end

return M
