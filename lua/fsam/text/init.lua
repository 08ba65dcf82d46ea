--- Tokenizers: `text.load(path)`, and `text.wordpiece` and `text.bpe` for vocabularies in memory.
--
-- Owns: making a tokenizer from vocabulary files, and which of a folder's files decides what.
-- Leaves to others: finding these files (fsam.formats), reading the small ones (folder.lua) and
-- tokenizer.json (tokenizer_json.lua), what a tokenizer does (tokenizer.lua).
local arguments = require("fsam.base.arguments")
local bert = require("fsam.text.bert")
local bpe = require("fsam.text.bpe")
local classes = require("fsam.text.classes")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local fairseq = require("fsam.text.fairseq")
local fairseq_files = require("fsam.text.fairseq_files")
local folder = require("fsam.text.folder")
local formats = require("fsam.formats")
local json = require("fsam.base.json")
local merging = require("fsam.text.merging")
local schema = require("fsam.base.schema")
local sentencepiece_classes = require("fsam.text.sentencepiece_classes")
local template = require("fsam.text.template")
local tokenizer = require("fsam.text.tokenizer")
local tokenizer_json = require("fsam.text.tokenizer_json")
local tokens = require("fsam.text.tokens")
local unicode = require("fsam.text.unicode")
local utf8 = require("fsam.base.utf8")
local wordpiece = require("fsam.text.wordpiece")

local M = {}

-- -- vocabularies in memory ----------------------------------------------------------------------

--- The special tokens of a vocabulary in memory: those of its class that it has. RoBERTa's <mask>
-- takes the space before it.
local function own_tokens(ids, class)
  local said = { class = { tokens = {} }, named = {}, none = {}, added = {}, own = {}, extra = {} }
  for key, name in pairs(class.tokens) do
    if ids[name] then
      said.named[key] = folder.token(name, true)
      said.named[key].lstrip = class == classes.roberta and key == "mask_token"
    end
  end
  return tokens.all(ids, said, {})
end

--- Puts a model, the special tokens and the frame of its class together.
local function assemble(model, class, options, where)
  local added = own_tokens(model.ids, class)
  local names = {}
  for _, role in ipairs(tokens.ROLES) do
    names[role[1]] = class.tokens[role[2]]
  end
  for _, role in ipairs({ "cls", "sep" }) do
    if not model.ids[names[role]] then
      errors.raise("%s: the vocabulary has no %s", where, schema.show(names[role]))
    end
  end
  return tokenizer.new({
    model = model,
    template = template[class.frame](model.ids[names.cls], model.ids[names.sep]),
    added = added,
    names = names,
    files = options.files,
    name = where,
  })
end

--- A WordPiece tokenizer from a vocabulary in memory, with BERT's frame. The vocabulary holds
-- `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`. It should hold `[MASK]` too, since Transformers adds a
-- missing one.
-- @tparam table options
--   `vocab`: list of pieces, the first has id 0; pieces within a word begin with "##".
--   `lowercase` (true), `strip_accents` (as lowercase), `chinese` (true: Chinese characters are
--   words); `files`: map from file name to bytes, which `save` writes unchanged; `name` for
--   messages
-- @treturn table tokenizer
-- @raise one line when a special token is missing
function M.wordpiece(options)
  local ids = {}
  for i, piece in ipairs(options.vocab) do
    ids[piece] = i - 1
  end
  local where = options.name or "wordpiece"
  local model = wordpiece.new({ name = where, ids = ids, normalizer = bert.new(options) })
  return assemble(model, classes.bert, options, where)
end

--- A byte-level BPE tokenizer from a vocabulary in memory, with RoBERTa's frame.
-- @tparam table options
--   `ids`: map from piece to id, with `<s>`, `<pad>`, `</s>`; `merges`: list of pairs of pieces,
--   best first; `add_prefix_space` (false); `files`, `name` as for `wordpiece`
-- @treturn table tokenizer
-- @raise one line when a special token is missing
function M.bpe(options)
  local where = options.name or "bpe"
  local model = bpe.new({
    name = where,
    ids = options.ids,
    merges = options.merges,
    add_prefix_space = options.add_prefix_space,
  })
  return assemble(model, classes.roberta, options, where)
end

-- -- folders -------------------------------------------------------------------------------------

local MOST_LINES = 2 ^ 21 -- ten times the largest vocabulary that is in use

--- The lines of a file, without line ends, and without the mark that Windows' editors put first.
local function lines_of(path)
  local lines, bytes = {}, file.read(path, file.VOCABULARY):gsub("^\239\187\191", "")
  local _, count = bytes:gsub("\n", "")
  if count > MOST_LINES then
    errors.raise("%s has %d lines, at most %d are read; is it the right file?", path, count,
      MOST_LINES)
  end
  for line in (bytes:gsub("\r\n", "\n"):gsub("([^\n])$", "%1\n")):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

