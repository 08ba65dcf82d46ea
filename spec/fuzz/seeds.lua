--- Small files that several targets begin with. Owns: making them. Leaves to others: what is wrong
-- with them afterwards.
local helper = require("spec.helper")
local json = require("fsam.base.json")
local mutate = require("spec.fuzz.mutate")
local parsing = require("fsam.options.parser")
local resolve = require("fsam.options.resolve")
local values = require("fsam.options.values")

local M = {}

--- The words of a safetensors header and an index.
M.TENSOR_WORDS = { "dtype", "shape", "data_offsets", "__metadata__", "F32", "F16", "BF16", "F64",
  "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "weight_map", "metadata", "total_size", "format",
  "pt", "../a.safetensors", "w", "b" }

--- The words of a tokenizer's files.
M.TOKEN_WORDS = { "content", "special", "lstrip", "rstrip", "single_word", "normalized", "id",
  "ids",
  "unk_token", "cls_token", "sep_token", "pad_token", "mask_token", "bos_token", "eos_token",
  "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "tokenizer_class",
  "BertTokenizer", "RobertaTokenizer", "RobertaTokenizerFast", "PreTrainedTokenizerFast",
  "ElectraTokenizer", "do_lower_case", "strip_accents", "tokenize_chinese_chars",
  "add_prefix_space", "split_special_tokens", "model_max_length", "__type", "AddedToken", "[UNK]",
  "[CLS]", "[SEP]", "[PAD]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "##a", "a",
  "\196\160a", "type", "vocab", "merges", "normalizer", "pre_tokenizer", "post_processor", "single",
  "pair", "special_tokens", "SpecialToken", "Sequence", "A", "B", "type_id", "tokens", "BPE",
  "WordPiece", "ByteLevel", "BertNormalizer", "TemplateProcessing", "RobertaProcessing",
  "BertProcessing", "Lowercase", "NFC", "StripAccents", "Whitespace", "max_input_chars_per_word",
  "continuing_subword_prefix", "use_regex" }

--- A vocabulary of pieces.
M.PIECES = table.concat({ "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "cat", "##s",
  "##at", "c", "##c", "s", ".", "!", "\195\169", "1", "##1", "" }, "\n")

--- A vocabulary of byte pairs, with its merges.
M.PAIRS = json.encode({ ["<s>"] = 0, ["<pad>"] = 1, ["</s>"] = 2, ["<unk>"] = 3, a = 4, b = 5,
  c = 6, ["\196\160"] = 7, ab = 8, ["\196\160a"] = 9, abc = 10, ["<mask>"] = 11 })
M.MERGES = "#version: 0.2\na b\n\196\160 a\nab c\n"

--- tokenizer_config.json of two kinds.
M.BERT = json.encode({ tokenizer_class = "BertTokenizer", do_lower_case = true, pad_token = "[PAD]",
  cls_token = "[CLS]", strip_accents = json.null, model_max_length = 512,
  mask_token = { content = "[MASK]", lstrip = false, __type = "AddedToken" },
  added_tokens_decoder = { ["4"] = { content = "[MASK]", special = true, lstrip = false } } })
M.ROBERTA = json.encode({ tokenizer_class = "RobertaTokenizer", add_prefix_space = false,
  bos_token = "<s>", mask_token = { content = "<mask>", lstrip = true },
  additional_special_tokens = { "<x>" } })

M.ALBERT = json.encode({ tokenizer_class = "AlbertTokenizer", keep_accents = false,
  do_lower_case = true, mask_token = "[MASK]", sep_token = "[SEP]" })

--- What Transformers wrote: a tokenizer.json of type Unigram, with fewer pieces.
function M.unigram_json()
  local document = json.decode(helper.read_file(helper.root
    .. "/spec/golden/unigram/xlm_roberta.json"), "unigram", true)
  for i = #document.model.vocab, 60, -1 do
    document.model.vocab[i] = nil
  end
  return json.encode(document)
end

--- What Transformers wrote: a tokenizer.json of a kind ("wordpiece", "bpe"), shortened to a few
-- pieces of each length.
function M.tokenizer_json(kind)
  local document = json.decode(helper.read_file(helper.root .. "/spec/golden/tokenizer_" .. kind
    .. ".json"), kind)
  local ids = document.model.vocab
  for piece, id in pairs(ids) do
    if id > 40 and #piece > 2 then
      ids[piece] = nil
    end
  end
  local merges = {}
  for _, merge in ipairs(document.model.merges or {}) do
    local left, right = merge[1], merge[2]
    if type(merge) == "string" then
      left, right = merge:match("^(%S+) (%S+)$")
    end
    if ids[left] and ids[right] and ids[left .. right] then
      merges[#merges + 1] = merge
    end
  end
  document.model.merges = document.model.merges and merges
  return json.encode(document)
end

--- A folder's configuration, by the name of a golden model, without what nothing reads.
function M.config(name)
  return helper.read_file(("%s/spec/golden/%s/config.json"):format(helper.root, name))
end

local USUAL = { number = { "0", "0.5", "1", "1e-5", "3" }, integer = { "0", "1", "2", "7" },
  list = { "0.9,0.98", "1,2", "0.2,0.3,0.5", "a,b" }, series = { "1", "1,2", "0.5,0.25,1" },
  string = { "a" } }

--- Values that a flag may have: its default, its bounds, its choices, and a few of its type.
-- @tparam table flag a declaration
-- @treturn {string,…} none for a flag without a value
function M.values_of(flag)
  local list = {}
  for _, value in ipairs({ flag.choices or {}, USUAL[flag.type] or {} }) do
    for _, one in ipairs(value) do
      list[#list + 1] = one
    end
  end
  for _, name in ipairs({ "default", "min", "max", "above", "below" }) do
    if flag.type ~= "flag" and flag[name] ~= nil then
      list[#list + 1] = values.show(flag, flag[name])
    end
  end
  return list
end

--- From here on the parser of a recipe's flags and the check of its profiles, which no command
-- line changes, are made once instead of for each.
function M.one_parser()
  local parser_of, check, parsers, checked = parsing.parser, resolve.check_profiles, {}, {}
  function parsing.parser(spec)
    parsers[spec] = parsers[spec] or parser_of(spec)
    return parsers[spec]
  end
  function resolve.check_profiles(spec)
    if not checked[spec] then
      check(spec)
      checked[spec] = true
    end
  end
end

--- A file of two tensors and one of each type.
function M.tensors()
  local members, at = { '"__metadata__":{"format":"pt"}' }, 0
  for _, row in ipairs({ { "w", "F32", "2,3", 24 }, { "b", "F16", "4", 8 },
    { "x.y", "BF16", "2,2", 8 }, { "d", "F64", "", 8 }, { "i", "I64", "1", 8 },
    { "m", "BOOL", "3", 3 }, { "e", "U8", "0,5", 0 } }) do
    members[#members + 1] = ('"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(
      row[1], row[2], row[3], at, at + row[4])
    at = at + row[4]
  end
  return mutate.tensors("{" .. table.concat(members, ",") .. "}", ("\63\128\7"):rep(at):sub(1, at))
end

return M
