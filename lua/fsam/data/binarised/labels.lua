--- The labels of a binarised folder: classes in the order of its label/dict.txt, or scores.
--
-- Owns: which class a label's id is, what the classes are called, and label/SPLIT.label of a
-- regression. Leaves to others: the words of a task's classes (its row, data/tasks.lua), reading
-- the two files of ids (items.lua).
--
-- fairseq numbers the classes by how often training has them, so that class 0 of CoLA is "1". A run
-- on such data keeps that order under the task's own names.
local arguments = require("fsam.base.arguments")
local dictionaries = require("fsam.data.dictionary")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local items = require("fsam.data.binarised.items")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

local SPECIAL, EOS = #dictionaries.FIRST, 2

-- What fills a dictionary up to a multiple of 8.
local function is_filler(dictionary, i)
  return dictionary.counts[i] == 0 and dictionary.symbols[i]:find("^madeupword%d%d%d%d$") ~= nil
end

-- The task's words in the order of the dictionary. One that training never has comes last.
local function ordered(dictionary, words)
  local order, rest = {}, {}
  for i = SPECIAL + 1, #dictionary.symbols do
    local symbol = dictionary.symbols[i]
    if registry.contains(words, symbol) then
      order[#order + 1] = symbol
    elseif not is_filler(dictionary, i) then
      errors.raise("%s has the label %s, expected %s", dictionary.path, schema.show(symbol),
        table.concat(words, " or "))
    end
  end
  for _, word in ipairs(words) do
    if not registry.contains(order, word) then
      rest[#rest + 1] = word
    end
  end
  return order, rest
end

--- The row of a task as a folder has it: its labels in the folder's order.
-- @tparam table row of fsam.data.tasks
-- @tparam string folder
-- @treturn table a copy of the row with labels and words in that order, and positive, the class
--   (from 0) that is the row's own class 1; the row itself for a regression
-- @raise one line that names the dictionary, when it has another label or cannot be read
function M.row(row, folder)
  if not row.labels then
    return row
  end
  local own, path = row.words or row.labels, folder .. "/label/dict.txt"
  if not file.kind(path) then
    errors.raise("%s does not exist; it has the labels of %s: %s", path, row.title,
      table.concat(own, ", "))
  end
  local words, rest = ordered(dictionaries.read(path), own)
  local copy, names = {}, {}
  for key, value in pairs(row) do
    copy[key] = value
  end
  copy.in_training = #words
  for _, word in ipairs(rest) do
    words[#words + 1] = word
  end
  for c, word in ipairs(words) do
    for k, other in ipairs(own) do
      if other == word then
        names[c], copy.positive = row.labels[k], k == 2 and c - 1 or copy.positive
      end
    end
  end
  copy.labels, copy.words = names, words
  return copy
end

-- The classes of label/PREFIX: an item is a label's id and the end of its line.
local function classes(row, folder, prefix)
  local path = folder .. "/label/" .. prefix
  local set, list, line = items.open(path), {}, {}
  set:check(2 ^ 32, "label/dict.txt")
  for i = 1, set.count do
    line[1], line[2] = nil, nil
    local length = set:length(i)
    if length == 1 or length == 2 then
      set:copy(line, 1, i)
    end
    local class = line[1] and line[1] - SPECIAL
    if not class or length == 2 and line[2] ~= EOS or class < 0 or class >= row.in_training then
      errors.raise("%s.bin, item %d: it is no label of %s/label/dict.txt (%s)", path, i, folder,
        table.concat(row.words, ", ", 1, row.in_training))
    end
    list[i] = class
  end
  return list
end

-- The scores of label/PREFIX.label, a line each: from 0 to 1 where the task's have a range.
local function scores(row, folder, prefix)
  local path = ("%s/label/%s.label"):format(folder, prefix)
  local min, max = 0, 1
  if not row.scores.min then
    min, max = -1.7e308, 1.7e308
  end
  local list = {}
  for line in (file.read(path):gsub("([^\n])$", "%1\n")):gmatch("([^\n]*)\n") do
    local score = tonumber(line:match("^%s*([%d.eE+-]+)%s*$"))
    if not (score and score >= min and score <= max) then
      errors.raise("%s, line %d: got the score %s, expected a number%s", path, #list + 1,
        schema.show(line), max == 1 and " from 0 to 1 (fairseq's preparation divides STS-B's by 5)"
        or "")
    end
    list[#list + 1] = score
  end
  return list
end

--- The labels of a split: classes from 0, or scores from 0 to 1.
-- @tparam table row of `row`
-- @tparam string folder
-- @tparam string prefix the split's files: "train", "valid", …
-- @treturn ?{number,…} nil where the folder has no labels for the split
-- @raise one line that names file and line, or file and item
function M.read(row, folder, prefix)
  local path = ("%s/label/%s%s"):format(folder, prefix, row.labels and ".idx" or ".label")
  if not file.kind(path) then
    return nil
  end
  return row.labels and classes(row, folder, prefix) or scores(row, folder, prefix)
end

local ROW, FOLDER = arguments.arg("row", arguments.table), arguments.arg("folder", schema.path)
arguments.guard("fsam.data.binarised.labels", M, { row = { ROW, FOLDER },
  read = { ROW, FOLDER, arguments.arg("prefix", schema.string) } })

return M
