--- Tasks as rows: what a row needs, the one line that each bad one gets, and rows of other shapes
-- than CoLA's: pairs, headers, words as labels, scores, more splits.

local corpus = require("fsam.data.corpus")
local helper = require("spec.helper")
local registry = require("fsam.base.registry")
local tasks = require("fsam.data.tasks")

local COLUMNS = { "index", "first", "second", "answer" }

-- A good row, with other values; false takes a field out.
local function row(changes)
  local r = {
    data = "a folder", text = "first", pair = "second", label = "answer",
    files = {
      train = { name = "train.tsv", header = true, columns = COLUMNS },
      dev = { name = "dev.tsv", header = true, columns = COLUMNS },
      test = { name = "test.tsv", header = true, columns = { "index", "first", "second" } },
    },
    labels = { "no", "maybe", "yes" }, metrics = { "accuracy", "loss" },
  }
  for field, value in pairs(changes or {}) do
    r[field] = value or nil
  end
  return r
end

-- One place: a name is defined at another only once.
local function define_toy(changes)
  local defined = tasks.define("toy", row(changes))
  return defined
end

local function refuses(message, changes)
  assert.has_error(function()
    define_toy(changes)
  end, message)
end

describe("a row", function()
  it("is found by its name", function()
    local defined = define_toy()
    assert.equal(defined, tasks.get("toy"))
    assert.equal("toy", defined.title)
    assert.is_true(registry.contains(tasks.names(), "toy"))
    assert.is_true(registry.contains(tasks.names(), "cola"))
    assert.has_error(function()
      tasks.get("coal")
    end, "the task coal is unknown; did you mean cola? (" .. table.concat(tasks.names(), ", ")
      .. ")")
  end)

  it("states the metrics of CoLA once", function()
    assert.same({ "mcc", "accuracy", "f1", "loss" }, tasks.get("cola").metrics)
  end)

  it("has known fields", function()
    refuses("the task toy: the field metric is unknown; did you mean metrics? (title, data, files, "
      .. "text, pair, label, compose, index, also, labels, several, words, answers, scores, "
      .. "metrics, built_in)", { metric = "loss" })
    assert.has_error(function()
      tasks.define("toy")
    end, "spec/lua/data/tasks_spec.lua:62: fsam.data.tasks.define: row is missing, "
      .. "expected a table")
  end)

  it("has files, or makes its samples", function()
    refuses("the task toy: it needs files, or built_in with a name and a function generate",
      { files = false })
    refuses("the task toy: it needs files, or built_in with a name and a function generate",
      { files = false, built_in = { name = "mine" } })
    refuses("the task toy: files needs at least train and dev", { files = { train = {} } })
    refuses("the task toy: files.dev needs a name and columns, a list of the columns' names",
      { files = { train = row().files.train, dev = { name = "dev.tsv" } } })
    refuses("the task toy: text and label name the columns of its files that hold these",
      { label = false })
    refuses("the task toy: data, the help text of DATA, is missing", { data = false })
  end)

  it("names columns that are there", function()
    refuses("the task toy: train.tsv has no column third, which is its pair (index, first, second, "
      .. "answer)", { pair = "third", files = { train = row().files.train,
        dev = { name = "dev.tsv", columns = { "first", "third", "answer" } } } })
    refuses("the task toy: dev.tsv has no column answer, which is its label (first, second)",
      { files = { train = row().files.train,
        dev = { name = "dev.tsv", columns = { "first", "second" } } } })
  end)

  it("has classes or scores", function()
    local one_of = "the task toy: it needs labels (names of the classes) or scores "
      .. "({ min =, max = }), one of them"
    refuses(one_of, { labels = false })
    refuses(one_of, { scores = { min = 0, max = 5 } })
    refuses("the task toy: labels is a list of two names or more", { labels = { "no" } })
    refuses("the task toy: words needs one word for each of the 3 labels", { words = { "0", "1" } })
    refuses("the task toy: scores needs min and max, two numbers with min below max, "
      .. "or neither",
      { labels = false, scores = { min = 5, max = 0 } })
  end)

  it("has metrics that fit it", function()
    refuses("the task toy: metrics is a list of at least one name", { metrics = {} })
    refuses("the task toy: the metric f1 is unknown (mcc, accuracy, f1_macro, f1_micro, "
      .. "loss)",
      { metrics = { "accuracy", "f1" } })
    refuses("the task toy: the metric accuracy is unknown (pearson, spearman, corr, loss)",
      { labels = false, scores = { min = 0, max = 5 } })
  end)
end)