--- The pieces of vocab.txt: a line is a piece, without space at its end. Of equal lines the last
-- counts.
local function pieces_of(path)
  local ids = {}
  for i, line in ipairs(lines_of(path)) do
    if line:find("[%s\128-\255]$") then
      line = unicode.trim(utf8.clean(line), false, true)
    end
    ids[line] = i - 1
  end
  return ids
end

--- The pieces of vocab.json.
local function ids_of(path)
  local ids = schema.check(json.decode(file.read(path, file.VOCABULARY), path),
    schema.map(schema.present), path, "the vocabulary")
  for piece, id in pairs(ids) do
    if not merging.is_id(id) then
      errors.raise("%s: %s has the id %s", path, schema.show(piece), schema.show(id))
    end
  end
  return ids
end

local function merges_of(path)
  local merges = {}
  for i, line in ipairs(lines_of(path)) do
    if line ~= "" and not line:find("^#version") then
      local left, right = line:match("^([^ ]+) ([^ ]+)$")
      if not left then
        errors.raise("%s: line %d is not a pair of pieces", path, i)
      end
      merges[#merges + 1] = { left, right }
    end
  end
  return merges
end

--- The tokenizer of fairseq's dict.txt with encoder.json and vocab.bpe, which is RoBERTa's.
local function of_fairseq(found)
  local ids, dictionary = fairseq.ids(found)
  local made = arguments.within(M.bpe)({ name = found.dictionary, ids = ids,
    merges = merges_of(found.encoder_merges), files = {} })
  made.dictionary = dictionary -- fsam.data.fit compares it with the data's
  return made
end

local function missing(vocabulary, class, files)
  errors.raise("%s: a tokenizer of class %s needs %s, which this folder lacks", vocabulary.where,
    class.name, files)
end

--- The model of a class for which all of tokenizer.json counts.
-- @treturn table model
-- @treturn string where its vocabulary is from
-- @treturn table the tokens that are added first
local function written_model(said, found, whole, vocabulary)
  local where, first = found.tokenizer, {}
  if not whole then
    missing(vocabulary, said.class, "tokenizer.json")
  end
  local pad = whole.padding and whole.padding.pad_token
  said.named.pad_token = said.named.pad_token or pad and folder.token(pad, true)
  for i, token in ipairs(whole.added_tokens or {}) do
    first[i] = folder.token(token)
  end
  return tokenizer_json.model(whole, where), where, first
end

--- The model of ALBERT's and XLM-R's classes. Returns what written_model does.
local function unigram_model(said, found, whole, vocabulary)
  local class, config = said.class, said.config
  local make = sentencepiece_classes[class.name]
  if whole then
    return make.from_json(whole, found.tokenizer, config), found.tokenizer, {}
  end
  local where = found[class.role] or missing(vocabulary, class, "tokenizer.json or "
    .. class.sentencepiece)
  local mask = said.named.mask_token or not said.none.mask_token
    and folder.token(class.tokens.mask_token, true) or nil
  if mask and type(config.mask_token) ~= "table" and not config.added_tokens_decoder then
    mask.lstrip = true -- without a word on it, the space before a mask belongs to it
  end
  said.named.mask_token = mask
  return make.from_model(where, config), where, {}
end

--- The model of a class that takes only the vocabulary from tokenizer.json: all else is the
-- class's, or said by tokenizer_config.json. Returns what written_model does.
local function class_model(said, found, whole, vocabulary)
  local class, config = said.class, said.config
  if whole and whole.kind ~= class.kind then
    errors.raise("%s: holds a model of another kind (%s) than a tokenizer of class %s has (%s)",
      found.tokenizer, whole.kind, class.name, class.kind)
  end
  if class.kind == "unigram" then
    return unigram_model(said, found, whole, vocabulary)
  elseif class.kind == "wordpiece" then
    local where = found.tokenizer or found.pieces or missing(vocabulary, class, "vocab.txt")
    local unk = said.named.unk_token
    return wordpiece.new({
      name = where,
      ids = whole and whole.model.vocab or pieces_of(where),
      unk = unk and unk.content or class.tokens.unk_token,
      normalizer = bert.new({ lowercase = config.do_lower_case,
        strip_accents = config.strip_accents, chinese = config.tokenize_chinese_chars }),
    }), where, {}
  end
  local where = found.tokenizer or found.ids and found.merges and found.ids
    or missing(vocabulary, class, "vocab.json and merges.txt")
  return bpe.new({
    name = where,
    ids = whole and whole.model.vocab or ids_of(where),
    merges = whole and tokenizer_json.merges(whole, where) or merges_of(found.merges),
    add_prefix_space = config.add_prefix_space,
  }), where, {}
end

--- The frame of a class, around the tokens that the folder names. Transformers adds a missing [CLS]
-- to the vocabulary; no model knows such a token, so it is an error here.
local function class_frame(class, added, names, where)
  local id = {}
  for _, token in ipairs(added) do
    id[token.content] = not token.implied and token.id or nil
  end
  for _, role in ipairs({ "cls", "sep" }) do
    if not id[names[role]] then
      errors.raise("%s: the vocabulary has no %s", where, schema.show(names[role]))
    end
  end
  return template[class.frame](id[names.cls], id[names.sep])
end

-- The usual names of special tokens, for a tokenizer.json whose folder names none. They are not
-- added; the vocabulary may have them.
local USUAL = {
  wordpiece = { pad = "[PAD]", unk = "[UNK]", cls = "[CLS]", sep = "[SEP]", mask = "[MASK]" },
  bpe = { pad = "<pad>", unk = "<unk>", cls = "<s>", sep = "</s>", mask = "<mask>" },
  unigram = { pad = "<pad>", unk = "<unk>", cls = "<s>", sep = "</s>", mask = "<mask>" },
}

--- Fills in the names of roles that no file gives.
local function complete_names(names, model)
  for role, name in pairs(USUAL[model.kind]) do
    names[role] = names[role] or name
  end
end

--- The files of a tokenizer, with those of fairseq's that lie elsewhere where it has none of its
-- own: dict.txt is often beside the data, encoder.json and vocab.bpe where they were fetched to.
-- @tparam table vocabulary where and files (fsam.formats); not changed
-- @tparam {string,…} folders to look in, in this order
-- @treturn table vocabulary
-- @raise one line that names a file, when the system does not say whether it is there
function M.with_fairseq(vocabulary, folders)
  local files = {}
  for role, path in pairs(vocabulary.files) do
    files[role] = path
  end
  for _, path in ipairs(folders) do
    local more = file.kind(path) == "directory" and formats.vocabulary(path).files or {}
    for _, role in ipairs({ "dictionary", "encoder", "encoder_merges" }) do
      files[role] = files[role] or more[role]
    end
  end
  return { where = vocabulary.where, files = files }
end

--- Writes dict.txt, encoder.json and vocab.bpe into a folder (fairseq_files.lua).
M.save_fairseq = fairseq_files.save

--- Reads the tokenizer of a checkpoint as Transformers 5 does.
--
-- The class of the tokenizer, which tokenizer_config.json or config.json tells, decides. BERT's and
-- RoBERTa's take the vocabulary from tokenizer.json, else from vocab.txt, or vocab.json with
-- merges.txt; how text is normalised and split is theirs, with the flags of tokenizer_config.json
-- (`do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, `add_prefix_space`). So it is with
-- ALBERT's and XLM-R's (`do_lower_case`, `keep_accents`); without a tokenizer.json they read
-- SentencePiece's own file, and give the ids that these models were trained with. A
-- PreTrainedTokenizerFast is what tokenizer.json says, and so is a tokenizer.json in a folder that
-- tells no class. The names of special tokens and the tokens added to the vocabulary come from
-- tokenizer_config.json, special_tokens_map.json, added_tokens.json and tokenizer.json. Where none
-- of these vocabularies is, fairseq's dict.txt with encoder.json and vocab.bpe is one.
-- @param source a path (what fsam.formats opens; a folder may have no weights), or a source
-- @treturn table tokenizer, see tokenizer.lua
-- @raise one line, when there is none, a file cannot be read, or something is not supported
function M.load(source)
  local vocabulary = type(source) == "table" and source.vocabulary or formats.vocabulary(source)
  local found = vocabulary.files
  if found.dictionary and found.encoder and found.encoder_merges
      and not (found.tokenizer or found.pieces or found.ids) then
    return of_fairseq(found)
  end
  local whole = found.tokenizer and tokenizer_json.open(found.tokenizer)
  local said = folder.read(vocabulary, whole)
  local class = said.class
  local model, where, first = (class.written and written_model or class_model)(said, found, whole,
    vocabulary)
  local added, names = tokens.all(model.ids, said, first)
  local frame = class.frame and class_frame(class, added, names, where)
    or whole and tokenizer_json.frame(whole, where) or template.bare()
  complete_names(names, model)
  return tokenizer.new({ model = model, template = frame, added = added, names = names,
    files = said.kept, class = class, name = where,
    split_special = said.config.split_special_tokens })
end

local optional = arguments.optional
local kept, flag = optional(schema.map(schema.string)), optional(schema.boolean)

arguments.guard("fsam.text", M, {
  wordpiece = { arguments.fields({ vocab = schema.list(schema.string, 1), lowercase = flag,
    strip_accents = flag, chinese = flag, files = kept, name = optional(schema.string) }) },
  bpe = { arguments.fields({ ids = schema.map(schema.integer(0)), merges =
    schema.list(schema.list(schema.string, 2)), add_prefix_space = flag, files = kept,
    name = optional(schema.string) }) },
  with_fairseq = { arguments.arg("vocabulary", schema.record({ where = schema.string,
    files = schema.map(schema.string) })), arguments.arg("folders", schema.list(schema.string)) },
  load = { arguments.arg("path", schema.either("a path, or a source of fsam.formats.open",
    schema.path, arguments.object("", { vocabulary = "table" }))) },
})

return M
