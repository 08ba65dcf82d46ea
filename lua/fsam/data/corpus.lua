--- The samples of a task: read from its files, made by the task, or given by a recipe.
--
--     corpus.open(row, path)           from the folder, or without one what is built in
--     corpus.split(row, path, "test")  one split
--
-- A corpus is { name, train = dataset, dev = dataset, also, vocab }. also has further datasets to
-- judge by their names, or is nil. vocab is a list of word pieces in the order of their ids; a
-- corpus with one needs no pretrained model. A dataset is { samples, labels, path, lines }: labels
-- are the names of the classes, or nil; path is its file and lines the samples' places in it, or
-- nil. A sample is { text, pair, label, group, index }: pair is the second text or nil; label is
-- what its problem has (fsam.data.problems), a regression's number on the scale that is learned;
-- group is nil, or a kind of sample whose accuracy is reported by itself; index is nil, or its
-- number in a benchmark. A folder of fairseq's binarised data gives samples with ids in place of
-- text and pair, and a corpus with row and dictionary (binarised).
--
-- Owns: what the columns of a file mean, by the task's row (tasks.lua), and the messages about
-- wrong ones. Leaves to others: lines and columns (tsv.lua), binarised folders (binarised), tokens
-- and batches (task.lua).
local arguments = require("fsam.base.arguments")
local binarised = require("fsam.data.binarised")
local errors = require("fsam.errors")
local files = require("fsam.base.file")
local problems = require("fsam.data.problems")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local tables = require("fsam.data.tables")
local tasks = require("fsam.data.tasks")
local tsv = require("fsam.data.tsv")

local M = {}

local function check_folder(row, folder)
  if not row.files then
    errors.raise("%s makes its own data; leave %s out", row.title, folder)
  end
  local kind = files.kind(folder)
  local expected = ("expected a folder with %s and %s"):format(row.files.train.name,
    row.files.dev.name)
  if not kind then
    errors.raise("the data folder %s does not exist; %s", folder, expected)
  elseif kind ~= "directory" then
    errors.raise("%s is a file; %s", folder, expected)
  end
end

