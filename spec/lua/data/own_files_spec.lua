--- Files of one's own as a task: which problem, which labels in which order, what is held out, and
-- the one line about each thing that does not fit.
local class_weights = require("fsam.data.class_weights")
local errors = require("fsam.errors")
local helper = require("spec.helper")
local own_files = require("fsam.data.own_files")
local values = require("fsam.options.values")

local folder

-- The flags' values: those given, as a command has them, over the defaults.
local function options(given)
  local o = { given = {}, restore_file = "model" }
  for _, d in ipairs(own_files.flags) do
    o[d.name] = d.default
  end
  for name, value in pairs(given) do
    o[name], o.given[name] = value ~= "" and value or nil, true
    for _, d in ipairs(own_files.flags) do
      if d.name == name and d.type == "list" then
        o[name] = values.convert(d, value, "--" .. name)
      end
    end
  end
  return o
end

-- The row and its corpus, from { "a.csv", "its text" }, another one for validation or nil.
local function task(train, dev, given)
  given = given or {}
  given.train_file = helper.write_file(folder .. "/" .. train[1], train[2])
  if dev then
    given.validation_file = helper.write_file(folder .. "/" .. dev[1], dev[2])
  end
  local row = own_files.row(options(given))
  return row, row.built_in.generate()
end

