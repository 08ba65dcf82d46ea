--- GLUE's tasks: each row reads files of GLUE's layout, and the real ones where they are at hand.

local corpus = require("fsam.data.corpus")
local helper = require("spec.helper")
local tasks = require("fsam.data.tasks")

local function line(...)
  return table.concat({ ... }, "\t") .. "\n"
end

local NLI = line("index", "sentence1", "sentence2", "label")
local NLI_TEST = line("index", "sentence1", "sentence2")
local MNLI = { "index", "promptID", "pairID", "genre", "sentence1_binary_parse",
  "sentence2_binary_parse", "sentence1_parse", "sentence2_parse", "sentence1", "sentence2" }

-- A row of MNLI's files: the texts, and what follows them.
local function mnli(...)
  return line("0", "1", "2", "fiction", "p", "p", "p", "p", "It rains.", "It is wet.", ...)
end

local function mnli_head(...)
  local names = { unpack(MNLI) }
  for _, name in ipairs({ ... }) do
    names[#names + 1] = name
  end
  return line(unpack(names))
end

local FIVE = { "label1", "label2", "label3", "label4", "label5", "gold_label" }
local STS = { "index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1",
  "sentence2" }

-- task → by split: the file, its content, and its samples as { text, pair, label }.
local FILES = {
  cola = {
    train = { "train.tsv", line("gj04", "1", "", "She left."), { { "She left.", nil, 1 } } },
    dev = { "dev.tsv", line("gj04", "0", "*", "Left she."), { { "Left she.", nil, 0 } } },
    test = { "test.tsv", line("index", "sentence") .. line("0", "He ran."), { { "He ran." } } },
  },
  sst2 = {
    train = { "train.tsv", line("sentence", "label") .. line("a fine film ", "1"),
      { { "a fine film ", nil, 1 } } },
    dev = { "dev.tsv", line("sentence", "label") .. line("dull ", "0"), { { "dull ", nil, 0 } } },
    test = { "test.tsv", line("index", "sentence") .. line("0", "long "), { { "long " } } },
  },
  mrpc = {
    train = { "train.tsv", "\239\187\191" .. line("Quality", "#1 ID", "#2 ID", "#1 String",
      "#2 String") .. line("1", "7", "8", 'He said "no', "He refused"),
      { { 'He said "no', "He refused", 1 } } },
    dev = { "dev.tsv", line("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
      .. line("0", "7", "8", "A", "B"), { { "A", "B", 0 } } },
    test = { "test.tsv", line("index", "#1 ID", "#2 ID", "#1 String", "#2 String")
      .. line("0", "7", "8", "A", "B"), { { "A", "B" } } },
  },
  qqp = {
    train = { "train.tsv", line("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
      .. line("1", "2", "3", "Why?", "How come?", "1") .. line("torn") .. line("4", "5", "6", "A?",
        "B?", "0"), { { "Why?", "How come?", 1 }, { "A?", "B?", 0 } } },
    dev = { "dev.tsv", line("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
      .. line("1", "2", "3", "C?", "D?", "0"), { { "C?", "D?", 0 } } },
    test = { "test.tsv", line("id", "question1", "question2") .. line("1", "E?", "F?"),
      { { "E?", "F?" } } },
  },
  mnli = {
    train = { "train.tsv", mnli_head("label1", "gold_label") .. mnli("neutral", "neutral"),
      { { "It rains.", "It is wet.", 1 } } },
    dev = { "dev_matched.tsv", mnli_head(unpack(FIVE)) .. mnli("neutral", "neutral", "entailment",
      "entailment", "entailment", "entailment"), { { "It rains.", "It is wet.", 0 } } },
    mismatched = { "dev_mismatched.tsv", mnli_head(unpack(FIVE)) .. mnli("neutral", "neutral",
      "entailment", "entailment", "entailment", "contradiction"),
      { { "It rains.", "It is wet.", 2 } } },
    test = { "test_matched.tsv", mnli_head() .. mnli(), { { "It rains.", "It is wet." } } },
    test_mismatched = { "test_mismatched.tsv", mnli_head() .. mnli(),
      { { "It rains.", "It is wet." } } },
  },
  qnli = {
    train = { "train.tsv", line("index", "question", "sentence", "label")
      .. line("0", "Who?", "She did.", "entailment"), { { "Who?", "She did.", 0 } } },
    dev = { "dev.tsv", line("index", "question", "sentence", "label")
      .. line("0", "When?", "She did.", "not_entailment"), { { "When?", "She did.", 1 } } },
    test = { "test.tsv", line("index", "question", "sentence") .. line("0", "Why?", "It is."),
      { { "Why?", "It is." } } },
  },
  rte = {
    train = { "train.tsv", NLI .. line("0", "A b.", "A.", "entailment"), { { "A b.", "A.", 0 } } },
    dev = { "dev.tsv", NLI .. line("0", "A b.", "C.", "not_entailment"), { { "A b.", "C.", 1 } } },
    test = { "test.tsv", NLI_TEST .. line("0", "A b.", "C."), { { "A b.", "C." } } },
  },
  wnli = {
    train = { "train.tsv", NLI .. line("0", "A b.", "A.", "1"), { { "A b.", "A.", 1 } } },
    dev = { "dev.tsv", NLI .. line("0", "A b.", "C.", "0"), { { "A b.", "C.", 0 } } },
    test = { "test.tsv", NLI_TEST .. line("0", "A b.", "C."), { { "A b.", "C." } } },
  },
  stsb = {
    train = { "train.tsv", line(unpack(STS)):gsub("\n", "\tscore\n")
      .. line("0", "g", "f", "y", "o", "s", "s", "A plane.", "An air plane.", "3.800"),
      { { "A plane.", "An air plane.", 0.76 } } },
    dev = { "dev.tsv", line(unpack(STS)):gsub("\n", "\tscore\n")
      .. line("0", "g", "f", "y", "o", "s", "s", "A", "B", "5"), { { "A", "B", 1 } } },
    test = { "test.tsv", line(unpack(STS)) .. line("0", "g", "f", "y", "o", "s", "s", "A", "B"),
      { { "A", "B" } } },
  },
}

-- Real folders: numbers of train, dev and test samples, and the sum of train's labels.
local REAL = {
  cola = { "cola", 8551, 1043, 1063, 6023 },
  rte = { "rte", 2490, 277, 3000, 1241 },
  stsb = { "sts-b", 5749, 1500, 1379, 3105.6087 },
}

describe("GLUE's", function()
  local folder = helper.memory_dir()

  teardown(function()
    helper.remove_dir(folder)
  end)

  for name, splits in pairs(FILES) do
    it(name .. " is read split by split", function()
      local row = tasks.get(name)
      for split, case in pairs(splits) do
        helper.write_file(folder .. "/" .. case[1], case[2])
        local dataset = corpus.split(row, folder, split)
        assert.equal(#case[3], #dataset.samples)
        for i, sample in ipairs(case[3]) do
          local got = dataset.samples[i]
          assert.equal(sample[1], got.text)
          assert.equal(sample[2], got.pair)
          if sample[3] then
            assert.near(sample[3], got.label, 1e-12)
          else
            assert.is_nil(got.label)
          end
        end
        os.remove(folder .. "/" .. case[1])
      end
    end)
  end

  for name, real in pairs(REAL) do
    it(name .. " has its published sizes", function()
      local path, row = helper.data_dir(real[1]), tasks.get(name)
      if not path then
        pending("no ../shared/data/" .. real[1])
        return
      end
      local data, sum = corpus.open(row, path), 0
      for _, sample in ipairs(data.train.samples) do
        sum = sum + sample.label
      end
      assert.same({ real[2], real[3], real[4] }, { #data.train.samples, #data.dev.samples,
        #corpus.split(row, path, "test").samples })
      assert.near(real[5], sum, 1e-3)
    end)
  end

  it("columns are found by their names where a header has another order", function()
    helper.write_file(folder .. "/train.tsv", line("label", "sentence2", "index", "sentence1")
      .. line("entailment", "B", "0", "A"))
    assert.same({ { text = "A", pair = "B", label = 0 } },
      corpus.split(tasks.get("rte"), folder, "train").samples)
    for head, message in pairs({
      [line("sentence1", "sentence", "label")] =
        "got 3 tab-separated columns, expected 4 (index, sentence1, sentence2, label)",
      [line("label", "sentence2", "sentence2", "sentence1")] =
        "two columns are called sentence2; rename one of them",
      [line("index", "sentence1", "sentence_2", "label")] =
        'got the header "sentence_2" for column 3, expected "sentence2"',
    }) do
      helper.write_file(folder .. "/train.tsv", head .. line("0", "A", "B", "entailment"))
      assert.has_error(function()
        corpus.split(tasks.get("rte"), folder, "train")
      end, folder .. "/train.tsv, line 1: " .. message)
    end
  end)

  it("torn rows are dropped only where the task says so", function()
    helper.write_file(folder .. "/train.tsv", NLI .. line("0", "A", "B", "entailment") .. "torn\n")
    assert.has_error(function()
      corpus.split(tasks.get("rte"), folder, "train")
    end, folder .. "/train.tsv, line 3: got 1 tab-separated columns, expected 4")
  end)
end)
