--- Files of a checkpoint and its tokenizer that end too early, at any byte: each is read, where
-- what is left is whole, or refused in one line that names it.
local dictionary = require("fsam.data.dictionary")
local errors = require("fsam.errors")
local formats = require("fsam.formats")
local helper = require("spec.helper")
local safetensors = require("fsam.formats.safetensors")
local text = require("fsam.text")

local WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n\195\169\n"
local PIECES = '{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5, "b": 6, '
  .. '"\\u00e9": 7, "ab": 8}'
local MODEL = '{"model_type": "bert", "vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1, '
  .. '"num_attention_heads": 1, "intermediate_size": 4, "max_position_embeddings": 8}'
local HEADER = '{"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], '
  .. '"data_offsets": [0, 8]}, "b": {"dtype": "F16", "shape": [1, 3], "data_offsets": [8, 14]}}'
local TENSORS = string.char(#HEADER) .. ("\0"):rep(7) .. HEADER .. ("\1"):rep(14)

local function read_tensors(folder)
  safetensors.open(folder .. "/model.safetensors"):close()
end

-- A file, what it holds, what lies beside it, who reads it, and whether every shorter one lacks
-- something that is missed.
local FILES = {
  { "model.safetensors", TENSORS, {}, read_tensors, true },
  { "model.safetensors.index.json", '{"metadata": {"total_size": 22}, "weight_map": {"a": '
    .. '"part-1.safetensors", "b": "part-1.safetensors"}}',
    { ["config.json"] = MODEL, ["part-1.safetensors"] = TENSORS }, formats.open, true },
  { "config.json", MODEL, { ["model.safetensors"] = TENSORS }, formats.open, true },
  { "dict.txt", "5 10\n\195\169 7\nmadeupword0000 0\n", {}, function(folder)
    dictionary.read(folder .. "/dict.txt")
  end, false },
  { "vocab.txt", WORDS, {}, text.load, false },
  { "vocab.json", PIECES, { ["merges.txt"] = "a b\n" }, text.load, true },
  { "merges.txt", "#version: 0.2\na b\n", { ["vocab.json"] = PIECES }, text.load, false },
  { "tokenizer_config.json", '{"do_lower_case": false, "unk_token": "[UNK]"}',
    { ["vocab.txt"] = WORDS }, text.load, true },
  { "special_tokens_map.json", '{"unk_token": {"content": "[UNK]"}}', { ["vocab.txt"] = WORDS },
    text.load, true },
  { "added_tokens.json", '{"\\u00e9x": 7}', { ["vocab.txt"] = WORDS }, text.load, true },
  { "tokenizer.json", '{"version": "1.0", "added_tokens": [], "normalizer": null, '
    .. '"pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": '
    .. '"BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, "decoder": null, "model": '
    .. '{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", '
    .. '"max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, '
    .. '"[SEP]": 3, "[MASK]": 4, "a": 5}}}', {}, text.load, true },
}

describe("a file that ends too early", function()
  local folder

  before_each(function()
    folder = helper.memory_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  for _, case in ipairs(FILES) do
    local name, whole, beside, read, always = unpack(case)
    it("is whole or refused in one line, cut at any byte: " .. name, function()
      for other, content in pairs(beside) do
        helper.write_file(folder .. "/" .. other, content)
      end
      local path, refused = folder .. "/" .. name, 0
      for length = 0, #whole do
        helper.write_file(path, whole:sub(1, length))
        local ok, err = pcall(read, folder)
        local line = ("of %d bytes: %s"):format(length, tostring(err))
        if not ok then
          refused = refused + 1
          assert.is_true(errors.is(err), line)
          assert.is_nil(tostring(err):find("%c"), line)
          assert.matches(folder, tostring(err), 1, true)
        end
        assert.is_true(ok or length < #whole, line)
        assert.is_false(ok and always and length < #whole, line)
      end
      assert.is_true(refused > 0)
    end)
  end
end)
