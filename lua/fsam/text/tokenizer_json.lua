--- Hugging Face's tokenizer.json: one file that holds a whole tokenizer.
--
-- Owns: its shape; reading WordPiece and byte-level BPE, and the frame around a text. A part that
-- would change ids and is not understood is an error. `padding` and `truncation` are passed over,
-- since the training decides how long a text may be. Leaves to others: Unigram (unigram_json.lua),
-- normalizers and pre_tokenizers (components.lua), which class of tokenizer reads which of these
-- parts (init.lua).
local bpe = require("fsam.text.bpe")
local components = require("fsam.text.components")
local errors = require("fsam.errors")
local folder = require("fsam.text.folder")
local json = require("fsam.base.json")
local merging = require("fsam.text.merging")
local schema = require("fsam.base.schema")
local template = require("fsam.text.template")
local unigram_json = require("fsam.text.unigram_json")
local wordpiece = require("fsam.text.wordpiece")

local M = {}

local optional, record = schema.optional, schema.record
local text_of_type, unsupported = components.of_type, components.unsupported

local ID = schema.integer(0, 2 ^ 26 - 1)
local ADDED = record({ id = ID, content = schema.string, lstrip = optional(schema.boolean),
  rstrip = optional(schema.boolean), single_word = optional(schema.boolean),
  normalized = optional(schema.boolean), special = optional(schema.boolean) })

--- A vocabulary: pieces that are texts, and ids. Checked without schema.map, whose names of places
-- would cost more than reading the file.
local function check_vocabulary(vocab, where)
  if type(vocab) ~= "table" or (json.is_array(vocab) and next(vocab) ~= nil) then
    errors.raise("%s: model.vocab is %s, expected a table of names", where, schema.show(vocab))
  end
  for piece, id in pairs(vocab) do
    if not merging.is_id(id) then
      errors.raise("%s: the vocabulary gives %s the id %s", where, schema.show(piece),
        schema.show(id))
    end
  end
end

local function model_shape(fields)
  fields.unk_token = optional(schema.string)
  return record(fields)
end

-- The largest number of characters that a word may have is a limit of sense, not of memory.
local WORDPIECE = model_shape({ continuing_subword_prefix = optional(schema.string),
  max_input_chars_per_word = optional(schema.integer(0, 2 ^ 31)) })
local BPE = model_shape({ ignore_merges = optional(schema.boolean),
  fuse_unk = optional(schema.boolean), merges = schema.list(schema.present) })

local DOCUMENT = record({
  model = record({ type = optional(schema.string) }),
  added_tokens = optional(schema.list(ADDED)),
  padding = optional(record({ pad_token = optional(schema.string) })),
  post_processor = optional(record({ type = schema.string })),
  normalizer = optional(record({ type = schema.string })),
  pre_tokenizer = optional(record({ type = schema.string })),
})

-- Kinds of models by their names in the file: our name, and what checks its members.
local KINDS = {
  WordPiece = { "wordpiece", function(model, path)
    check_vocabulary(model.vocab, path)
    schema.check(model, WORDPIECE, path, "model")
  end },
  BPE = { "bpe", function(model, path)
    check_vocabulary(model.vocab, path)
    schema.check(model, BPE, path, "model")
  end },
  Unigram = { "unigram", unigram_json.check },
}

--- Reads the file and checks its shape.
-- @tparam string path
-- @treturn table the document, with `kind`: "wordpiece", "bpe" or "unigram"
-- @raise one line that names the member
function M.open(path)
  local data = folder.document(path, DOCUMENT)
  local model = data.model
  -- Old files leave the type out. Only BPE has merges, only Unigram a list of pieces.
  local name = model.type or model.merges and "BPE"
    or type(model.vocab) == "table" and model.vocab[1] ~= nil and "Unigram" or "WordPiece"
  local kind = KINDS[name] or unsupported(path, "a model", { type = name },
    "WordPiece, BPE, Unigram")
  kind[2](model, path)
  data.kind = kind[1]
  return data
end

--- Merges are written "a b" or ["a", "b"].
-- @tparam table data what `open` gave
-- @tparam string where its path
-- @treturn table list of pairs
function M.merges(data, where)
  local merges = {}
  for i, merge in ipairs(data.model.merges) do
    local pair = merge
    if type(merge) == "string" then
      pair = { merge:match("^([^ ]+) ([^ ]+)$") }
    end
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or type(pair[2]) ~= "string"
        or #pair ~= 2 then
      errors.raise("%s: merge %d is not a pair of pieces", where, i)
    end
    merges[i] = pair
  end
  return merges
end

local function read_wordpiece(data, where)
  local model = data.model
  local split, byte_level, plain = components.pre_tokenizer(data.pre_tokenizer, where)
  if byte_level then
    unsupported(where, "a pre_tokenizer", data.pre_tokenizer, "with WordPiece one without bytes")
  elseif not (split or plain) then
    split = function(text) -- nothing splits a text: it is one word
      return { text }
    end
  end
  return wordpiece.new({
    name = where,
    ids = model.vocab,
    unk = model.unk_token,
    prefix = model.continuing_subword_prefix,
    max_characters = model.max_input_chars_per_word,
    normalizer = components.normalizer(data.normalizer, where),
    split = split,
  })
