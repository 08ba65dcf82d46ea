--- A task from files of one's own, whose columns have names: what recipes/classify.lua trains on.
--
-- Owns: the flags that name files and columns, the choice of a problem, the labels and their order,
-- and holding samples out for validation. Leaves to others: formats (tables.lua), what the cells of
-- labels hold (label_cells.lua), what a problem is (problems.lua), what follows from a task's row
-- (tasks.lua).
--
-- The problem follows from the labels, as in Transformers: lists, words between separators, or
-- several columns of 0 and 1 are several labels; numbers of which one has a fraction are a
-- regression; all else are classes. The classes' order is that of Transformers' scripts: whole
-- numbers by size, words by their bytes.
local arguments = require("fsam.base.arguments")
local cells = require("fsam.data.label_cells")
local errors = require("fsam.errors")
local metrics = require("fsam.data.metrics")
local problems = require("fsam.data.problems")
local registry = require("fsam.base.registry")
local sampling = require("fsam.data.sampling")
local schema = require("fsam.base.schema")
local tables = require("fsam.data.tables")
local tasks = require("fsam.data.tasks")

local M = { metrics = metrics.names }

local SEVERAL, SINGLE, SCORES = cells.SEVERAL, cells.SINGLE, cells.SCORES

M.flags = {
  { name = "train_file", type = "string", metavar = "FILE", free = true,
    help = "samples to train on: .csv or .tsv with a line of columns' names, or .jsonl" },
  { name = "validation_file", type = "string", metavar = "FILE", free = true,
    help = "samples to judge by" },
  { name = "validation_share", type = "number", default = 0.1, above = 0, below = 1,
    help = "share of --train-file that is held out where there is no --validation-file" },
  { name = "split_seed", type = "integer", default = 1, min = 0, max = 2 ^ 32 - 1,
    help = "decides which samples are held out" },
  { name = "text_column", type = "string", default = "text", metavar = "NAME",
    help = "column of the text" },
  { name = "text_pair_column", type = "string", metavar = "NAME",
    help = "column of the second text" },
  { name = "label_column", type = "string", default = "label", metavar = "NAME",
    help = "column of the label: a word, a number, or in JSON lines a list of labels" },
  { name = "label_columns", type = "list", metavar = "NAMES",
    help = "in its place: columns of 0 and 1, one for each of several labels" },
  { name = "label_separator", type = "string", metavar = "TEXT",
    help = "stands between several labels in one column" },
  { name = "problem_type", type = "choice", choices = problems.NAMES,
    help = "what the labels mean; default: what they look like" },
  { name = "regression_target", type = "flag",
    help = "labels are numbers to predict (--problem-type regression)" },
}

-- -- columns --------------------------------------------------------------------------------------

