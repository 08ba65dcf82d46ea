--- Tasks: a register with a row for each.
--
--     tasks.define("pets", {                         -- does the second sentence follow?
--       data = "a folder with train.tsv and dev.tsv",
--       files = {
--         train = { name = "train.tsv", header = true, columns = { "first", "second", "answer" } },
--         dev   = { name = "dev.tsv", header = true, columns = { "first", "second", "answer" } },
--       },
--       text = "first", pair = "second", label = "answer",
--       labels = { "no", "yes" },
--       metrics = { "accuracy", "mcc", "loss" },
--     })
--
-- Owns: the register, and checking rows. Leaves to others: the built-in rows (tasks/NAME.lua), and
-- reading the samples that a row describes (corpus.lua).
--
--   data      help text of the recipe's positional DATA
--   files     by split: train and dev, and further ones (test). Each has a name in the folder, the
--             names of its columns from left to right, header = true where its first line is these
--             names (a file may have them in another order, and lack those that nothing here
--             reads), and ragged = true where rows with another number of columns are no samples;
--             or format, a name of data/tables.lua, whose columns are found by name.
--             Where a benchmark's server wants predictions for a split, answers is the name of
--             that file. binarised is what fairseq calls the split, where that is not train, valid
--             (dev) or test. train and dev have the label's column; the samples of another split
--             without it have no labels
--   text, pair, label   the columns of the text, of the second text (nil: there is none), and of
--             the label
--   compose   in place of text and pair: function (record, place) → text, second text or nil.
--             record has the columns' values by name, place is for messages
--   index     the column with the samples' numbers, where the server wants these back
--   also      further splits that a validation judges, where their files are there
--   labels    names of the classes; their order gives the numbers, from 0
--   several   true: a text may have any of the labels, or none
--   words     the files' words for the classes, in the same order, where they are not these names
--   answers   the words that a benchmark's server takes, where they are not the files' words
--   scores    in place of labels, for a regression: { min =, max = }, the range in the files. The
--             model learns scores on the scale from 0 to 1; without min and max as they are
--   metrics   those of a validation, in the order shown; the first is the default of
--             --best-checkpoint-metric
--   built_in  the corpus without DATA: { name =, generate = function() return corpus end }
--   title     the task's name in messages; default: the name it is defined by

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local metrics = require("fsam.data.metrics")
local problems = require("fsam.data.problems")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

-- Those with a file of their own in data/tasks: the nine of GLUE (Wang et al. 2019), and five of
-- SuperGLUE (Wang et al. 2019).
local rows = registry.new("fsam.data.tasks.", { "boolq", "cb", "cola", "mnli", "mrpc", "qnli",
  "qqp", "rte", "sst2", "stsb", "superglue_rte", "wic", "wnli", "wsc" })

local FIELDS = { "title", "data", "files", "text", "pair", "label", "compose", "index", "also",
  "labels", "several", "words", "answers", "scores", "metrics", "built_in" }

-- -- what a row must have -------------------------------------------------------------------------

local function refuse(name, format, ...)
  errors.raise("%s", ("the task %s: "):format(name) .. format:format(...))
end

local function is_list(value)
  if type(value) ~= "table" or #value == 0 then
    return false
  end
  for _, item in ipairs(value) do
    if type(item) ~= "string" then
      return false
    end
  end
  return true
end

--- The place of a column in a file.
-- @tparam table file of a row's files
-- @tparam string column its name
-- @treturn ?integer from 1
function M.place(file, column)
  for i, name in ipairs(file.columns) do
    if name == column then
      return i
    end
  end
end

-- A split's file has a name and columns; the texts' columns are among these.
local function check_file(name, row, split, file)
  if type(file) ~= "table" or type(file.name) ~= "string" or not is_list(file.columns) then
    refuse(name, "files.%s needs a name and columns, a list of the columns' names", split)
  end
  for _, role in ipairs({ "text", "pair", "label" }) do
    local needed = role ~= "label" or split == "train" or split == "dev"
    if row[role] and needed and not M.place(file, row[role]) then
      refuse(name, "%s has no column %s, which is its %s (%s)", file.name, row[role], role,
        table.concat(file.columns, ", "))
    end
  end
