--- The classes of tokenizers that folders name, and what each means here.
--
-- Owns: which names of Transformers' classes we read, and the class of a folder that names none.
-- Leaves to others: what a class's files say (folder.lua), what it does (init.lua).
--
-- A class is a table: `name`; `kind` ("wordpiece", "bpe", "unigram"; nil: as tokenizer.json says);
-- `frame` ("bert", "roberta": the special ids around a text, whatever tokenizer.json says; nil: as
-- it says); `written` (true: all of tokenizer.json counts; else only its vocabulary does, and the
-- rest comes from the class and tokenizer_config.json, as Transformers 5 has it); `sentencepiece`:
-- the name of its file without a tokenizer.json, and `role`, that of fsam.formats; `tokens`: the
-- names of the special tokens where no file gives one, by their keys in tokenizer_config.json.
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")

local M = {}

local BERT_TOKENS = { unk_token = "[UNK]", sep_token = "[SEP]", pad_token = "[PAD]",
  cls_token = "[CLS]", mask_token = "[MASK]" }
local ROBERTA_TOKENS = { bos_token = "<s>", eos_token = "</s>", unk_token = "<unk>",
  sep_token = "</s>", pad_token = "<pad>", cls_token = "<s>", mask_token = "<mask>" }
local GPT2_TOKENS = { bos_token = "<|endoftext|>", eos_token = "<|endoftext|>",
  unk_token = "<|endoftext|>" }

local bert = { name = "BertTokenizer", kind = "wordpiece", frame = "bert", tokens = BERT_TOKENS }
local roberta = { name = "RobertaTokenizer", kind = "bpe", frame = "roberta",
  tokens = ROBERTA_TOKENS }
local albert = { name = "AlbertTokenizer", kind = "unigram", frame = "bert",
  sentencepiece = "spiece.model", role = "spiece",
  tokens = { bos_token = "[CLS]", eos_token = "[SEP]", unk_token = "<unk>", sep_token = "[SEP]",
    pad_token = "<pad>", cls_token = "[CLS]", mask_token = "[MASK]" } }
local xlm_roberta = { name = "XLMRobertaTokenizer", kind = "unigram", frame = "roberta",
  sentencepiece = "sentencepiece.bpe.model", role = "sentencepiece_bpe", tokens = ROBERTA_TOKENS }
local gpt2 = { name = "GPT2Tokenizer", kind = "bpe", tokens = GPT2_TOKENS }
local written = { name = "PreTrainedTokenizerFast", written = true, tokens = {} }
local convbert = { name = "ConvBertTokenizer", kind = "wordpiece", frame = "bert", written = true,
  tokens = BERT_TOKENS }

--- BERT's and RoBERTa's, also for vocabularies in memory; XLM-R's, the one whose file has a name of
-- its own; and the one for which all of tokenizer.json counts.
M.bert, M.roberta, M.xlm_roberta, M.written = bert, roberta, xlm_roberta, written

-- Without "Fast" at their ends.
local BY_NAME = {
  BertTokenizer = bert, ElectraTokenizer = bert, DistilBertTokenizer = bert,
  MobileBertTokenizer = bert, SqueezeBertTokenizer = bert, LayoutLMTokenizer = bert,
  LxmertTokenizer = bert, ConvBertTokenizer = convbert,
  RobertaTokenizer = roberta, LongformerTokenizer = roberta, BartTokenizer = roberta,
  LEDTokenizer = roberta, MvpTokenizer = roberta,
  GPT2Tokenizer = gpt2,
  AlbertTokenizer = albert, XLMRobertaTokenizer = xlm_roberta,
  PreTrainedTokenizer = written, TokenizersBackend = written, PythonBackend = written,
}

local BY_MODEL_TYPE = {
  bert = bert, electra = bert, distilbert = bert, mobilebert = bert, squeezebert = bert,
  layoutlm = bert, lxmert = bert, ["megatron-bert"] = bert, nezha = bert, ernie = bert,
  convbert = convbert,
  roberta = roberta, ["roberta-prelayernorm"] = roberta, ["data2vec-text"] = roberta,
  longformer = roberta, bart = roberta, led = roberta, mvp = roberta, gpt2 = gpt2,
  albert = albert, ["xlm-roberta"] = xlm_roberta,
}

local READ = "BertTokenizer, ElectraTokenizer, RobertaTokenizer and others that are the same as "
  .. "these, AlbertTokenizer, XLMRobertaTokenizer, and PreTrainedTokenizerFast with a "
  .. "tokenizer.json"

--- The class that a file names.
-- @tparam string name such as "BertTokenizerFast"
-- @tparam string where the file, for messages
-- @treturn table the class
-- @raise one line, for a class that we do not read
function M.named(name, where)
  local class = BY_NAME[(name:gsub("Fast$", ""))]
  if not class then
    errors.raise("%s: tokenizer_class %s is not supported (%s); save the tokenizer with "
      .. "Transformers as one of these", where, schema.show(name), READ)
  end
  return class
end

--- The class that Transformers takes for a type of model, when no file names a class.
-- @tparam string model_type of config.json
-- @tparam string where config.json, for messages
-- @treturn table the class
-- @raise one line, for a type whose tokenizer we do not read
function M.of_model(model_type, where)
  local class = BY_MODEL_TYPE[model_type]
  if not class then
    errors.raise("%s: the tokenizer of model_type %s is not supported; tokenizer_config.json may "
      .. "name its tokenizer_class (%s)", where, schema.show(model_type), READ)
  end
  return class
end

return M