-- "a or b", "a, b or c".
local function either(words)
  return table.concat(words, ", ", 1, #words - 1) .. " or " .. words[#words]
end

-- How a task's labels are read: a function (text) → class, or nil for a text that is none; what a
-- label is called; and what was expected, in words.
local function class_reader(row)
  local words, class = row.words or row.labels, {}
  for i, word in ipairs(words) do
    class[word] = i - 1
  end
  return function(text)
    return class[text]
  end, "label", either(words)
end

-- The same for a regression, whose scores become numbers from 0 to 1 where they have a range.
local function score_reader(row)
  local min, max = row.scores.min, row.scores.max
  if not min then
    return function(text)
      local score = tonumber(text)
      return score and score - score == 0 and score or nil
    end, "score", "a number"
  end
  return function(text)
    local score = tonumber(text)
    return score and score >= min and score <= max and (score - min) / (max - min) or nil
  end, "score", ("a number from %g to %g"):format(min, max)
end

-- The columns of a file without which it has no samples: those that the task reads.
local function needed_columns(row, file)
  if row.compose then
    return file.columns
  end
  local list = {}
  for _, name in ipairs({ row.text, row.pair or row.text, row.label, row.index }) do
    list[#list + 1] = registry.contains(file.columns, name) and name or nil
  end
  return list
end

-- The rows of a file, each with the values of file.columns and its line.
local function rows_of(row, file, path)
  if file.format then
    return tables.read(path, file.columns, file.format)
  end
  return tsv.read(path, #file.columns, file.header and file.columns, file.ragged,
    needed_columns(row, file))
end

-- How the texts of a row of values are found: a function (values, place) → text, second text.
local function text_reader(row, file)
  if row.compose then
    return function(values, place)
      local record = {}
      for i, name in ipairs(file.columns) do
        record[name] = values[i]
      end
      return row.compose(record, place)
    end
  end
  local text, pair = tasks.place(file, row.text), row.pair and tasks.place(file, row.pair)
  return function(values, place)
    if file.format then -- whose values need not be texts
      schema.check(values[text], schema.string, place, row.text)
      schema.check(pair and values[pair] or "", schema.string, place, row.pair)
    end
    return values[text], pair and values[pair]
  end
end

-- The samples of a file, one for each of its rows, and the numbers of their lines.
local function samples_of(row, file, path)
  local label, texts = tasks.place(file, row.label), text_reader(row, file)
  local index = row.index and tasks.place(file, row.index)
  local read, noun, expected = (row.labels and class_reader or score_reader)(row)
  local samples, lines = {}, {}
  for i, fields in ipairs(rows_of(row, file, path)) do
    local place = ("%s, line %d"):format(path, fields.line)
    local text, pair = texts(fields, place)
    local sample = { text = text, pair = pair, index = index and fields[index] }
    if label then
      local word = tostring(fields[label])
      sample.label = read(word)
      if not sample.label then
        errors.raise("%s: got the %s \"%s\", expected %s (column %d%s)", place, noun, word,
          expected, label, (file.header or file.format) and "" or "; the file has no header")
      end
    end
    samples[i], lines[i] = sample, fields.line
  end
  return samples, lines
end

--- Reads one file of a task.
-- @tparam table row of tasks.lua
-- @tparam string path
-- @tparam string split which of the row's files it is like: "train", "dev", "test"
-- @treturn table dataset
-- @raise one line naming the file (and line) when it is missing, malformed or empty
function M.file(row, path, split)
  local file = row.files and row.files[split]
  if not file then
    errors.raise("%s has no %s samples", row.title, split)
  end
  local samples, lines = samples_of(row, file, path)
  if #samples == 0 then
    errors.raise("%s has no samples", path)
  end
  return { samples = samples, labels = row.labels, path = path, lines = lines }
end

--- Reads one split of a folder.
-- @tparam table row of tasks.lua
-- @tparam string folder of the task's own files, or of fairseq's binarised ones
-- @tparam string split one of the row's files: "train", "dev", "test"
-- @treturn table dataset; samples of a split without the label's column have no label
-- @raise one line naming the file (and line) when it is missing, malformed or empty
function M.split(row, folder, split)
  if binarised.recognises(folder) then
    return binarised.split(row, folder, split)
  end
  check_folder(row, folder)
  local file = row.files[split]
  if not file then
    errors.raise("%s has no %s samples", row.title, split)
  end
  local path = files.bare(folder) .. "/" .. file.name
  if not files.kind(path) then
    errors.raise("%s does not exist; a %s folder has %s and %s", path, row.title,
      row.files.train.name, row.files.dev.name)
  end
  return M.file(row, path, split)
end

local function check_label(row, split, i, label)
  local expected = problems.of_task(row).fault(label, row.labels and #row.labels)
  if expected then
    errors.raise("%s, sample %d of %s: got the label %s, expected %s%s", row.title, i, split,
      type(label) == "table" and "{ " .. table.concat(label, ", ") .. " }" or tostring(label),
      expected, row.labels and (" (%s)"):format(table.concat(row.labels, ", ")) or "")
  end
end

--- Checks samples that come from no file: made by the task, or given by a recipe.
-- @tparam table row of tasks.lua
-- @tparam table corpus name, train, dev
-- @treturn table the corpus
-- @raise one line that names split and sample
function M.check(row, corpus)
  for _, split in ipairs({ "train", "dev" }) do
    local dataset = corpus[split]
    if type(dataset) ~= "table" or type(dataset.samples) ~= "table" or #dataset.samples == 0 then
      errors.raise("%s: the corpus has no %s samples; it is { name = …, train = { samples = … }, "
        .. "dev = { samples = … } }", row.title, split)
    end
    for i, sample in ipairs(dataset.samples) do
      if type(sample.text) ~= "string" then
        errors.raise("%s, sample %d of %s has no text", row.title, i, split)
      end
      check_label(row, split, i, sample.label)
    end
  end
  if type(corpus.name) ~= "string" then
    errors.raise("%s: the corpus has no name, which reports show", row.title)
  end
  return corpus
end

-- The further splits to judge whose files are there.
local function also_there(row, folder)
  local also = {}
  for _, split in ipairs(row.also or {}) do
    if files.kind(files.bare(folder) .. "/" .. row.files[split].name) then
      also[split] = M.split(row, folder, split)
    end
  end
  return next(also) and also or nil
end

--- The corpus of a folder; without a folder, the task's built-in one.
-- @tparam table row of tasks.lua
-- @tparam ?string path a folder
-- @treturn table corpus
-- @raise as `split` and `check`; one line when there is neither a folder nor a built-in corpus
function M.open(row, path)
  if path and binarised.recognises(path) then
    return binarised.open(row, path)
  elseif path then
    return { name = path, train = M.split(row, path, "train"), dev = M.split(row, path, "dev"),
      also = also_there(row, path) }
  elseif not row.built_in then
    errors.raise("%s needs its data: give %s", row.title, row.data)
  end
  local corpus = row.built_in.generate()
  corpus.name = corpus.name or row.built_in.name
  return M.check(row, corpus)
end

local ROW, PATH = arguments.arg("row", arguments.object("a row, of fsam.data.tasks.get",
  { title = "string", metrics = "table" })), arguments.arg("path", schema.path)
arguments.guard("fsam.data.corpus", M, {
  open = { ROW, arguments.arg("path", arguments.optional(schema.path)) },
  split = { ROW, PATH, arguments.arg("split", schema.string) },
  file = { ROW, PATH, arguments.arg("split", schema.string) },
  check = { ROW, arguments.arg("corpus", arguments.table) },
})

return M
