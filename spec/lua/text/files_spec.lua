--- Tokenizers from vocabularies in memory and in folders: making, reading, writing, cutting, and
-- the one line for what cannot be read.

local errors = require("fsam.errors")
local formats = require("fsam.formats")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")
local small = require("spec.lua.text.tokenizers")
local text = require("fsam.text")

local WORDS = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "key", "##s", "are", ".", "É" }

describe("a tokenizer", function()
  local folders = {}

  after_each(function()
    for _, folder in ipairs(folders) do
      helper.remove_dir(folder)
    end
    folders = {}
  end)

  --- A folder that is removed after the test, with these files in it.
  local function folder_of(files)
    local folder = type(files) == "string" and small.folder(files) or helper.temp_dir()
    folders[#folders + 1] = folder
    for name, bytes in pairs(type(files) == "table" and files or {}) do
      helper.write_file(folder .. "/" .. name, bytes)
    end
    return folder
  end

  --- The small tokenizer.json as a table, changed by a function, in a folder.
  local function changed(kind, change)
    local data = json.decode(helper.read_file(folder_of(kind) .. "/tokenizer.json"), kind, true)
    change(data)
    return folder_of({ ["tokenizer.json"] = json.encode(data) })
  end

  local function message_of(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    assert.is_true(errors.is(err), tostring(err))
    return tostring(err)
  end

  it("is made from a vocabulary in memory", function()
    local tokenizer = text.wordpiece({ vocab = WORDS })
    local ids, token_types = tokenizer:encode("The keys are lost.", "the [MASK]")
    assert.are.same({ 2, 5, 6, 7, 8, 1, 9, 3, 5, 4, 3 }, ids)
    assert.are.same({ 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 }, token_types)
    assert.are.equal("the keys are. the", tokenizer:decode(ids))
    assert.are.equal("[CLS] the keys are [UNK]. [SEP] the [MASK] [SEP]",
      tokenizer:decode(ids, true))
    assert.are.equal("wordpiece", tokenizer.kind)
    assert.are.equal(11, tokenizer.vocab_size)
    assert.are.equal(0, tokenizer.pad_id)
  end)

  it("takes bytes that are not UTF-8 for U+FFFD", function()
    local wordpiece = text.wordpiece({ vocab = WORDS })
    assert.are.same((wordpiece:encode("the keys")), (wordpiece:encode("th\255e k\226\130eys\240")))
    local bpe = text.load(folder_of("bpe"))
    -- Two lone bytes, a surrogate (three bytes, none of which can start or go on), a cut sequence.
    local mark = "\239\191\189"
    local replaced = "a" .. mark .. "b" .. mark:rep(3) .. "c" .. mark
    assert.are.same((bpe:encode(replaced)), (bpe:encode("a\255b\237\160\128c\240\159\145")))
  end)

  it("passes over the mark that Windows' editors put before a vocabulary", function()
    local config = json.encode({ tokenizer_class = "BertTokenizer" })
    local folder = folder_of({ ["tokenizer_config.json"] = config,
      ["vocab.txt"] = "\239\187\191[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nkey\r\n" })
    local tokenizer = text.load(folder)
    assert.are.same({ 2, 5, 0, 3 }, (tokenizer:encode("key [PAD]")))
    tokenizer:save(folder)
    assert.are.same({ 2, 5, 0, 3 }, (text.load(folder):encode("key [PAD]")))
  end)

  it("names the tokenizer.json for other versions that is listed and not there", function()
    local folder = folder_of({ ["vocab.txt"] = "[PAD]", ["tokenizer_config.json"] =
      '{"fast_tokenizer_files": ["tokenizer.4.10.0.json", "tokenizer.json", '
        .. '"tokenizer.4.9.0.json"]}' })
    assert.equal(folder .. "/tokenizer_config.json lists " .. folder .. "/tokenizer.4.10.0.json, "
      .. "which is not there", message_of(text.load, folder))
  end)

  it("cuts the longer text first", function()
    local tokenizer = text.wordpiece({ vocab = WORDS })
    assert.are.same({ 2, 5, 5, 3, 6, 3 }, (tokenizer:encode("the the the the", "key", 6)))
    assert.are.same({ 2, 5, 3, 6, 6, 3 }, (tokenizer:encode("the the the", "key key key", 6)))
    assert.are.same({ 2, 5, 3 }, (tokenizer:encode("the the the the", nil, 3)))
    assert.are.same({ 2, 5, 3 }, (tokenizer:encode("the", nil, 3)))
    assert.are.equal("text: at most 1 tokens leave no room for the special ones; allow 2 or more",
      message_of(tokenizer.encode, tokenizer, "the", nil, 1))
  end)

  it("frames a text and a pair", function()
    local tokenizer = text.wordpiece({ vocab = WORDS })
    assert.are.same({ { 2, 5, 3 }, { 0, 0, 0 } }, { tokenizer:encode("the") })
    assert.are.same({ { 2, 6, 3, 8, 3 }, { 0, 0, 0, 1, 1 } }, { tokenizer:encode("key", "are") })
  end)

  it("is that of a checkpoint: of a folder, of a file in it, or of a source", function()
    local folder = folder_of("wordpiece")
    local expected = text.load(folder):encode("the keys")
    helper.write_file(folder .. "/model.safetensors", "")
    assert.are.same(expected, (text.load(folder .. "/model.safetensors"):encode("the keys")))
    local source = { vocabulary = formats.vocabulary(folder) }
    assert.are.same(expected, (text.load(source):encode("the keys")))
  end)

  it("writes vocabulary files that it reads back as the same", function()
    for _, kind in ipairs({ "wordpiece", "bpe" }) do
      local source, folder = text.load(folder_of(kind)), folder_of({})
      source.files, source.class = nil, nil -- as if it had been made in memory
      source:save(folder)
      assert.is_nil(helper.read_file(folder .. "/tokenizer.json"))
      small.agree(text.load(folder), kind)
    end
    local folder = folder_of({})
    text.wordpiece({ vocab = WORDS, lowercase = false }):save(folder)
    assert.are.same({ 2, 10, 1, 3 }, (text.load(folder):encode("É The")))
  end)

  it("writes the files that it was read from as they were, with the class by which", function()
    local vocab = table.concat(WORDS, "\n") .. "\n"
    for _, case in ipairs({
      { { ["tokenizer.json"] = helper.read_file(folder_of("wordpiece") .. "/tokenizer.json") },
        "PreTrainedTokenizerFast" },
      { { ["vocab.txt"] = vocab, ["added_tokens.json"] = '{"<url>": 11}' }, "BertTokenizer" },
      { { ["vocab.txt"] = vocab, ["config.json"] = '{"tokenizer_class": "ElectraTokenizerFast"}' },
        "BertTokenizer" },
    }) do
      local other = folder_of({})
      text.load(folder_of(case[1])):save(other)
      for name, bytes in pairs(case[1]) do
        if name ~= "config.json" then -- the model's
          assert.are.equal(bytes, helper.read_file(other .. "/" .. name))
        end
      end
      assert.are.equal(case[2],
        json.decode(helper.read_file(other .. "/tokenizer_config.json")).tokenizer_class)
    end
    for given, expected in pairs({
      ['{"z": 1, "a": 2}'] = '{\n  "tokenizer_class": "BertTokenizer","z": 1, "a": 2}',
      ["{}"] = '{\n  "tokenizer_class": "BertTokenizer"}',
      ['{"tokenizer_class": null}'] = '{\n  "tokenizer_class": "BertTokenizer"\n}\n',
      ['{"tokenizer_class": "BertTokenizerFast"}'] = '{"tokenizer_class": "BertTokenizerFast"}',
    }) do
      local other = folder_of({})
      text.load(folder_of({ ["vocab.txt"] = vocab, ["tokenizer_config.json"] = given }))
        :save(other)
      assert.are.equal(expected, helper.read_file(other .. "/tokenizer_config.json"))
    end
  end)

  it("says which file cannot be written", function()
    local message = message_of(text.wordpiece({ vocab = WORDS }).save,
      text.wordpiece({ vocab = WORDS }), "/nowhere/at/all")
    assert.is_truthy(message:find("/nowhere/at/all/", 1, true))
  end)

  it("reads merges in both forms", function()
    local folder = changed("bpe", function(data)
      assert.is_table(data.model.merges[1])
      for i, merge in ipairs(data.model.merges) do
        data.model.merges[i] = table.concat(merge, " ")
      end
    end)
    small.agree(text.load(folder), "bpe")
  end)

  it("follows the flags of added tokens", function()
    local size = text.load(folder_of("wordpiece")).vocab_size
    local tokenizer = text.load(changed("wordpiece", function(data)
      for i, token in ipairs({ { content = "<L>", lstrip = true },
        { content = "qx", single_word = true }, { content = "ÀB", normalized = true } }) do
        token.id = size + i - 1
        table.insert(data.added_tokens, token)
      end
    end))
    local a, space = tokenizer:id_of("a"), "\194\160"
    local function inner(sample)
      local ids = tokenizer:encode(sample)
      return { unpack(ids, 2, #ids - 1) }
    end
    assert.are.same({ a, size, a }, inner("a " .. space .. "<L> a"))
    assert.are.same({ size + 1, size + 1 }, inner("qx qx"))
    assert.are_not.same({ size + 1 }, inner("qxa"))
    assert.are_not.equal(size + 1, inner("éqx")[#inner("éqx")])
    assert.are.same({ size + 2, size + 2 }, inner("ab a\204\128B"))
  end)

  it("follows tokenizer_config.json", function()
    local source, folder = text.load(folder_of("bpe")), folder_of({})
    source.files, source.class = nil, nil
    source:save(folder)
    local path = folder .. "/tokenizer_config.json"
    local config = json.decode(helper.read_file(path))
    local mask = config.added_tokens_decoder[tostring(source.mask_id)]
    assert.is_true(mask.lstrip) -- RoBERTa's
    mask.lstrip = false
    config.added_tokens_decoder["1000"] = { content = "<new>", special = true }
    config.pad_token = { content = "<unk>" }
    helper.write_file(path, json.encode(config))
    local tokenizer = text.load(folder)
    local a, space = source:id_of("a"), source:id_of("Ġ")
    assert.are.same({ 0, a, source.mask_id, 2 }, (source:encode("a <mask>")))
    assert.are.same({ 0, a, space, source.mask_id, 2 }, (tokenizer:encode("a <mask>")))
    local new = source.vocab_size -- the key of a token is a place in the order of adding, no id
    assert.are.same({ source.cls_id, new, source.sep_id }, (tokenizer:encode("<new>")))
    assert.are.equal(source.unk_id, tokenizer.pad_id)
    assert.are.equal(new + 1, tokenizer.vocab_size)
  end)

  it("puts a space in front where add_prefix_space says so", function()
    local plain = text.load(folder_of("bpe"))
    local prefixed = text.load(changed("bpe", function(data)
      data.pre_tokenizer.add_prefix_space = true
    end))
    assert.are.same((plain:encode(" the")), (prefixed:encode("the")))
    assert.are.same((plain:encode(" the")), (prefixed:encode(" the")))
    assert.are.same((plain:encode("")), (prefixed:encode("")))
  end)

  it("refuses what it does not understand, in one line", function()
    local cases = {
      { "wordpiece", "a model of type WordLevel is not supported (WordPiece, BPE, Unigram)",
        function(data)
          data.model.type = "WordLevel"
        end },
      { "wordpiece", "a normalizer of type Nmt is not supported", function(data)
        data.normalizer = { type = "Sequence",
          normalizers = { { type = "NFC" }, { type = "Nmt" } } }
      end },
      { "bpe", "a normalizer of type ByteLevel is not supported", function(data)
        data.normalizer = { type = "ByteLevel" }
      end },
      { "wordpiece", "a normalizer of type Replace is supported with a pattern that", function(data)
        data.normalizer = { type = "Replace", pattern = { Regex = "a+" }, content = "a" }
      end },
      { "wordpiece", "a pre_tokenizer of type Punctuation is supported with", function(data)
        data.pre_tokenizer = { type = "Punctuation", behavior = "Removed" }
      end },
      { "wordpiece", "a pre_tokenizer of type ByteLevel is not supported", function(data)
        data.pre_tokenizer = { type = "ByteLevel" }
      end },
      { "bpe", "a pre_tokenizer of type Whitespace is not supported", function(data)
        data.pre_tokenizer = { type = "Whitespace" }
      end },
      { "bpe", "a pre_tokenizer of type ByteLevel is supported at the end of", function(data)
        data.pre_tokenizer = { type = "Sequence",
          pretokenizers = { { type = "ByteLevel" }, { type = "ByteLevel" } } }
      end },
      { "bpe", "a pre_tokenizer of type Metaspace is not supported", function(data)
        data.pre_tokenizer = { type = "Metaspace" }
      end },
      { "bpe", "post_processor.processors is missing, expected a list", function(data)
        data.post_processor = { type = "Sequence" }
      end },
      { "bpe", "a post_processor of type Sequence is supported with one template", function(data)
        data.post_processor = { type = "Sequence",
          processors = { data.post_processor, data.post_processor } }
      end },
      { "wordpiece", "the special tokens around a text have the id 65536, which no token of the "
        .. "vocabulary has", function(data)
        data.post_processor = { type = "BertProcessing", cls = { "[CLS]", 1 },
          sep = { "[SEP]", 65536 } }
      end },
      { "bpe", 'end_of_word_suffix = "</w>" is not supported', function(data)
        data.model.end_of_word_suffix = "</w>"
      end },
      { "bpe", "merge 2 is not a pair of pieces", function(data)
        data.model.merges[2] = "a b c"
      end },
      { "bpe", "merge 1 (\"x\" \"yz\") names a piece that the vocabulary lacks", function(data)
        data.model.merges = { { "x", "yz" } }
      end },
      { "wordpiece", 'the vocabulary gives "x" the id 1.5', function(data)
        data.model.vocab.x = 1.5
      end },
      { "wordpiece", "model is missing, expected a table", function(data)
        data.model = nil
      end },
    }
    for _, case in ipairs(cases) do
      local message = message_of(text.load, changed(case[1], case[3]))
      assert.is_truthy(message:find("tokenizer.json: " .. case[2], 1, true), message)
    end
  end)

  it("names what was looked for, and what a vocabulary lacks", function()
    assert.are.equal("/nowhere does not exist; give " .. require("fsam.formats").KINDS,
      message_of(text.load, "/nowhere/"))
    local empty = folder_of({})
    assert.are.equal(empty .. ": no tokenizer in this folder (looked for tokenizer.json, "
      .. "vocab.txt, vocab.json with merges.txt, sentencepiece.bpe.model, dict.txt with "
      .. "encoder.json and vocab.bpe); --tokenizer takes one from another folder",
      message_of(text.load, empty))
    local unclear = folder_of({ ["spiece.model"] = "" })
    assert.are.equal(unclear .. ": nothing tells which class reads spiece.model; name it as "
      .. "tokenizer_class in tokenizer_config.json (AlbertTokenizer)",
      message_of(text.load, unclear))
    local folder = folder_of({ ["vocab.txt"] = "[PAD]\n[UNK]\n[CLS]\nthe\n" })
    assert.are.equal(folder .. "/vocab.txt: the vocabulary has no \"[SEP]\"",
      message_of(text.load, folder))
    folder = folder_of({ ["vocab.txt"] = "[UNK]\n[CLS]\n[SEP]\r\nthe" })
    assert.are.equal(folder .. "/vocab.txt: there is no padding token \"[PAD]\"",
      message_of(text.load, folder))
  end)

  it("names a class that it does not read, and what to do", function()
    local vocab = table.concat(WORDS, "\n")
    for file_name, document in pairs({
      ["tokenizer_config.json"] = '{"tokenizer_class": "BertJapaneseTokenizer"}',
      ["config.json"] = '{"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}',
    }) do
      local folder = folder_of({ ["vocab.txt"] = vocab, [file_name] = document })
      local message = message_of(text.load, folder)
      assert.is_truthy(message:find(folder .. "/" .. file_name .. ': tokenizer_class '
        .. '"BertJapaneseTokenizer" is not supported (BertTokenizer, ', 1, true), message)
      assert.is_truthy(message:find("save the tokenizer with Transformers as one of these", 1,
        true), message)
    end
    local folder = folder_of({ ["vocab.txt"] = vocab,
      ["config.json"] = '{"model_type": "xlnet"}' })
    assert.is_truthy(message_of(text.load, folder):find(folder
      .. '/config.json: the tokenizer of model_type "xlnet" is not supported', 1, true))
    folder = folder_of({ ["vocab.txt"] = vocab,
      ["config.json"] = '{"architectures": ["BertForMaskedLM"]}' })
    assert.are.equal("BertTokenizer", text.load(folder).class.name)
    for class, missing in pairs({ BertTokenizer = "vocab.txt", PreTrainedTokenizerFast =
      "tokenizer.json", RobertaTokenizer = "vocab.json and merges.txt" }) do
      folder = folder_of({ ["tokenizer_config.json"] = json.encode({ tokenizer_class = class }) })
      assert.are.equal(("%s: a tokenizer of class %s needs %s, which this folder lacks"):format(
        folder, class, missing), message_of(text.load, folder))
    end
    folder = changed("wordpiece", function() end)
    helper.write_file(folder .. "/config.json", '{"model_type": "roberta"}')
    assert.are.equal(folder .. "/tokenizer.json: holds a model of another kind (wordpiece) than a "
      .. "tokenizer of class RobertaTokenizer has (bpe)", message_of(text.load, folder))
  end)

  it("does not take a file that cannot be looked at for one that is absent", function()
    for _, name in ipairs({ "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
      "added_tokens.json", "tokenizer.json", "config.json", "vocab.json", "merges.txt" }) do
      local folder = folder_of({ ["vocab.txt"] = table.concat(WORDS, "\n") })
      os.remove(folder .. "/" .. name)
      assert(lfs.link(name, folder .. "/" .. name, true)) -- a link to itself
      local message = message_of(text.load, folder)
      assert.is_truthy(message:find(folder .. "/" .. name, 1, true), message)
      os.remove(folder .. "/" .. name)
      assert(lfs.mkdir(folder .. "/" .. name))
      message = message_of(text.load, folder)
      assert.is_truthy(message:find(folder .. "/" .. name, 1, true), message)
    end
  end)

  it("has the ids of the folders from the field", function()
    local cases = helper.data_dir("cases")
    if not cases then
      return pending("no ../shared/data")
    end
    local count = 0
    for name in lfs.dir(cases) do
      local expect = name:find("^tok") and helper.read_file(cases .. "/" .. name .. "/expect.txt")
      local sample, ids = (expect or ""):match("^text: (.-)\nids by [^:]+: ([%d ]+)")
      if ids and name ~= "tok-class-japanese" then -- that one is refused
        local got = text.load(cases .. "/" .. name .. "/model"):encode(sample)
        assert.are.equal(ids, table.concat(got, " "), name)
        count = count + 1
      end
    end
    assert.is_true(count >= 10)
  end)
end)
