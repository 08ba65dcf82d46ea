--- fairseq's binarised folders: one as a task's data, and making one. (The two files of a set:
-- binarised_items_spec.lua.)
local corpus = require("fsam.data.corpus")
local dictionaries = require("fsam.data.dictionary")
local formats = require("fsam.formats")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")
local preprocess = require("fsam.data.preprocess")
local task = require("fsam.data.task")
local tasks = require("fsam.data.tasks")
local text = require("fsam.text")

local golden = json.decode(helper.read_file("spec/golden/fairseq_data.json"), "fairseq_data.json")
local folder

-- The line that fn(...) raises, without the temporary folder.
local function message_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return (tostring(err):gsub(folder:gsub("%p", "%%%0") .. "/", ""))
end

before_each(function()
  folder = helper.memory_dir()
end)

after_each(function()
  helper.remove_dir(folder)
end)

local vocabulary -- a folder with the golden encoder.json, vocab.bpe, dict.txt

local function tokenizer_of(path)
  return text.load({ vocabulary = formats.vocabulary(path) })
end

-- Makes the binarised folder of a golden task; returns its path.
local function prepared(name)
  local source, out = folder .. "/" .. name, folder .. "/" .. name .. "-bin"
  lfs.mkdir(source)
  for file_name, content in pairs(golden.files[name]) do
    helper.write_file(source .. "/" .. file_name, content)
  end
  preprocess.run({ row = tasks.get(name), folder = source, out = out,
    dictionary = dictionaries.read(vocabulary .. "/dict.txt"),
    tokenizer = tokenizer_of(vocabulary) })
  return out, source
end

local function new_task(path, name, options, tokenizer)
  local row = tasks.get(name)
  local data = corpus.open(row, path)
  options.seed = options.seed or 1
  return task.new({ row = data.row or row, corpus = data,
    tokenizer = tokenizer or tokenizer_of(vocabulary), options = options,
    model = { pad_id = 1, position_offset = 2, max_positions = 512 } })
end