local function refuses(message, ...)
  local ok, err = pcall(task, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  assert.equal(message, (tostring(err):gsub(folder:gsub("%p", "%%%0") .. "/", "")))
end

local function labels_of(dataset)
  local list = {}
  for i, sample in ipairs(dataset.samples) do
    list[i] = sample.label
  end
  return list
end

setup(function()
  folder = helper.memory_dir()
end)

teardown(function()
  helper.remove_dir(folder)
end)

local DEV = { "dev.csv", "text,label\nx,no\n" }

describe("one's own files", function()
  it("have classes, words by their bytes and whole numbers by size", function()
    local row, corpus = task({ "a.csv", "text,label\na,yes\nb,no\nc,Yes\n" }, DEV)
    assert.same({ "Yes", "no", "yes" }, row.labels)
    assert.same({ 2, 1, 0 }, labels_of(corpus.train))
    assert.same({ { text = "x", label = 1 } }, corpus.dev.samples)
    assert.same({ "accuracy", "mcc", "f1_macro", "loss" }, row.metrics)
    row = task({ "a.jsonl", '{"text":"a","label":10}\n{"text":"b","label":9}\n'
      .. '{"text":"c","label":-1}\n' }, { "dev.csv", "text,label\nx,9\n" })
    assert.same({ "-1", "9", "10" }, row.labels)
    row = task({ "a.jsonl", '{"text":"a","label":true}\n{"text":"b","label":false}\n' },
      { "dev.csv", "text,label\nx,true\n" })
    assert.same({ "false", "true" }, row.labels)
    assert.same({ "accuracy", "mcc", "f1", "f1_macro", "loss" }, row.metrics)
  end)

  it("have numbers where one has a fraction, or where they are asked for", function()
    local row, corpus = task({ "a.csv", "text,label\na,1\nb,-2.5\nc,3e2\n" },
      { "dev.tsv", "text\tlabel\nx\t7\n" })
    assert.is_nil(row.labels)
    assert.same({ 1, -2.5, 300 }, labels_of(corpus.train))
    assert.same({ 7 }, labels_of(corpus.dev))
    assert.same({ "pearson", "spearman", "loss" }, row.metrics)
    row = task({ "a.csv", "text,label\na,1\nb,2\n" }, { "dev.csv", "text,label\nx,2\n" },
      { regression_target = true })
    assert.is_nil(row.labels)
    row = task({ "a.csv", "text,label\na,1.0\nb,2.0\n" }, { "dev.csv", "text,label\nx,2.0\n" },
      { problem_type = "single_label_classification" })
    assert.same({ "1.0", "2.0" }, row.labels)
  end)

  it("have several labels: lists, words between separators, or columns of 0 and 1", function()
    local row, corpus = task({ "a.jsonl", '{"text":"a","label":["z","b"]}\n'
      .. '{"text":"b","label":[]}\n{"text":"c","label":"b"}\n' }, nil,
      { validation_share = 0.34 })
    assert.same({ "b", "z" }, row.labels)
    assert.is_true(row.several)
    assert.same({ "f1_micro", "f1_macro", "accuracy", "loss" }, row.metrics)
    assert.equal(2, #corpus.train.samples)
    row, corpus = task({ "a.csv", "text,label\na, z ; b\nb,\nc,b;b\n" },
      { "dev.csv", "text,label\nx,z\n" }, { label_separator = ";" })
    assert.same({ "b", "z" }, row.labels)
    assert.same({ { 0, 1 }, {}, { 0 } }, labels_of(corpus.train))
    assert.same({ { 1 } }, labels_of(corpus.dev))
    row, corpus = task({ "a.csv", "z,text,b\n1,x,0\n1.0,y,true\n0,w,0\n" },
      { "dev.csv", "z,text,b\n0,x,1\n" }, { label_columns = "z,b" })
    assert.same({ "z", "b" }, row.labels)
    assert.same({ { 0 }, { 0, 1 }, {} }, labels_of(corpus.train))
    assert.same({ { 1 } }, labels_of(corpus.dev))
  end)

  it("have pairs of texts", function()
    local _, corpus = task({ "a.csv", "q,label,a\none,x,two\nthree,y,four\n" },
      { "dev.tsv", "a\tlabel\tq\nsix\tx\tfive\n" },
      { text_column = "q", text_pair_column = "a" })
    assert.same({ text = "one", pair = "two", label = 0 }, corpus.train.samples[1])
    assert.same({ text = "five", pair = "six", label = 0 }, corpus.dev.samples[1])
  end)

  it("are split by a seed, each part in the order of the file", function()
    local lines = { "text,label" }
    for i = 1, 40 do
      lines[i + 1] = ("t%02d,%s"):format(i, i % 2 == 0 and "a" or "b")
    end
    local file = { "a.csv", table.concat(lines, "\n") }
    local function parts(seed)
      local _, corpus = task(file, nil, { validation_share = 0.25, split_seed = seed })
      local texts = {}
      for _, split in ipairs({ "train", "dev" }) do
        local last = ""
        for i, sample in ipairs(corpus[split].samples) do
          assert.is_true(sample.text > last)
          assert.equal(tonumber(sample.text:sub(2)) + 1, corpus[split].lines[i])
          last, texts[sample.text] = sample.text, split
        end
      end
      assert.same({ 30, 10 }, { #corpus.train.samples, #corpus.dev.samples })
      return texts
    end
    local one = parts(1)
    assert.same(one, parts(1))
    assert.not_same(one, parts(2))
  end)

  it("are asked about where numbers have a comma in place of the point", function()
    local file = { "a.csv", "text;label\na;1\nb;0,5\nc;2\nd;0,5\n" }
    refuses("a.csv, line 3: column label has 0,5; write numbers with a point, give "
      .. "--label-separator , for several labels, or --problem-type single_label_classification "
      .. "for classes of these names", file)
    assert.same({ "0,5", "1", "2" }, (task(file, nil, { validation_share = 0.5,
      problem_type = "single_label_classification" })).labels)
    assert.same({ "0", "1", "2", "5" }, (task(file, nil, { validation_share = 0.5,
      label_separator = "," })).labels)
    assert.same({ "0,5", "x" }, (task({ "a.csv", "text;label\na;x\nb;0,5\n" }, nil,
      { validation_share = 0.5 })).labels)
  end)

  it("are refused in one line", function()
    local two = { "a.csv", "text,label\na,yes\nb,no\n" }
    local function csv(text)
      return { "a.csv", text }
    end
    refuses("a.csv needs --restore-file, a pretrained model with its vocabulary", two, DEV,
      { restore_file = "" })
    refuses("dev.csv, line 2: the label nope is not among those of the training file; did you mean "
      .. "no? (no, yes)", two, { "dev.csv", "text,label\nx,nope\n" })
    refuses("a.csv: column label has only the label yes; a task needs two labels or more",
      csv("text,label\na,yes\nb,yes\n"), DEV)
    refuses("a.csv, line 3: column label has nothing, expected a label",
      csv("text,label\na,yes\nb,\n"), DEV)
    refuses("a.csv, line 3: column label is \"two\", expected a number",
      csv("text,label\na,1.5\nb,two\n"), DEV, { regression_target = true })
    refuses("a.csv, line 2: column label is \"nan\", expected a number",
      csv("text,label\na,nan\nb,2.5\n"), DEV, { problem_type = "regression" })
    for _, word in ipairs({ "inf", "1e400", "1e39", "NaN", "two", "0x1" }) do
      refuses(("a.csv, line 4: column label has %q among numbers; correct it or leave the sample "
        .. "out, or give --problem-type single_label_classification for classes of these names")
        :format(word), csv(("text,label\na,1.5\nb,2\nc,%s\nd,3\n"):format(word)), DEV)
    end
    refuses("a.csv, line 3: column label has \"NA\" among numbers; correct it or leave the sample "
      .. "out, or give --problem-type single_label_classification for classes of these names",
      csv("text,label\na,1\nb,NA\nc,2\n"), DEV)
    refuses("the labels \"yes\" and \" yes\" differ by spaces alone; make them one",
      csv("text,label\na, yes\nb,yes\n"), DEV)
    refuses("the column text is named twice; each text and each label has a column of its own",
      csv("text,label\na,1\nb,0\n"), DEV, { label_column = "text" })
    refuses("the column text is named twice; each text and each label has a column of its own",
      csv("text,label\na,1\nb,0\n"), DEV, { text_pair_column = "text" })
    refuses("a.jsonl, line 2: column text is 5, expected a text", { "a.jsonl",
      '{"text":"a","label":1}\n{"text":5,"label":2}\n' }, { "dev.csv", "text,label\nx,1\n" })
    refuses("a.jsonl, line 2: column text is missing, expected a text", { "a.jsonl",
      '{"text":"a","label":1}\n{"label":2}\n' }, { "dev.csv", "text,label\nx,1\n" })
    refuses("a.jsonl, line 1: column label is an object, expected a label or a list of labels",
      { "a.jsonl", '{"text":"a","label":{"a":1}}\n' }, DEV)
    refuses("a.csv, line 2: column b is \"2\", expected 0 or 1", csv("text,a,b\nx,1,2\n"), DEV,
      { label_columns = "a,b" })
    refuses("a.csv has 2 samples, of which --validation-share 0.1 holds out 0; give a "
      .. "--validation-file, or another share", two)
    refuses("--validation-share holds samples out where there is no --validation-file; give one of "
      .. "the two", two, DEV, { validation_share = 0.5 })
    refuses("--regression-target contradicts --problem-type single_label_classification; give one "
      .. "of the two", two, DEV, { regression_target = true,
      problem_type = "single_label_classification" })
    refuses("--label-separator goes with multi_label_classification, not with regression", two,
      DEV, { regression_target = true, label_separator = ";" })
    refuses("--label-columns names 1 column, expected two or more; --label-column names one", two,
      DEV, { label_columns = "a" })
    refuses("--label-column names one column, --label-columns several; give one of the two", two,
      DEV, { label_columns = "a,b", label_column = "label" })
    local ok, err = pcall(own_files.row, options({}))
    assert.same({ false, "--train-file is missing; give a file with texts and labels (.csv, "
      .. ".ft, .fasttext, .jsonl, .ndjson, .json, .tsv)" }, { ok, tostring(err) })
  end)
end)

describe("class weights", function()
  local samples = { { label = 0 }, { label = 0 }, { label = 0 }, { label = 1 } }

  it("are the inverse of frequencies with the mean 1", function()
    assert.near({ 0.5, 1.5 }, class_weights.of({ "auto" }, { "a", "b" }, samples), 1e-12)
    assert.near({ 3 / 7, 9 / 7, 9 / 7 }, class_weights.of({ "auto" }, { "a", "b", "c" }, samples),
      1e-12)
    assert.near({ 2 / 3, 4 / 3 }, class_weights.of({ "auto" }, { "a", "b" },
      { { label = { 0, 1 } }, { label = { 0 } }, { label = {} } }), 1e-12)
  end)

  it("are numbers, or there are none", function()
    assert.same({ 0, 2.5 }, class_weights.of({ "0", "2.5" }, { "a", "b" }, samples))
    assert.is_nil(class_weights.of(nil, { "a", "b" }, samples))
  end)

  it("fit the labels", function()
    for message, words in pairs({
      ["--class-weights has 1 number, the labels are 2: a, b"] = { "2" },
      ["--class-weights: heavy is not a weight; give auto, or a number from 0 to 3.4e+38 for "
        .. "each of a, b"] = { "1", "heavy" },
      ["--class-weights: 1e39 is not a weight; give auto, or a number from 0 to 3.4e+38 for "
        .. "each of a, b"] = { "1", "1e39" },
      ["--class-weights 0,0: every class weighs 0, so nothing would be learnt; give one of a, b a "
        .. "weight above 0"] = { "0", "0" },
      ["--class-weights: -1 is not a weight; give auto, or a number from 0 to 3.4e+38 for each of "
        .. "a, b"] = { "-1", "1" },
    }) do
      assert.has_error(function()
        class_weights.of(words, { "a", "b" }, samples)
      end, message)
    end
  end)
end)
