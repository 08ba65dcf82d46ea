--- Tokenizers: `text.load(path)`, and `text.wordpiece` and `text.bpe` for vocabularies in memory.
--
-- Owns: making a tokenizer from vocabulary files. Leaves to others: finding these files
-- (fsam.formats), what a tokenizer does (tokenizer.lua).
local bpe = require("fsam.text.bpe")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local fairseq = require("fsam.text.fairseq")
local files = require("fsam.text.files")
local formats = require("fsam.formats")
local json = require("fsam.base.json")
local merging = require("fsam.text.merging")
local template = require("fsam.text.template")
local tokenizer = require("fsam.text.tokenizer")
local tokenizer_json = require("fsam.text.tokenizer_json")
local wordpiece = require("fsam.text.wordpiece")

local M = {}

--- Puts a model, its special tokens and the frame of its kind together.
local function assemble(model, config, kept, where)
  local names = files.names(config, model.kind)
  local ids = model.ids
  for _, role in ipairs({ "cls", "sep" }) do
    if not ids[names[role]] then
      errors.raise("%s: the vocabulary has no %s", where, names[role])
    end
  end
  local frame = model.kind == "bpe" and template.roberta or template.bert
  return tokenizer.new({
    model = model,
    template = frame(ids[names.cls], ids[names.sep]),
    added = files.special_tokens(config, model.kind, ids),
    names = names,
    files = kept,
    name = where,
  })
end

--- A WordPiece tokenizer from a vocabulary in memory, with BERT's frame. The vocabulary holds
-- `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`. It should hold `[MASK]` too, since Transformers adds a
-- missing one.
-- @tparam table options
--   `vocab`: list of pieces, the first has id 0; pieces within a word begin with "##".
--   `lowercase` (true), `strip_accents` (as lowercase), `chinese` (true: Chinese characters are
--   words); `config`: fields of tokenizer_config.json; `files`: map from file name to bytes, which
--   `save` writes unchanged; `name` for messages
-- @treturn table tokenizer
-- @raise one line when a special token is missing
function M.wordpiece(options)
  local ids = {}
  for i, piece in ipairs(options.vocab) do
    ids[piece] = i - 1
  end
  local config, where = options.config or {}, options.name or "wordpiece"
  local model = wordpiece.new({
    name = where,
    ids = ids,
    unk = files.names(config, "wordpiece").unk,
    lowercase = options.lowercase,
    strip_accents = options.strip_accents,
    chinese = options.chinese,
  })
  return assemble(model, config, options.files, where)
end

--- A byte-level BPE tokenizer from a vocabulary in memory, with RoBERTa's frame.
-- @tparam table options
--   `ids`: map from piece to id, with `<s>`, `<pad>`, `</s>`; `merges`: list of pairs of pieces,
--   best first; `add_prefix_space` (false); `config`, `files`, `name` as for `wordpiece`
-- @treturn table tokenizer
-- @raise one line when a special token is missing
function M.bpe(options)
  local config, where = options.config or {}, options.name or "bpe"
  local model = bpe.new({
    name = where,
    ids = options.ids,
    merges = options.merges,
    add_prefix_space = options.add_prefix_space,
  })
  return assemble(model, config, options.files, where)
end

--- A list of lines, without line ends.
local function lines_of(bytes)
  local lines = {}
  for line in (bytes:gsub("\r\n", "\n"):gsub("([^\n])$", "%1\n")):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

local function load_pieces(where, config, kept)
  return M.wordpiece({
    name = where,
    vocab = lines_of(file.read(where)),
    lowercase = config.do_lower_case,
    strip_accents = config.strip_accents,
    chinese = config.tokenize_chinese_chars,
    config = config,
    files = kept,
  })
end

local function merges_of(path)
  local merges = {}
  for i, line in ipairs(lines_of(file.read(path))) do
    if line ~= "" and not (i == 1 and line:find("^#version")) then
      local left, right = line:match("^([^ ]+) ([^ ]+)$")
      if not left then
        errors.raise("%s: line %d is not a pair of pieces", path, i)
      end
      merges[#merges + 1] = { left, right }
    end
  end
  return merges
end

local function load_ids(where, merges_path, config, kept)
  local ids = json.decode(file.read(where), where)
  if type(ids) ~= "table" then
    errors.raise("%s: expected a JSON object", where)
  end
  for piece, id in pairs(ids) do
    if type(piece) ~= "string" or not merging.is_id(id) then
      errors.raise("%s: %s has the id %s", where, tostring(piece), tostring(id))
    end
  end
  return M.bpe({ name = where, ids = ids, merges = merges_of(merges_path), config = config,
    files = kept, add_prefix_space = config.add_prefix_space })
end

-- A JSON object of a file, and the file's bytes.
local function read_object(path)
  local bytes = file.read(path)
  local object = json.decode(bytes, path)
  if type(object) ~= "table" or json.is_array(object) then
    errors.raise("%s: expected a JSON object", path)
  end
  return object, bytes
end

--- Reads the tokenizer of a checkpoint.
--
-- It is tokenizer.json if there is one, else vocab.txt (BERT's WordPiece), else vocab.json with
-- merges.txt (RoBERTa's BPE), else fairseq's dict.txt with encoder.json and vocab.bpe (the same).
-- With vocab.txt, text is lower-cased and accents are stripped unless tokenizer_config.json turns
-- this off (`do_lower_case`, `strip_accents`; also `tokenize_chinese_chars`). That file may also
-- rename the special tokens.
-- @param source a path (what fsam.formats opens; a folder may have no weights), or a source
-- @treturn table tokenizer, see tokenizer.lua
-- @raise one line, when there is none or it is not supported
function M.load(source)
  local vocabulary = type(source) == "table" and source.vocabulary or formats.vocabulary(source)
  if not vocabulary then
    errors.raise("%s: no such folder, so no tokenizer", file.bare(source))
  end
  local found, kept = vocabulary.files, {}
  local config = {}
  if found.config then
    config, kept["tokenizer_config.json"] = read_object(found.config)
  end
  kept["special_tokens_map.json"] = found.specials and file.read(found.specials)
  if found.tokenizer then
    local bytes = file.read(found.tokenizer)
    kept["tokenizer.json"] = bytes
    return tokenizer_json.read(bytes, found.tokenizer, config, kept)
  elseif found.pieces then
    return load_pieces(found.pieces, config, kept)
  elseif found.ids and found.merges then
    return load_ids(found.ids, found.merges, config, kept)
  elseif found.dictionary and found.encoder and found.encoder_merges then
    local encoder = read_object(found.encoder)
    return M.bpe({ name = found.dictionary, merges = merges_of(found.encoder_merges),
      ids = fairseq.ids(lines_of(file.read(found.dictionary)), encoder, found), config = config,
      files = kept })
  end
  return errors.raise("%s: no tokenizer in this folder (looked for tokenizer.json, vocab.txt, "
    .. "vocab.json with merges.txt, dict.txt with encoder.json and vocab.bpe)", vocabulary.where)
end

return M