describe("a binarised folder", function()
  before_each(function()
    vocabulary = folder .. "/vocabulary"
    lfs.mkdir(vocabulary)
    for name, content in pairs(golden.vocabulary) do
      helper.write_file(vocabulary .. "/" .. name, content)
    end
  end)

  it("has the bytes of fairseq's", function()
    for name, files in pairs(golden.binarised) do
      local out, expected = prepared(name), 0
      for path, hex in pairs(files) do
        local got = helper.read_file(out .. "/" .. path) or "missing"
        assert.equal(hex, (got:gsub(".", function(c)
          return ("%02x"):format(c:byte())
        end)), name .. "/" .. path)
      end
      for _, part in ipairs({ "input0", "input1", "label" }) do
        for entry in lfs.dir(lfs.attributes(out .. "/" .. part) and out .. "/" .. part or folder) do
          local path = part .. "/" .. entry
          expected = expected + (lfs.attributes(out .. "/" .. path, "mode") == "file" and 1 or 0)
        end
        if part ~= "label" and lfs.attributes(out .. "/" .. part) then
          assert.equal(golden.vocabulary["dict.txt"],
            helper.read_file(out .. "/" .. part .. "/dict.txt"))
          assert.matches("%[None%] Dictionary: 280 types\n%[None%] .-/train: %d+ sents, %d+ tokens,"
            .. " 0.0%% replaced by <unk>\n", helper.read_file(out .. "/" .. part
            .. "/preprocess.log"))
          files[part .. "/dict.txt"], files[part .. "/preprocess.log"] = "", ""
        elseif part == "label" and name ~= "stsb" then
          files["label/preprocess.log"] = ""
        end
      end
      local count = 0
      for _ in pairs(files) do
        count = count + 1
      end
      assert.equal(count, expected, name .. ": files")
    end
  end)

  it("gives the samples of the task's own files, in fairseq's order of the labels", function()
    for _, name in ipairs({ "mrpc", "qqp", "mnli", "stsb", "cola" }) do
      local out, source = prepared(name)
      local ours, theirs = new_task(source, name, { batch_size = 2 }), new_task(out, name,
        { batch_size = 2 })
      assert.same(ours.batches, theirs.batches)
      for i, sample in ipairs(ours.train) do
        local other = theirs.train[i]
        -- Where texts have space at their ends or special tokens, fairseq has others.
        local equal = name ~= "cola" and name ~= "mrpc"
        assert.same(equal and sample.ids or other.ids, other.ids)
        if ours.labels then
          assert.equal(ours.labels[sample.label + 1], theirs.labels[other.label + 1])
        else
          assert.near(sample.label, other.label, 5e-7) -- the file has six digits
        end
        assert.equal(#other.ids, #theirs:pack({ other }, 0).list[1].ids)
      end
    end
    assert.same({ "acceptable", "unacceptable" }, new_task(folder .. "/cola-bin", "cola",
      { batch_size = 2 }).labels)
    assert.same({ "entailment", "contradiction", "neutral" }, new_task(folder .. "/mnli-bin",
      "mnli", { batch_size = 2 }).labels)
    local mnli = tasks.get("mnli")
    assert.equal(2, #corpus.split(mnli, folder .. "/mnli-bin", "mismatched").samples)
    assert.equal(2, #corpus.split(mnli, folder .. "/mnli-bin", "test_mismatched").samples)
    assert.is_nil(corpus.split(mnli, folder .. "/mnli-bin", "test").samples[1].label)
    local judged = { also = { "mismatched", "diagnostic" } }
    for key, value in pairs(mnli) do
      judged[key] = judged[key] or value
    end
    local also = corpus.open(judged, folder .. "/mnli-bin").also
    assert.equal(2, #also.mismatched.samples)
    assert.is_nil(also.diagnostic)
    assert.equal("MNLI has no diagnostic samples in fairseq's form",
      message_of(corpus.split, mnli, folder .. "/mnli-bin", "diagnostic"))
  end)

  it("judges F1 by the task's own class", function()
    local t = new_task(prepared("qqp"), "qqp", { batch_size = 2 })
    assert.same({ "not_duplicate", "duplicate" }, t.labels)
    t = new_task(prepared("mrpc"), "mrpc", { batch_size = 2 })
    assert.equal(1, t.positive)
    t.labels, t.positive = { "equivalent", "not_equivalent" }, 0
    local values = t:validate(function(host) -- says "equivalent" of all four, two of which are
      local logits, losses = {}, {}
      for b = 1, host.count do
        logits[b], losses[b] = { 1, 0 }, 0
      end
      return logits, losses
    end).values
    assert.near(2 / 3, values.f1, 1e-12)
  end)

  it("cuts long samples, leaves them out, or refuses them", function()
    local out = prepared("cola")
    local whole = new_task(out, "cola", { batch_size = 8 })
    local cut = new_task(out, "cola", { batch_size = 8, max_positions = 5,
      shorten_method = "truncate" })
    assert.same({ unpack(whole.train[1].ids, 1, 5) }, cut.train[1].ids)
    assert.matches("cola-bin/input0/valid, item 1: the text has 18 tokens, --max-positions allows "
      .. "16", message_of(new_task, out, "cola", { batch_size = 8, max_positions = 16 }), 1, true)
    local t = new_task(out, "cola", { batch_size = 8, max_positions = 16,
      skip_invalid_size_inputs_valid_test = true })
    assert.equal(1, t.dev_skipped)
    assert.equal(1, #t.dev)
    assert.same({ { 1 } }, t.dev_batches)
    assert.same(whole.dev[2].ids, t.dev[1].ids)
    assert.is_true(#t.skipped > 0)
  end)

  it("belongs to one dictionary", function()
    local out = prepared("cola")
    local function task_with(tokenizer)
      return new_task(out, "cola", { batch_size = 2, restore_file = "model.pt" }, tokenizer)
    end
    -- Saved as Transformers has it, the tokenizer has the pieces for their numbers.
    lfs.mkdir(folder .. "/hf")
    tokenizer_of(vocabulary):save(folder .. "/hf")
    task_with(text.load(folder .. "/hf"))
    local dict = golden.vocabulary["dict.txt"]
    local first, second = dict:match("^(%d+) %d+\n(%d+) ")
    local swapped = dict:gsub("^(%d+)( %d+\n)(%d+)", "%3%2%1")
    helper.write_file(vocabulary .. "/dict.txt", swapped)
    assert.equal(('cola-bin/input0/dict.txt and model.pt do not belong together: the id 4 is "%s" '
      .. 'in the first, "%s" in the second; prepare the data with the model\'s own dictionary')
      :format(first, second), message_of(task_with, tokenizer_of(vocabulary)))
    lfs.mkdir(folder .. "/other")
    tokenizer_of(vocabulary):save(folder .. "/other")
    assert.matches('model.pt do not belong together: the id 4 is "' .. first .. '" (',
      message_of(task_with, text.load(folder .. "/other")), 1, true)
    assert.matches("do not belong together: the id 0 is", message_of(task_with, text.wordpiece({
      vocab = { "[PAD]", "[UNK]", "[CLS]", "[SEP]" } })), 1, true)
  end)

  -- Each row spoils one file of a good folder and says what is said.
  it("is refused in one line where a file is missing or another's", function()
    for _, row in ipairs({
      { "cola", "input0/dict.txt", nil, "dict.txt" },
      { "cola", "input0/valid.idx", nil, "cola-bin/input0/valid.idx does not exist; CoLA needs" },
      { "cola", "input0/valid.bin", nil, "valid.bin" },
      { "cola", "label/dict.txt", nil, "cola-bin/label/dict.txt does not exist; it has the labels "
        .. "of CoLA: 0, 1" },
      { "cola", "label/dict.txt", "1 5\n2 3\n", 'cola-bin/label/dict.txt has the label "2", '
        .. "expected 0 or 1" },
      { "cola", "label/dict.txt", "1 5\n", "cola-bin/label/train.bin, item 1: it is no label of "
        .. "cola-bin/label/dict.txt (1)" },
      { "cola", "label/valid.idx", nil, "cola-bin/label/valid.idx does not exist; it has the "
        .. "labels of CoLA" },
      { "cola", "input0/dict.txt", "1 1\n", "train.bin, item 1: got the id " },
      { "cola", "input0/dict.txt", "1\n", "dict.txt, line 1 is" },
      { "mrpc", "input1/dict.txt", "1 1\n", "mrpc-bin/input0/dict.txt and mrpc-bin/input1/dict.txt "
        .. "differ" },
      { "mrpc", "input1/valid.idx", nil, "mrpc-bin/input1/valid.idx does not exist" },
      { "stsb", "label/train.label", "0.5\n0.5\n", "stsb-bin/input0/train has 6 items, "
        .. "label/train has 2" },
      { "stsb", "label/train.label", "0.5\n5.0\n", "train.label, line 2: got the score \"5.0\", "
        .. "expected a number from 0 to 1" },
      { "stsb", "label/train.label", "nan\n", "train.label, line 1: got the score \"nan\"" },
      { "stsb", "label/valid.label", nil, "stsb-bin/label/valid.label does not exist" },
    }) do
      local out = prepared(row[1])
      local path = out .. "/" .. row[2]
      if row[3] then
        helper.write_file(path, row[3])
      else
        os.remove(path)
      end
      local said = message_of(corpus.open, tasks.get(row[1]), out)
      assert.matches(row[4], said, 1, true)
      assert.is_nil(said:find("\n"))
    end
    assert.equal("mrpc-bin has two texts a sample (input1), CoLA has one", message_of(corpus.open,
      tasks.get("cola"), (prepared("mrpc"))))
  end)

  it("is made whole or not at all, and only over its like", function()
    local out, source = prepared("cola")
    local before = helper.read_file(out .. "/input0/train.bin")
    local given = { row = tasks.get("cola"), folder = source, out = out,
      dictionary = dictionaries.read(vocabulary .. "/dict.txt"),
      tokenizer = tokenizer_of(vocabulary) }
    helper.write_file(source .. "/dev.tsv", "a\t1\t\tThe cat.\nb\t7\t\tx\n")
    assert.matches("dev.tsv, line 2", message_of(preprocess.run, given), 1, true)
    assert.equal(before, helper.read_file(out .. "/input0/train.bin"))
    assert.is_nil(lfs.attributes(out .. ".new"))
    helper.write_file(source .. "/dev.tsv", "a\t1\t\tThe cat.\n")
    preprocess.run(given)
    assert.equal(1, #corpus.open(given.row, out).dev.samples)
    given.out = source
    assert.equal("cola exists and is no folder of binarised data; give another place",
      message_of(preprocess.run, given))
    given.folder, given.out = out, folder .. "/again"
    assert.equal("cola-bin is binarised already", message_of(preprocess.run, given))
  end)
end)

describe("strip", function()
  -- In Python: [c for c in map(chr, range(0x110000)) if not c.strip()]
  it("removes what Python's does", function()
    for text_in, expected in pairs({ ["\28 a \9"] = "a",
      ["\194\160\226\128\138a\227\128\128"] = "a", [" \226\129\159\194\133"] = "",
      [""] = "", ["\226\128\139a"] = "\226\128\139a",
      ["a\226\128\168b"] = "a\226\128\168b", ["\226\128\137\225\154\128x"] = "x",
      ["\239\187\191a"] = "\239\187\191a", ["\225\160\142"] = "\225\160\142" }) do
      assert.equal(expected, preprocess.strip(text_in))
    end
  end)
end)

describe("CoLA, binarised", function()
  it("has fairseq's labels and order of batches", function()
    local source, real = helper.data_dir("cola"), helper.data_dir("gpt2_bpe")
    if not (source and real) then
      pending("no ../shared/data")
      return
    end
    local row, tokenizer = tasks.get("cola"), text.load(real)
    local out = folder .. "/CoLA-bin"
    preprocess.run({ row = row, folder = source, out = out, tokenizer = tokenizer,
      dictionary = dictionaries.read(real .. "/dict.txt") })
    assert.equal("1 6023\n0 2528\nmadeupword0000 0\nmadeupword0001 0\n",
      helper.read_file(out .. "/label/dict.txt"))
    local t = new_task(out, "cola", { batch_size = 32, max_tokens = 4400 }, tokenizer)
    assert.same({ "acceptable", "unacceptable" }, t.labels)
    assert.equal(268, #t.batches)
    local rows, number, epoch = {}, {}, {}
    for i = 1, 5 do
      rows[i] = t.batches[1][i] - 1
    end
    assert.same({ 6817, 4482, 7328, 3977, 2500 }, rows)
    for i, batch in ipairs(t.batches) do
      number[batch] = i - 1
    end
    for i, batches in ipairs(t:steps(1)) do
      epoch[i] = i <= 8 and number[batches[1]] or nil
    end
    assert.same({ 114, 65, 177, 152, 182, 122, 252, 30 }, epoch)
    local longest, sum = 0, 0
    for _, sample in ipairs(t.train) do
      longest, sum = math.max(longest, #sample.ids), sum + #sample.ids
    end
    assert.equal(47, longest)
    assert.near(11.37, sum / 8551, 0.005)
  end)
end)