describe("the files of a row", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
    helper.write_file(folder .. "/train.tsv", "index\tfirst\tsecond\tanswer\n"
      .. "0\tIt rains.\tIt is wet.\tyes\n1\tIt rains.\tIt is late.\tmaybe\n")
    helper.write_file(folder .. "/dev.tsv", "index\tfirst\tsecond\tanswer\n0\tA\tB\tno\n")
    helper.write_file(folder .. "/test.tsv", "index\tfirst\tsecond\n0\tA\tC\n")
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function fails(message, changes, split)
    local r = define_toy(changes)
    assert.has_error(function()
      corpus.split(r, folder, split or "train")
    end, message)
  end

  it("are read: pairs, a header, words as labels in the row's order", function()
    local toy = define_toy()
    local data = corpus.open(toy, folder)
    assert.same({ { text = "It rains.", pair = "It is wet.", label = 2 },
      { text = "It rains.", pair = "It is late.", label = 1 } }, data.train.samples)
    assert.same({ { text = "A", pair = "B", label = 0 } }, data.dev.samples)
    assert.same({ "no", "maybe", "yes" }, data.train.labels)
    assert.equal(folder, data.name)
    assert.same({ { text = "A", pair = "C" } }, corpus.split(toy, folder, "test").samples)
  end)

  it("hold scores, which become numbers from 0 to 1", function()
    helper.write_file(folder .. "/train.tsv", "index\tfirst\tsecond\tanswer\n0\tA\tB\t3.800\n")
    local changes = { labels = false, scores = { min = 1, max = 5 }, metrics = { "pearson" } }
    local samples = corpus.split(define_toy(changes), folder, "train").samples
    assert.near(0.7, samples[1].label, 1e-12)
    for _, score in ipairs({ "5.1", "0.9", "high", "nan", "" }) do
      helper.write_file(folder .. "/train.tsv", "index\tfirst\tsecond\tanswer\n0\tA\tB\t" .. score
        .. "\n")
      fails(("%s/train.tsv, line 2: got the score \"%s\", expected a number from 1 to 5 (column 4)")
        :format(folder, score), changes)
    end
  end)

  it("get one line when they are wrong", function()
    fails(folder .. "/train.tsv, line 3: got the label \"maybe\", expected false, true or yes "
      .. "(column 4)", { words = { "false", "true", "yes" } })
    fails("toy has no test2 samples", nil, "test2")
    local made = tasks.define("made", row({ files = false,
      built_in = { name = "x", generate = function() end } }))
    assert.has_error(function()
      corpus.open(made, folder)
    end, "made makes its own data; leave " .. folder .. " out")
    assert.has_error(function()
      corpus.open(define_toy())
    end, "toy needs its data: give a folder")
    helper.write_file(folder .. "/train.tsv", "index\tfirst\tthird\tanswer\n0\tA\tB\tno\n")
    fails(folder .. "/train.tsv, line 1: got the header \"third\" for column 3, expected "
      .. "\"second\"")
  end)

  it("need only the columns that are read, where a header says which there are", function()
    local toy = define_toy()
    for _, text in ipairs({ "first\tsecond\tanswer\nA\tB\tno\n",
      "answer\tsecond\tfirst\nno\tB\tA\n",
      "guid\tindex\tfirst\tsecond\tmore\tanswer\nx\t0\tA\tB\ty\tno\n",
      "number\tfirst\tsecond\tanswer\n0\tA\tB\tno\n" }) do
      local path = helper.write_file(folder .. "/train.tsv", text)
      assert.same({ { text = "A", pair = "B", label = 0 } },
        corpus.file(toy, path, "train").samples, text)
    end
    helper.write_file(folder .. "/train.tsv", "first\tanswer\nA\tno\n")
    local ok, err = pcall(corpus.split, toy, folder, "train")
    assert.is_false(ok)
    assert.equal(folder .. "/train.tsv, line 1: got 2 tab-separated columns, expected 4 (index, "
      .. "first, second, answer)", tostring(err))
    helper.write_file(folder .. "/train.tsv", "first\tsecond\tanswer\nA\tB\tno\tx\n")
    ok, err = pcall(corpus.split, toy, folder, "train")
    assert.is_false(ok)
    assert.equal(folder .. "/train.tsv, line 2: got 4 tab-separated columns, expected 3",
      tostring(err))
  end)
end)

describe("samples that no file holds", function()
  local function fails(message, change)
    local data = { name = "mine",
      train = { samples = { { text = "a", label = 0 }, { text = "b", label = 2 } } },
      dev = { samples = { { text = "c", label = 1 } } } }
    change(data)
    assert.has_error(function()
      corpus.check(define_toy(), data)
    end, message)
  end

  it("are checked, one by one", function()
    local label = "toy, sample 2 of train: got the label %s, expected 0 to 2 (no, maybe, yes)"
    for _, value in ipairs({ 3, -1, 0.5, "yes", false }) do
      fails(label:format(tostring(value)), function(data)
        data.train.samples[2].label = value
      end)
    end
    fails(label:format("nil"), function(data)
      data.train.samples[2].label = nil
    end)
    fails("toy, sample 1 of dev has no text", function(data)
      data.dev.samples[1].text = nil
    end)
    fails("toy: the corpus has no name, which reports show", function(data)
      data.name = nil
    end)
    for _, dev in ipairs({ false, { samples = {} }, {} }) do
      fails("toy: the corpus has no dev samples; it is { name = …, train = { samples = … }, "
        .. "dev = { samples = … } }", function(data)
        data.dev = dev or nil
      end)
    end
  end)
end)
