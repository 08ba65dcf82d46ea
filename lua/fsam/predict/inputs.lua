--- Texts to predict for, from a file, a task's folder or standard input.
--
-- Owns: what a line of such a file means. Leaves to others: the columns of tasks (data/corpus.lua),
-- which columns of one's own file are the texts (columns.lua), predicting (init.lua).
local arguments = require("fsam.base.arguments")
local binarised = require("fsam.data.binarised")
local columns = require("fsam.predict.columns")
local corpus = require("fsam.data.corpus")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local own_files = require("fsam.data.own_files")
local schema = require("fsam.base.schema")
local tables = require("fsam.data.tables")
local tasks = require("fsam.data.tasks")
local text_file = require("fsam.data.text_file")

local M = {}

local MOST = 2 ^ 30 -- bytes of a file, or of standard input

local OBJECT = schema.record({ text = schema.string, text_pair = schema.optional(schema.string) })

local function json_sample(line, place)
  local object = schema.check(json.decode(line, place), OBJECT, place, "")
  local pair = object.text_pair
  return { text = object.text, pair = pair ~= json.null and pair or nil }
end

local function plain_sample(line, place)
  local text, pair = line:match("^([^\t]*)\t([^\t]*)$")
  if not text and line:find("\t", 1, true) then
    errors.raise("%s: got more than one tab, expected a text, or two texts with a tab between",
      place)
  end
  return { text = text or line, pair = pair }
end

--- The samples of lines of text.
-- @tparam string content
-- @tparam string name the file, for messages
-- @tparam boolean objects is each line a JSON object? Else it is a text, or two with a tab between
-- @treturn {table,…} { text, pair or nil, line }
-- @raise one line that names file and line
function M.lines(content, name, objects)
  local samples = {}
  for line, number in text_file.lines((content:gsub("^\239\187\191", ""))) do
    if line:find("%S") then
      local sample = (objects and json_sample or plain_sample)(line,
        ("%s, line %d"):format(name, number))
      sample.line = number
      samples[#samples + 1] = sample
    end
  end
  if #samples == 0 then
    errors.raise("%s has no texts", name)
  end
  return samples
end

-- Lines of texts, as many in each as the model was trained on, where that is known: to another
-- number it would answer as well, and its answers mean nothing.
local function fitting_lines(o, content, name, objects)
  local samples, wanted = M.lines(content, name, objects), columns.texts(o.model)
  for _, sample in ipairs(wanted and samples or {}) do
    if (sample.pair and 2 or 1) ~= wanted then
      errors.raise(wanted == 1 and "%s, line %d: has two texts (a tab, or text_pair), but the run "
        .. "of %s was trained on one" or "%s, line %d: has one text, but the run of %s was "
        .. "trained on two; write a tab between them", name, sample.line, o.model)
    end
  end
  return samples
end

-- The samples of a file with named columns.
local function named(path, column, pair_column)
  local samples = {}
  for i, row in ipairs(tables.read(path, { column, pair_column })) do
    local place = ("%s, line %d"):format(path, row.line)
    samples[i] = { text = own_files.text(row[1], place, column), line = row.line,
      pair = pair_column and own_files.text(row[2], place, pair_column) }
  end
  return samples
end

-- The samples of a file that belongs to no task. A comma-separated file always has named columns.
local function of_file(o)
  local format = tables.format_of(o.file)
  local column, pair_column
  if format then
    column, pair_column = columns.of(o)
  end
  if column or format and o.file:lower():find("%.csv$") then
    return named(o.file, column or "text", pair_column)
  end
  return fitting_lines(o, text_file.read(o.file), o.file, o.file:find("%.jsonl?$") ~= nil)
end

--- The samples that the options ask for.
-- @tparam table o model, task, split, file, text_column, text_pair_column (predict/flags.lua)
-- @treturn {table,…} { text, pair or nil }
-- @raise one line that names what is missing or malformed
function M.read(o)
  local row = o.task and tasks.get(o.task)
  if row and binarised.recognises(o.file) then
    errors.raise("%s has ids and no texts; give the folder that it was made from", o.file)
  elseif row and file.kind(o.file) == "directory" then
    return corpus.split(row, o.file, o.split).samples
  elseif row then
    return corpus.file(row, o.file, o.split).samples
  elseif not o.file then
    return fitting_lines(o, file.standard_input(MOST), "standard input", false)
  end
  return of_file(o)
end

arguments.guard("fsam.predict.inputs", M, {
  lines = { arguments.arg("content", schema.string), arguments.arg("name", schema.string),
    arguments.arg("objects", arguments.optional(schema.boolean)) },
  read = { arguments.arg("options", schema.record({ task = arguments.optional(schema.string),
    split = arguments.optional(schema.string), file = arguments.optional(schema.string),
    model = arguments.optional(schema.string) })) },
})

return M
