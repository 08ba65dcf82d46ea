--- recipes/classify.lua, run as a user runs it: files of one's own train a small model, whose run
-- then answers files of the same kind.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder -- of this spec's files
local model  -- a checkpoint with a vocabulary in it

local function write(name, text)
  return helper.write_file(folder .. "/" .. name, text)
end

local function classify(run, words)
  local list = { "recipes/classify.lua", "--restore-file", model, "--save-dir",
    folder .. "/" .. run, "--max-update", "3", "--batch-size", "8", "--threads", "1",
    "--num-samples", "4", "--log-format", "simple", "--sam-type", "fisher-sam" }
  for _, word in ipairs(words) do
    list[#list + 1] = word
  end
  return helper.fsam_lua(list)
end

local function predict(run, words)
  return helper.fsam_lua({ "recipes/predict.lua", folder .. "/" .. run, "--threads", "1",
    unpack(words) })
end

local function config_of(run)
  return json.decode(helper.read_file(folder .. "/" .. run .. "/checkpoint_best/config.json"), run)
end

-- 24 rows of a CSV: a third of them "lost", the rest "here", over two lines.
local function csv()
  local rows = { "id,answer,review\r\n" }
  for i = 1, 24 do
    local word = i % 3 == 0 and "lost" or "here"
    rows[i + 1] = ("%d,%s,\"the key,\nis %s .\"\r\n"):format(i, word, word)
  end
  return table.concat(rows)
end

setup(function()
  folder = helper.memory_dir()
  local code, _, err = helper.fsam_lua({ "recipes/cola.lua", "--save-dir", folder .. "/model",
    "--max-update", "1", "--max-train-samples", "32", "--num-samples", "4", "--threads", "1",
    "--log-format", "none" })
  assert(code == 0, err)
  model = folder .. "/model/checkpoint_last"
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("classify.lua", function()
  it("trains on a table of texts and labels, and answers the columns that it was trained on",
  function()
    local train = write("train.csv", csv())
    local words = { "--train-file", train, "--validation-share", "0.25", "--text-column", "review",
      "--label-column", "answer", "--class-weights", "auto", "--label-smoothing", "0.1" }
    local code, out, err = classify("csv", words)
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("\ndata     " .. train .. ", 18 train, 6 dev\n", out, 1, true)
    assert.matches("\nloss     classes weighted here 0%.%d+, lost 1%.%d+; labels smoothed by 0%.1; "
      .. "validation has neither\n", out)
    assert.matches("dev accuracy [%d.]+ %%   mcc %-?[%d.]+   f1 [%d.]+   f1_macro [%d.]+   loss",
      out)
    local config = config_of("csv")
    assert.same({ ["0"] = "here", ["1"] = "lost" }, config.id2label)
    assert.same({ here = 0, lost = 1 }, config.label2id)
    assert.equal("single_label_classification", config.problem_type)
    code, out = classify("csv", words)
    assert.equal(0, code)
    assert.matches("is finished (3 updates)", out, 1, true)
    code, out, err = predict("csv", { write("ask.tsv", "review\tmore\nthe key is here .\t1\n"),
      "--format", "jsonl" })
    assert.equal("", err)
    assert.equal(0, code)
    local answer = json.decode(out, "the answer")
    assert.equal("the key is here .", answer.text)
    assert.near(1, answer.probabilities.here + answer.probabilities.lost, 1e-9)
    code, out, err = predict("csv", { write("ask.csv", "text\nx\n") })
    assert.same({ 1, "", "predict.lua: " .. folder .. "/ask.csv has no column review (its columns: "
      .. "text)\n" }, { code, out, err })
    code, out, err = predict("csv", { write("ask.txt", "the key\n1\tthe key\n") })
    assert.same({ 1, "", "predict.lua: " .. folder .. "/ask.txt, line 2: has two texts (a tab, or "
      .. "text_pair), but the run of " .. folder .. "/csv was trained on one\n" },
      { code, out, err })
    code, out = predict("csv", { folder .. "/ask.csv", "--text-column", "text" })
    assert.equal(0, code)
    assert.matches("^label\ttext\there\tlost\n%a+\tx\t[%d.]+\t[%d.]+\n$", out)
  end)

  it("trains on several labels, and answers with those of a probability over one half", function()
    local lines = {}
    for i = 1, 16 do
      lines[i] = json.encode({ text = i % 2 == 0 and "the key is here ." or "the key .",
        tags = json.array(i % 2 == 0 and { "place", "key" } or { "key" }) })
    end
    local code, out, err = classify("several", { "--train-file",
      write("train.jsonl", table.concat(lines, "\n")), "--validation-file", folder
      .. "/train.jsonl", "--label-column", "tags", "--class-weights", "1,2" })
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("dev f1_micro [%d.]+   f1_macro [%d.]+   accuracy [%d.]+ %%   loss", out)
    local config = config_of("several")
    assert.same({ ["0"] = "key", ["1"] = "place" }, config.id2label)
    assert.equal("multi_label_classification", config.problem_type)
    code, out = predict("several", { folder .. "/train.jsonl", "--format", "jsonl" })
    assert.equal(0, code)
    local answer = json.decode(out:match("^[^\n]*"), "the answer")
    local chosen = {}
    for c, name in ipairs({ "key", "place" }) do
      assert.near(1 / (1 + math.exp(-answer.logits[c])), answer.probabilities[name], 1e-9)
      chosen[#chosen + 1] = answer.logits[c] > 0 and name or nil
    end
    assert.same(chosen, { unpack(answer.labels) })
  end)

  it("trains on numbers as they stand, and answers with such", function()
    local rows = { "text\tlabel\n" }
    for i = 1, 16 do
      rows[i + 1] = ("the key %s .\t%.1f\n"):format(i % 2 == 0 and "here" or "lost", i % 2 * 5)
    end
    local code, out, err = classify("numbers", { "--train-file",
      write("train.tsv", table.concat(rows)) })
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("dev pearson %-?[%d.]+   spearman %-?[%d.]+   loss", out)
    local config = config_of("numbers")
    assert.equal("regression", config.problem_type)
    code, out = predict("numbers", { folder .. "/train.tsv" })
    assert.equal(0, code)
    assert.matches("^score\ttext\n%-?[%d.]+\tthe key lost %.\n", out)
  end)

  it("gets one line for bad input, before anything is loaded", function()
    local function refuses(message, words)
      local code, _, err = classify("none", words)
      assert.equal("classify.lua: " .. message .. "\n", err)
      assert.equal(1, code)
      assert.is_nil(file.kind(folder .. "/none"))
    end
    local train = write("bad.csv", "text,label\na,yes\nb,no\nc,yes\n")
    refuses("--train-file is missing; give a file with texts and labels (.csv, .ft, "
      .. ".fasttext, .jsonl, .ndjson, .json, .tsv)", {})
    refuses(train .. " has no column txet; did you mean text? (its columns: text, label)",
      { "--train-file", train, "--text-column", "txet" })
    refuses("--class-weights has 3 numbers, the labels are 2: no, yes", { "--train-file", train,
      "--validation-file", train, "--class-weights", "1,2,3" })
    refuses("--best-checkpoint-metric pearson is unknown (accuracy, mcc, f1, f1_macro, loss)",
      { "--train-file", train, "--validation-file", train, "--best-checkpoint-metric", "pearson" })
    refuses("--label-smoothing goes with one class for each text; the loss here is mse",
      { "--train-file", write("n.csv", "text,label\na,1.5\nb,2\n"), "--validation-file", folder
      .. "/n.csv", "--label-smoothing", "0.1" })
  end)
end)
