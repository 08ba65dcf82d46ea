--- Tokenizers: `text.load(path)`, and `text.wordpiece` and `text.bpe` for vocabularies in memory.
--
-- Owns reading vocabulary files, which a checkpoint's format finds (fsam.formats). What a tokenizer
-- does is tokenizer.lua's.
local bpe = require("fsam.text.bpe")
local errors = require("fsam.errors")
local files = require("fsam.text.files")
local formats = require("fsam.formats")
local json = require("fsam.base.json")
local merging = require("fsam.text.merging")
local template = require("fsam.text.template")
local tokenizer = require("fsam.text.tokenizer")
local tokenizer_json = require("fsam.text.tokenizer_json")
local wordpiece = require("fsam.text.wordpiece")

local M = {}

--- Puts special tokens, frame and model together.
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
-- `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, and should hold `[MASK]`: Transformers adds it otherwise.
-- @tparam table options
--   `vocab`: list of pieces, the first has id 0; pieces within a word begin with "##".
--   `lowercase` (true), `strip_accents` (as lowercase), `chinese` (true: Chinese characters are
--   words); `config`: more of what tokenizer_config.json says; `files` that `save` writes as they
--   are; `name` for messages
-- @treturn table tokenizer
-- @raise when a special token is missing
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
-- @raise when a special token is missing
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
    vocab = lines_of(files.read(where)),
    lowercase = config.do_lower_case,
    strip_accents = config.strip_accents,
    chinese = config.tokenize_chinese_chars,
    config = config,
    files = kept,
  })
end

local function load_ids(where, merges_path, config, kept)
  local ids = json.decode(files.read(where), where)
  if type(ids) ~= "table" then
    errors.raise("%s: expected a JSON object", where)
  end
  for piece, id in pairs(ids) do
    if type(piece) ~= "string" or not merging.is_id(id) then
      errors.raise("%s: %s has the id %s", where, tostring(piece), tostring(id))
    end
  end
  local merges = {}
  for i, line in ipairs(lines_of(files.read(merges_path))) do
    if line ~= "" and not (i == 1 and line:find("^#version")) then
      local left, right = line:match("^([^ ]+) ([^ ]+)$")
      if not left then
        errors.raise("%s: line %d is not a pair of pieces", merges_path, i)
      end
      merges[#merges + 1] = { left, right }
    end
  end
  return M.bpe({ name = where, ids = ids, merges = merges, config = config, files = kept,
    add_prefix_space = config.add_prefix_space })
end

--- Reads the tokenizer of a checkpoint.
--
-- It is tokenizer.json if there is one, else vocab.txt (BERT's WordPiece), else vocab.json with
-- merges.txt (RoBERTa's BPE). With vocab.txt, text is lower-cased and accents are stripped unless
-- tokenizer_config.json says otherwise (`do_lower_case`, `strip_accents`,
-- `tokenize_chinese_chars`); that file may also rename the special tokens.
-- @param source a path (what fsam.formats opens; a folder may have no weights), or a source
-- @treturn table tokenizer, see tokenizer.lua
-- @raise one line, when there is none or it is not supported
function M.load(source)
  local vocabulary = type(source) == "table" and source.vocabulary or formats.vocabulary(source)
  if not vocabulary then
    errors.raise("%s: no such folder, so no tokenizer", (source:gsub("(.)/+$", "%1")))
  end
  local found, kept = vocabulary.files, {}
  local config
  if found.config then
    config, kept["tokenizer_config.json"] = files.read_object(found.config)
  end
  kept["special_tokens_map.json"] = found.specials and files.read(found.specials)
  config = config or {}
  if found.tokenizer then
    local bytes = files.read(found.tokenizer)
    kept["tokenizer.json"] = bytes
    return tokenizer_json.read(bytes, found.tokenizer, config, kept)
  elseif found.pieces then
    return load_pieces(found.pieces, config, kept)
  elseif found.ids and found.merges then
    return load_ids(found.ids, found.merges, config, kept)
  end
  return errors.raise("%s: no tokenizer in this folder (looked for tokenizer.json, vocab.txt, "
    .. "vocab.json with merges.txt)", vocabulary.where)
end

return M