-- The columns to read: the texts', then the labels'.
local function columns_of(o)
  local list = { o.text_column, o.text_pair_column }
  local first = #list + 1
  for _, name in ipairs(o.label_columns or { o.label_column }) do
    list[#list + 1] = name
  end
  for i, name in ipairs(list) do
    if registry.contains({ unpack(list, 1, i - 1) }, name) then
      errors.raise("the column %s is named twice; each text and each label has a column of its own",
        name)
    end
  end
  return list, first
end

--- The text of a cell.
-- @tparam any value of tables.read
-- @tparam string place file and line, for messages
-- @tparam string column its name
-- @treturn string
-- @raise one line when it is none
function M.text(value, place, column)
  if type(value) ~= "string" then
    errors.raise("%s: column %s is %s, expected a text", place, column,
      value == nil and "missing" or schema.show(value))
  end
  return value
end

-- -- the problem ----------------------------------------------------------------------------------

local function problem_of(o, read)
  local asked = o.regression_target and SCORES or o.problem_type
  if o.label_columns or o.label_separator then
    if asked and asked ~= SEVERAL then
      errors.raise("%s goes with %s, not with %s",
        o.label_columns and "--label-columns" or "--label-separator", SEVERAL, asked)
    end
    return SEVERAL
  end
  return asked or cells.problem(read)
end

-- -- labels ---------------------------------------------------------------------------------------

local function by_size(a, b)
  return tonumber(a) < tonumber(b)
end

-- The names of the classes, from the words of all samples.
local function sorted_labels(words_by_sample)
  local set, whole = {}, true
  for _, words in ipairs(words_by_sample) do
    for _, word in ipairs(words) do
      set[word] = true
      whole = whole and word:find("^-?%d+$") ~= nil and #word < 16
    end
  end
  for word in pairs(set) do
    local bare = word:match("^%s*(.-)%s*$")
    if bare ~= word and set[bare] then
      errors.raise("the labels \"%s\" and \"%s\" differ by spaces alone; make them one", bare, word)
    end
  end
  local list = registry.sorted(set)
  if whole then
    table.sort(list, by_size)
  end
  return list
end

-- Reads a file: its rows, where their labels are, and how messages call a row.
local function read_file(path, o)
  local columns, first = columns_of(o)
  local rows = tables.read(path, columns)
  return { path = path, rows = rows, columns = columns, first = first, place = function(i)
    return ("%s, line %d"):format(path, rows[i].line)
  end }
end

local function unknown_label(word, place, labels)
  errors.raise("%s: the label %s is not among those of the training file%s (%s)", place, word,
    errors.suggestion(word, labels), table.concat(labels, ", ", 1, math.min(#labels, 20)))
end

-- The labels of the samples of a file, as their problem has them.
local function targets(read, words, labels, problem)
  local list, number = {}, {}
  for c, label in ipairs(labels or {}) do
    number[label] = c - 1
  end
  for i, of_sample in ipairs(words) do
    if problem == SCORES then
      list[i] = cells.number(of_sample[1]) or errors.raise("%s: column %s is \"%s\", expected a "
        .. "number", read.place(i), read.columns[read.first], of_sample[1])
    else
      for _, word in ipairs(of_sample) do
        local _ = number[word] or unknown_label(word, read.place(i), labels)
      end
      list[i] = problem == SINGLE and number[of_sample[1]]
        or problems.get(SEVERAL).target(of_sample, labels)
    end
  end
  return list
end

-- -- datasets -------------------------------------------------------------------------------------

local function dataset(read, labels_of_samples, labels)
  local set = { samples = {}, labels = labels, path = read.path, lines = {} }
  for i, row in ipairs(read.rows) do
    local place = read.place(i)
    set.samples[i] = { text = M.text(row[1], place, read.columns[1]),
      pair = read.first == 3 and M.text(row[2], place, read.columns[2]) or nil,
      label = labels_of_samples[i] }
    set.lines[i] = row.line
  end
  return set
end

-- Splits a dataset in two, each in the order of the file.
local function hold_out(set, o)
  local n = #set.samples
  local count = math.floor(n * o.validation_share + 0.5)
  if count < 1 or count >= n then
    errors.raise("%s has %d samples, of which --validation-share %g holds out %d; give a "
      .. "--validation-file, or another share", set.path, n, o.validation_share, count)
  end
  local held = {}
  for _, place in ipairs(sampling.places(count, n, { seed = o.split_seed, step = 0,
    stream = 0x53504c54 })) do -- "SPLT"
    held[place] = true
  end
  local function part(wanted)
    local some = { samples = {}, labels = set.labels, path = set.path, lines = {} }
    for i, sample in ipairs(set.samples) do
      if (held[i] or false) == wanted then
        table.insert(some.samples, sample)
        table.insert(some.lines, set.lines[i])
      end
    end
    return some
  end
  return part(false), part(true)
end

local SHOWN = { [SINGLE] = { "accuracy", "mcc", "f1", "f1_macro", "loss" },
  [SEVERAL] = { "f1_micro", "f1_macro", "accuracy", "loss" },
  [SCORES] = { "pearson", "spearman", "loss" } }

local function metrics_of(problem, labels)
  local list, fitting = {}, metrics.of_task(problem, labels and #labels)
  for _, name in ipairs(SHOWN[problem]) do
    if registry.contains(fitting, name) then
      list[#list + 1] = name
    end
  end
  return list
end

local function check_labels(labels, read, o)
  if #labels < (o.label_columns and 1 or 2) then
    errors.raise("%s: column %s has %s; a task needs two labels or more", read.path,
      read.columns[read.first], #labels == 1 and "only the label " .. labels[1] or "no label")
  end
end

local function check_options(o)
  if not o.train_file then
    errors.raise("--train-file is missing; give a file with texts and labels (%s)",
      tables.endings())
  elseif not o.restore_file then
    errors.raise("%s needs --restore-file, a pretrained model with its vocabulary", o.train_file)
  elseif o.label_columns and o.given.label_column then
    errors.raise("--label-column names one column, --label-columns several; give one of the two")
  elseif o.label_columns and #o.label_columns < 2 then
    errors.raise("--label-columns names %d column, expected two or more; --label-column names one",
      #o.label_columns)
  elseif o.validation_file and o.given.validation_share then
    errors.raise("--validation-share holds samples out where there is no --validation-file; give "
      .. "one of the two")
  elseif o.regression_target and o.problem_type and o.problem_type ~= SCORES then
    errors.raise("--regression-target contradicts --problem-type %s; give one of the two",
      o.problem_type)
  end
end

--- Reads the files and makes the task of them: a row for train.flags.spec.
-- @tparam table o options with the values of `flags`, restore_file, and given
-- @treturn table a row of fsam.data.tasks, whose corpus is built in
-- @raise one line that names the flag, or the file with its line and column
function M.row(o)
  check_options(o)
  local train = read_file(o.train_file, o)
  local problem = problem_of(o, train)
  local words = cells.words(train, o, problem == SEVERAL)
  local labels = problem ~= SCORES and (o.label_columns or sorted_labels(words)) or nil
  if labels then
    check_labels(labels, train, o)
  end
  local corpus = { name = o.train_file,
    train = dataset(train, targets(train, words, labels, problem), labels) }
  if o.validation_file then
    local dev = read_file(o.validation_file, o)
    corpus.dev = dataset(dev, targets(dev, cells.words(dev, o, problem == SEVERAL), labels,
      problem), labels)
  else
    corpus.train, corpus.dev = hold_out(corpus.train, o)
  end
  return tasks.check(o.train_file, {
    title = o.train_file, labels = labels, several = problem == SEVERAL or nil,
    scores = not labels and {} or nil, metrics = metrics_of(problem, labels),
    built_in = { name = o.train_file, generate = function()
      return corpus
    end },
  })
end

arguments.guard("fsam.data.own_files", M, {
  row = { arguments.arg("options", schema.record({ text_column = schema.string,
    label_column = schema.string, given = arguments.table })) },
  text = { arguments.arg("value", arguments.any), arguments.arg("place", schema.string),
    arguments.arg("column", schema.string) },
})

return M
