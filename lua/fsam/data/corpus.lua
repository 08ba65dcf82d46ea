--- The Corpus of Linguistic Acceptability in GLUE's layout: a folder with train.tsv, dev.tsv and,
-- if one has it, test.tsv (Warstadt et al. 2019).
--
-- Owns which columns are read and what the labels are: by sorted name, "0" → 0, "1" → 1. train and
-- dev have four columns (source, label, mark, sentence) and no header; test has two (index,
-- sentence) under a header and no labels.

local errors = require("fsam.errors")
local lfs = require("lfs")
local tsv = require("fsam.data.tsv")

local M = {}

--- Names of the labels 0 and 1.
M.labels = { "unacceptable", "acceptable" }

local CLASS = { ["0"] = 0, ["1"] = 1 }

local function check_folder(folder)
  local mode = lfs.attributes(folder, "mode")
  if not mode then
    errors.raise("the data folder %s does not exist; expected a folder with train.tsv and dev.tsv",
      folder)
  elseif mode ~= "directory" then
    errors.raise("%s is a file; expected a folder with train.tsv and dev.tsv", folder)
  end
end

local function labelled(path)
  local samples = {}
  for i, row in ipairs(tsv.read(path, 4)) do
    local label = CLASS[row[2]]
    if not label then
      errors.raise("%s, line %d: got the label \"%s\", expected 0 or 1 (column 2; the file has no "
        .. "header)", path, row.line, row[2])
    end
    samples[i] = { text = row[4], label = label }
  end
  return samples
end

local function unlabelled(path)
  local samples = {}
  for i, row in ipairs(tsv.read(path, 2, true)) do
    samples[i] = { text = row[2] }
  end
  return samples
end

--- Reads one split.
-- @tparam string folder
-- @tparam string split "train", "dev" or "test"
-- @treturn table dataset { name, samples = { { text, label (nil in test) }, … }, labels }
-- @raise one line naming the file (and line) when it is missing, malformed or empty
function M.split(folder, split)
  check_folder(folder)
  local path = folder:gsub("(.)/+$", "%1") .. "/" .. split .. ".tsv"
  if not lfs.attributes(path, "mode") then
    errors.raise("%s does not exist; a CoLA folder has train.tsv and dev.tsv", path)
  end
  local samples = (split == "test" and unlabelled or labelled)(path)
  if #samples == 0 then
    errors.raise("%s has no samples", path)
  end
  return { name = "cola " .. split, samples = samples, labels = M.labels }
end

--- Reads a folder.
-- @tparam string folder
-- @treturn table { train = dataset, dev = dataset }; test is read with `split` by who needs it
-- @raise as `split`
function M.read(folder)
  return { train = M.split(folder, "train"), dev = M.split(folder, "dev") }
end

return M
