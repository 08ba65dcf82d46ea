--- fairseq's binarised data: a folder with the ids of a task's texts, as fairseq-preprocess writes
-- it.
--
--     TASK-bin/input0/    dict.txt, train.idx, train.bin, valid.…, test.…
--     TASK-bin/input1/    the same of the second text, where the task has pairs
--     TASK-bin/label/     dict.txt, train.idx, train.bin, valid.…; STS-B: train.label, valid.label
--
-- Owns: which of these files a split is, and joining texts to samples as fairseq does. Leaves to
-- others: the files (items.lua, labels.lua, data/dictionary.lua), whether ids are a model's
-- (data/fit.lua), writing such a folder (data/preprocess.lua).
--
-- A sample has ids in place of texts. They are read from the mapped file when they are asked for,
-- so that a large set costs a short table a sample.
local arguments = require("fsam.base.arguments")
local dictionaries = require("fsam.data.dictionary")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local items = require("fsam.data.binarised.items")
local labels = require("fsam.data.binarised.labels")
local new_table = require("table.new")
local schema = require("fsam.base.schema")

local M = {}

local BOS, EOS = 0, 2

-- fairseq's names of the splits of most tasks; a row's file may say another (`binarised`).
local PREFIXES = { train = "train", dev = "valid", test = "test" }

--- Is this such a folder? Then its input0 has an index.
-- @tparam string path
-- @treturn boolean
function M.recognises(path)
  local texts = file.bare(path) .. "/input0"
  for _, name in ipairs(file.kind(texts) == "directory" and file.entries(texts) or {}) do
    if name:find("%.idx$") then
      return true
    end
  end
  return false
end

--- What a split's files are called.
-- @tparam table row of fsam.data.tasks
-- @tparam string split "train", "dev", "test", …
-- @treturn ?string nil where fairseq has no such split
function M.prefix(row, split)
  local said = row.files and row.files[split]
  return said and said.binarised or PREFIXES[split]
end

-- -- one split -----------------------------------------------------------------------------------

-- The ids of a sample: <s> A </s>, or <s> A </s> </s> B </s>; the files have each text's </s>.
local function ids_of(split, i)
  local first, second = split[1], split[2]
  local length = first:length(i)
  local ids = new_table(length + (second and second:length(i) or 0) + 2, 0)
  ids[1] = BOS
  first:copy(ids, 2, i)
  if second then
    ids[length + 2] = EOS
    second:copy(ids, length + 3, i)
  end
  return ids
end

-- Samples that read their ids when asked. `place` is the number of a sample's items, from 1.
local function lazy_samples(split, classes)
  local Sample = { __index = function(sample, key)
    if key == "ids" then
      return ids_of(split, rawget(sample, "place"))
    end
  end }
  local samples = {}
  for i = 1, split[1].count do
    samples[i] = setmetatable({ place = i, label = classes and classes[i] }, Sample)
  end
  return samples
end

-- The files of a split's texts: { first, second or nil }. Both are checked against the dictionary,
-- which both share; fairseq's task adds <mask> behind its last symbol.
local function open_texts(row, folder, prefix, dictionary)
  local split = {}
  for k, name in ipairs({ "input0", row.pair and "input1" or nil }) do
    local path = ("%s/%s/%s"):format(folder, name, prefix)
    if not file.kind(path .. ".idx") then
      errors.raise("%s.idx does not exist; %s needs it", path, row.title)
    end
    split[k] = items.open(path)
    split[k]:check(#dictionary.symbols + 1, dictionary.path)
  end
  if split[1].count == 0 then
    errors.raise("%s/input0/%s.idx has no samples", folder, prefix)
  end
  return split
end

local function check_count(folder, prefix, name, count, expected)
  if count ~= expected then
    errors.raise("%s/input0/%s has %d items, %s/%s has %d", folder, prefix, expected, name, prefix,
      count)
  end
end

-- The dictionary of the texts. Both inputs have the same one.
local function dictionary_of(row, folder)
  local dictionary = dictionaries.read(folder .. "/input0/dict.txt")
  local other = folder .. "/input1/dict.txt"
  if row.pair and file.kind(other) and dictionaries.read(other):text() ~= dictionary:text() then
    errors.raise("%s and %s differ; both inputs have one dictionary", dictionary.path, other)
  elseif not row.pair and file.kind(folder .. "/input1") then
    errors.raise("%s has two texts a sample (input1), %s has one", folder, row.title)
  end
  return dictionary
end

local function read_split(row, folder, split, dictionary)
  local prefix = M.prefix(row, split)
  if not prefix then
    errors.raise("%s has no %s samples in fairseq's form", row.title, split)
  end
  local texts = open_texts(row, folder, prefix, dictionary)
  local classes = labels.read(row, folder, prefix)
  if texts[2] then
    check_count(folder, prefix, "input1", texts[2].count, texts[1].count)
  end
  if classes then
    check_count(folder, prefix, "label", #classes, texts[1].count)
  elseif split == "train" or split == "dev" then
    errors.raise("%s/label/%s%s does not exist; it has the labels of %s", folder, prefix,
      row.labels and ".idx" or ".label", row.title)
  end
  return { samples = lazy_samples(texts, classes), labels = row.labels,
    path = ("%s/input0/%s"):format(folder, prefix) }
end

--- Reads one split of a folder.
-- @tparam table row of fsam.data.tasks
-- @tparam string folder
-- @tparam string split "train", "dev", "test", …
-- @treturn table dataset (data/corpus.lua), its samples with ids in place of texts; labels are in
--   the folder's order; samples of a split without labels have none
-- @raise one line that names the file that is missing, broken, or does not fit the others
function M.split(row, folder, split)
  folder = file.bare(folder)
  return read_split(labels.row(row, folder), folder, split, dictionary_of(row, folder))
end

--- Reads training and development set, and the further sets that the row judges (`also`) where the
-- folder has them.
-- @tparam table row of fsam.data.tasks
-- @tparam string folder
-- @treturn table corpus (data/corpus.lua), with row, the task's with its labels in the folder's
--   order, and dictionary (data/dictionary.lua), whose ids the samples have
-- @raise as `split`
function M.open(row, folder)
  local path = file.bare(folder)
  local own, dictionary = labels.row(row, path), dictionary_of(row, path)
  local also
  for _, split in ipairs(row.also or {}) do
    local prefix = M.prefix(row, split)
    if prefix and file.kind(("%s/input0/%s.idx"):format(path, prefix)) then
      also = also or {}
      also[split] = read_split(own, path, split, dictionary)
    end
  end
  return { name = folder, row = own, dictionary = dictionary, also = also,
    train = read_split(own, path, "train", dictionary),
    dev = read_split(own, path, "dev", dictionary) }
end

local ROW = arguments.arg("row", arguments.object("a row, of fsam.data.tasks.get",
  { title = "string" }))
local FOLDER, SPLIT = arguments.arg("folder", schema.path), arguments.arg("split", schema.string)
arguments.guard("fsam.data.binarised", M, {
  recognises = { arguments.arg("path", schema.path) }, prefix = { ROW, SPLIT },
  split = { ROW, FOLDER, SPLIT }, open = { ROW, FOLDER },
})

return M