end

local function check_files(name, row)
  if type(row.files) ~= "table" or not (row.files.train and row.files.dev) then
    refuse(name, "files needs at least train and dev")
  elseif not ((row.text or row.compose) and row.label) then
    refuse(name, "text and label name the columns of its files that hold these")
  elseif type(row.data) ~= "string" then
    refuse(name, "data, the help text of DATA, is missing")
  end
  for split, file in pairs(row.files) do
    check_file(name, row, split, file)
  end
end

-- A row has classes or scores, one of the two.
local function check_problem(name, row)
  if (row.labels ~= nil) == (row.scores ~= nil) then
    refuse(name, "it needs labels (names of the classes) or scores ({ min =, max = }), one of them")
  elseif row.scores then
    local s = row.scores
    local plain = type(s) == "table" and s.min == nil and s.max == nil
    if not plain and (type(s) ~= "table"
        or not (tonumber(s.min) and tonumber(s.max) and s.min < s.max)) then
      refuse(name, "scores needs min and max, two numbers with min below max, or neither")
    end
  elseif not is_list(row.labels) or #row.labels < 2 then
    refuse(name, "labels is a list of two names or more")
  end
  for _, field in ipairs({ "words", "answers" }) do
    if row[field] and not (is_list(row[field]) and #row[field] == #(row.labels or {})) then
      refuse(name, "%s needs one word for each of the %d labels", field, #(row.labels or {}))
    end
  end
end

local function check_metrics(name, row)
  if not is_list(row.metrics) then
    refuse(name, "metrics is a list of at least one name")
  end
  local fitting = metrics.of_task(problems.of_task(row).name, row.labels and #row.labels)
  for _, metric in ipairs(row.metrics) do
    if not registry.contains(fitting, metric) then
      errors.unknown(("the task %s: the metric"):format(name), metric, fitting)
    end
  end
end

-- -- rows -----------------------------------------------------------------------------------------

--- Checks a row without adding it.
-- @tparam string name
-- @tparam table row see the head of this file; its title is filled in
-- @treturn table the same row
-- @raise one line that names the task and what is wrong with its row
function M.check(name, row)
  if type(name) ~= "string" or type(row) ~= "table" then
    errors.raise("tasks.define needs a name and a table, got %s and %s", type(name), type(row))
  end
  for field in pairs(row) do
    if not registry.contains(FIELDS, field) then
      errors.unknown(("the task %s: the field"):format(name), field, FIELDS)
    end
  end
  if row.files then
    check_files(name, row)
  elseif type(row.built_in) ~= "table" or type(row.built_in.name) ~= "string"
      or type(row.built_in.generate) ~= "function" then
    refuse(name, "it needs files, or built_in with a name and a function generate")
  end
  check_problem(name, row)
  check_metrics(name, row)
  row.title = row.title or name
  return row
end

--- Adds a task.
-- @tparam string name one that is not taken
-- @tparam table row see the head of this file; its title is filled in
-- @treturn table the same row
-- @raise as `check`
function M.define(name, row)
  rows:define(name, M.check(name, row), ("tasks.define(%q)"):format(name))
  return row
end

--- The row of a name.
-- @tparam string name
-- @treturn table
-- @raise one line with the nearest name and the list
function M.get(name)
  return rows:get(name) or errors.unknown("the task", name, M.names())
end

--- The names, sorted.
-- @treturn {string,…}
function M.names()
  return rows:names()
end

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.data.tasks", M, {
  define = { NAME, arguments.arg("row", arguments.table) },
  check = { NAME, arguments.arg("row", arguments.table) }, get = { NAME }, names = {},
  place = { arguments.arg("file", schema.record({ columns = schema.list(schema.string) })),
    arguments.arg("column", schema.string) },
})

return M