end

--- Checks that each of these members of the model has its plain value; nil counts as plain.
local function require_plain(where, model, plain)
  for key, value in pairs(plain) do
    if model[key] ~= nil and model[key] ~= value then
      errors.raise("%s: %s = %s is not supported", where, key, schema.show(model[key]))
    end
  end
end

local function read_bpe(data, where)
  local model = data.model
  local split, byte_level, plain = components.pre_tokenizer(data.pre_tokenizer, where)
  if not byte_level or plain then
    unsupported(where, "a pre_tokenizer", data.pre_tokenizer,
      "with BPE one that ends with ByteLevel")
  end
  require_plain(where, model, { dropout = 0, continuing_subword_prefix = "",
    end_of_word_suffix = "", byte_fallback = false })
  return bpe.new({
    name = where,
    ids = model.vocab,
    merges = M.merges(data, where),
    add_prefix_space = byte_level.add_prefix_space ~= false,
    ignore_merges = model.ignore_merges,
    unk = model.unk_token,
    fuse_unk = model.fuse_unk,
    normalizer = data.normalizer and components.normalizer(data.normalizer, where),
    split = split,
    use_regex = byte_level.use_regex,
  })
end

local READERS = { wordpiece = read_wordpiece, bpe = read_bpe, unigram = unigram_json.model }

--- The model, as the file describes it.
-- @tparam table data what `open` gave
-- @tparam string where its path
-- @treturn table wordpiece.lua's, bpe.lua's or unigram.lua's
-- @raise one line, when something in it is not supported
function M.model(data, where)
  return READERS[data.kind](data, where)
end

-- -- frames --------------------------------------------------------------------------------------

local TYPE = schema.integer(0, 1)
local ITEMS = schema.list(schema.either("Sequence or SpecialToken with an id and a type_id, 0 or 1",
  schema.closed({ Sequence = record({ id = schema.one_of({ "A", "B" }), type_id = TYPE }) }),
  schema.closed({ SpecialToken = record({ id = schema.string, type_id = TYPE }) })))

local TEMPLATE = record({ single = ITEMS, pair = ITEMS,
  special_tokens = schema.map(record({ ids = schema.list(ID) })) })

--- One side of a TemplateProcessing: its items.
local function read_items(processor, key, where)
  local items = {}
  for _, item in ipairs(processor[key]) do
    local sequence, special = item.Sequence, item.SpecialToken
    if sequence then
      items[#items + 1] = { sequence = sequence.id == "A" and 1 or 2,
        token_type = sequence.type_id }
    else
      local token = processor.special_tokens[special.id]
      if not token then
        errors.raise("%s: post_processor.special_tokens lacks %s", where,
          schema.show(special.id))
      end
      for _, id in ipairs(token.ids) do
        items[#items + 1] = { id = id, token_type = special.type_id }
      end
    end
  end
  return items
end

local function template_processing(processor, where)
  schema.check(processor, TEMPLATE, where, "post_processor")
  return { single = read_items(processor, "single", where),
    pair = read_items(processor, "pair", where) }
end

-- A token and its id.
local function pair_shape(value, place)
  if type(value) ~= "table" or type(value[1]) ~= "string" or ID(value[2], place) then
    return ("%s is %s, expected a list of a token and its id"):format(place, schema.show(value))
  end
end

local PAIR = record({ cls = pair_shape, sep = pair_shape })

local function with_frame(frame)
  return function(processor, where)
    schema.check(processor, PAIR, where, "post_processor")
    return frame(processor.cls[2], processor.sep[2])
  end
end

local PROCESSORS = {
  TemplateProcessing = template_processing,
  BertProcessing = with_frame(template.bert),
  RobertaProcessing = with_frame(template.roberta),
}

local processors_frame

-- At most one part of a Sequence may put tokens around.
local function sequence_frame(processor, where)
  schema.check(processor.processors, schema.list(record({ type = schema.string })), where,
    "post_processor.processors")
  local found
  for _, part in ipairs(processor.processors) do
    local frame = processors_frame(part, where)
    if frame and found then
      errors.raise("%s: a post_processor of type Sequence is supported with one template, not more",
        where)
    end
    found = found or frame
  end
  return found
end

function processors_frame(processor, where)
  local kind = text_of_type(processor)
  if kind == "Sequence" then
    return sequence_frame(processor, where)
  elseif PROCESSORS[kind] then
    return PROCESSORS[kind](processor, where)
  elseif kind ~= "null" and kind ~= "ByteLevel" then -- ByteLevel concerns offsets only
    unsupported(where, "a post_processor", processor,
      "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence")
  end
  return nil
end

--- The frame around a text, as the file describes it.
-- @tparam table data what `open` gave
-- @tparam string where its path
-- @treturn table a template (template.lua), with every id in the bounds of ids
-- @raise one line, when something in it is not supported
function M.frame(data, where)
  return processors_frame(data.post_processor, where) or template.bare()
end

return M
