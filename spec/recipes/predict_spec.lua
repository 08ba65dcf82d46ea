--- recipes/predict.lua, run as a user runs it, on a model trained for a few updates.

local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder -- of this spec's files
local model  -- a checkpoint in it

local function predict(words, input, other)
  local list = { "recipes/predict.lua", other or model, "--threads", "1", input = input }
  for _, word in ipairs(words) do
    list[#list + 1] = word
  end
  return helper.fsam_lua(list)
end

-- What fsam.load's predict says about a text, as its label and probabilities.
local function alone(text)
  local code, out, err = helper.fsam_lua({ "-e", ("local p = fsam.load(%q):predict(%q) "
    .. "print(p.label, p.probabilities[1], p.probabilities[2])"):format(model, text) })
  assert(code == 0, err)
  local label, first, second = out:match("^(%S+)\t(%S+)\t(%S+)\n$")
  return label, tonumber(first), tonumber(second)
end

local TEXTS = { "the key is here .", "key the .", "the keys near the door are here .", "is ." }

setup(function()
  folder = helper.memory_dir()
  local code, _, err = helper.fsam_lua({ "recipes/cola.lua", "--save-dir", folder .. "/run",
    "--max-update", "8", "--max-train-samples", "256", "--num-samples", "4", "--threads", "1",
    "--log-format", "none" })
  assert(code == 0, err)
  model = folder .. "/run/checkpoint_last"
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("predict.lua", function()
  it("answers each line of standard input as predict answers it alone", function()
    local code, out, err = predict({ "--batch-size", "3" }, table.concat(TEXTS, "\n"))
    assert.equal("", err)
    assert.equal(0, code)
    local lines = {}
    for line in out:gmatch("([^\n]*)\n") do
      lines[#lines + 1] = line
    end
    assert.equal("label\ttext\tunacceptable\tacceptable", lines[1])
    assert.equal(1 + #TEXTS, #lines)
    for i, text in ipairs(TEXTS) do
      local label, got, no, yes = lines[i + 1]:match("^(%S+)\t([^\t]+)\t(%S+)\t(%S+)$")
      local wanted, first, second = alone(text)
      assert.equal(text, got)
      assert.equal(wanted, label)
      assert.near(first, tonumber(no), 1e-5)
      assert.near(second, tonumber(yes), 1e-5)
    end
  end)

  it("reads objects and writes objects, with a second text where no run knows of one", function()
    local foreign = folder .. "/foreign"
    assert.equal(0, (helper.shell(("cp -r %s %s && rm %s/trainer.json"):format(model, foreign,
      foreign))))
    local path = helper.write_file(folder .. "/texts.jsonl",
      '{"text": "the key is here .", "text_pair": "is ."}\n\n{"text": "tab\\there"}\n')
    local code, out = predict({ path, "--format", "jsonl" }, nil, foreign)
    assert.equal(0, code)
    local first, second = out:match("^([^\n]*)\n([^\n]*)\n$")
    first, second = json.decode(first, "line 1"), json.decode(second, "line 2")
    assert.equal("is .", first.text_pair)
    assert.equal("tab\there", second.text)
    assert.near(1, first.probabilities.acceptable + first.probabilities.unacceptable, 1e-9)
    assert.equal(2, #first.logits)
  end)

  it("writes what GLUE's server takes, in the words of the files", function()
    helper.shell("mkdir -p " .. folder .. "/CoLA")
    helper.write_file(folder .. "/CoLA/test.tsv",
      "index\tsentence\n0\tthe key is here .\n1\tkey the .\n")
    local path = folder .. "/CoLA.tsv"
    local code, out = predict({ folder .. "/CoLA", "--task", "cola", "--out", path })
    assert.equal(0, code)
    assert.equal("2 answers in " .. path .. "\n", out)
    local expected = { "index\tprediction\n" }
    for i, text in ipairs({ "the key is here .", "key the ." }) do
      expected[i + 1] = ("%d\t%d\n"):format(i - 1, alone(text) == "acceptable" and 1 or 0)
    end
    assert.equal(table.concat(expected), helper.read_file(path))
    local _, same = predict({ folder .. "/CoLA/test.tsv", "--task", "cola" })
    assert.equal(table.concat(expected), same)
  end)

  it("never writes its answers over the texts, or over a file of the run", function()
    helper.shell("mkdir -p " .. folder .. "/CoLA")
    local texts = helper.write_file(folder .. "/mine.txt", "the key is here .\n")
    local inside = helper.write_file(model .. "/mine.txt", "the key is here .\n")
    local task = helper.write_file(folder .. "/CoLA/dev.tsv", "x")
    for out, words in pairs({ [texts] = { texts }, [task] = { folder .. "/CoLA", "--task", "cola" },
      [folder .. "/run/results.json"] = { texts }, [model .. "/config.json"] = { texts },
      [folder .. "/./mine.txt"] = { texts }, [inside] = { inside } }) do
      local before = helper.read_file(out)
      words[#words + 1], words[#words + 2] = "--out", out
      local code, _, err = predict(words)
      assert.same({ 1, "predict.lua: --out " .. out .. " would replace a file of the texts' or the "
        .. "model's; give another name\n" }, { code, err })
      assert.equal(before, helper.read_file(out))
    end
    assert.equal(0, (predict({ texts, "--out", folder .. "/run/answers.tsv" })))
    assert.equal(0, (predict({ texts, "--out", folder .. "/run/answers.tsv" })))
  end)

  local REFUSED = {
    { {}, "\n", "standard input has no texts" },
    { {}, "a\tb\tc\n", "standard input, line 1: got more than one tab, expected a text, or two "
      .. "texts with a tab between" },
    { {}, "fine\na\tb\n", "standard input, line 2: has two texts (a tab, or text_pair), but the "
      .. "run of " },
    { {}, "fine\n" .. ("key "):rep(600), "text 2 (line 2) has 602 tokens, the model takes 512; "
      .. "shorten it" },
    { { "--format", "glue" }, "a",
      "--format glue needs --task, which says what the columns of FILE are" },
    { { "--task", "cola" }, "a",
      "--task cola needs FILE: GLUE's CoLA folder (train.tsv, dev.tsv)" },
    { { "FILE", "--task", "cola", "--split", "tset" }, "", "--split tset is unknown; did you mean "
      .. "test? (dev, test, train)" },
    { { "FILE", "--task", "cola", "--split", "dev", "--format", "glue" }, "", "GLUE's server takes "
      .. "no answers for the dev samples of CoLA; choose another --format" },
    { { "RTE", "--task", "rte" }, "", "the model's labels are unacceptable, acceptable, those of "
      .. "RTE are entailment, not_entailment; it was not trained for this task" },
    { { "BAD" }, "", "bad.jsonl, line 2: text is 5, expected a text" },
  }
  for i, case in ipairs(REFUSED) do
    it("refuses in one line, " .. i, function()
      local paths = {
        FILE = helper.write_file(folder .. "/file", "a"),
        RTE = helper.write_file(folder .. "/rte.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n"),
        BAD = helper.write_file(folder .. "/bad.jsonl", '{"text": "a"}\n{"text": 5}\n'),
      }
      local words = {}
      for k, word in ipairs(case[1]) do
        words[k] = paths[word] or word
      end
      local code, out, err = predict(words, case[2])
      assert.equal(1, code)
      assert.equal("", out)
      assert.is_truthy(err:find("^predict%.lua: [^\n]*\n$"), err)
      assert.is_truthy(err:find(case[3], 1, true), err)
    end)
  end
end)

describe("GLUE's answers", function()
  local outputs = require("fsam.predict.outputs")

  it("are scores on the file's scale", function()
    assert.equal("index\tprediction\n0\t3.800\n1\t0.000\n2\t5.000\n", outputs.text(
      { format = "glue", task = "stsb" }, { {}, {}, {} },
      { { score = 0.76 }, { score = -0.2 }, { score = 1.4 } }))
  end)

  it("take a model's classes by name, and nameless ones in order", function()
    local function glue(labels)
      return outputs.text({ format = "glue", task = "rte" }, { {} },
        { { class = 1, labels = labels } })
    end
    assert.equal("index\tprediction\n0\tnot_entailment\n", glue({ "not_entailment", "entailment" }))
    assert.equal("index\tprediction\n0\tentailment\n", glue({ "LABEL_0", "LABEL_1" }))
  end)
end)
