--- Makes a binarised folder from a task's files, byte for byte as fairseq's preparation of GLUE
-- does.
--
--     preprocess.run({ row = tasks.get("cola"), folder = "CoLA", out = "CoLA-bin",
--       dictionary = dictionary, tokenizer = tokenizer })
--
-- Owns: which files there are, and what stands in them: texts without space at their ends, ids with
-- </s>, the dictionary of the labels, STS-B's scores, preprocess.log. Leaves to others: the task's
-- files (data/corpus.lua), the form of the new ones (binarised/writer.lua), pieces of a
-- text (fsam.text).
--
-- A folder is made beside its place and moved there when it is whole.
local arguments = require("fsam.base.arguments")
local binarised = require("fsam.data.binarised")
local corpus = require("fsam.data.corpus")
local dictionaries = require("fsam.data.dictionary")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local fit = require("fsam.data.fit")
local schema = require("fsam.base.schema")
local writer = require("fsam.data.binarised.writer")

local M = {}

local EOS = 2
local MULTIPLE = 8 -- a dictionary that is made has so many symbols, or twice, …

-- -- texts ---------------------------------------------------------------------------------------

-- What Python's str.strip removes, beyond ASCII.
local SPACE = {}
for _, code in ipairs({ "\194\133", "\194\160", "\225\154\128", "\226\128\168", "\226\128\169",
  "\226\128\175", "\226\129\159", "\227\128\128" }) do
  SPACE[code] = true
end
for last = 0x80, 0x8A do
  SPACE["\226\128" .. string.char(last)] = true
end

--- A text without the white space at its ends, as Python's str.strip leaves it.
-- @tparam string text UTF-8
-- @treturn string
function M.strip(text)
  local first, last = 1, #text
  while first <= last do
    local length = text:find("^[\9-\13\28-\32]", first) and 1
      or SPACE[text:sub(first, first + 1)] and 2 or SPACE[text:sub(first, first + 2)] and 3
    if not length then
      break
    end
    first = first + length
  end
  while last >= first do
    local length = text:sub(last, last):find("[\9-\13\28-\32]") and 1
      or SPACE[text:sub(last - 1, last)] and 2 or SPACE[text:sub(last - 2, last)] and 3
    if not length then
      break
    end
    last = last - length
  end
  return text:sub(first, last)
end

-- -- one folder of a kind: input0, input1, label -------------------------------------------------

-- A folder that is being filled: its path, its dictionary and the lines of its preprocess.log.
local function new_part(t, name, dictionary)
  local part = { path = t.new .. "/" .. name, dictionary = dictionary, log = {},
    shown = t.out .. "/" .. name }
  file.make_folder(part.path)
  file.write(part.path .. "/dict.txt", dictionary:text())
  part.log[1] = ("Namespace(destdir='%s', only_source=True, srcdict=%s, dataset_impl='mmap')")
    :format(part.shown, dictionary.path and ("'%s'"):format(dictionary.path) or "None")
  return part
end

-- Python's "{:.3}" of a percentage: three digits, a whole number with its ".0".
local function percent(share)
  local text = ("%.3g"):format(100 * share)
  return text:find("[.e]") and text or text .. ".0"
end

-- Writes a split: `ids(sample)` gives the ids of a sample, without the end.
local function write_split(part, name, samples, ids)
  local size = #part.dictionary.symbols
  local set, numbers, unknown = writer.open(part.path .. "/" .. name, size), 0, 0
  for _, sample in ipairs(samples) do
    local list = ids(sample)
    for _, id in ipairs(list) do
      unknown = unknown + (id == 3 and 1 or 0)
    end
    list[#list + 1] = EOS
    numbers = numbers + #list
    set:add(list)
  end
  set:close()
  table.insert(part.log, ("[None] Dictionary: %d types"):format(size))
  table.insert(part.log, ("[None] %s: %d sents, %d tokens, %s%% replaced by <unk>"):format(
    part.shown .. "/" .. name, #samples, numbers, percent(unknown / numbers)))
end

local function close_part(part)
  table.insert(part.log, "Wrote preprocessed data to " .. part.shown)
  file.write(part.path .. "/preprocess.log", table.concat(part.log, "\n") .. "\n")
end

-- -- the three kinds -----------------------------------------------------------------------------

-- input0 and input1: the pieces of each text.
local function write_texts(t, splits)
  for k, field in ipairs({ "text", splits[1].samples[1].pair and "pair" or nil }) do
    local part = new_part(t, "input" .. k - 1, t.dictionary)
    for _, split in ipairs(splits) do
      write_split(part, split.prefix, split.samples, function(sample)
        return t.tokenizer:plain(M.strip(sample[field]))
      end)
    end
    close_part(part)
  end
end

-- The labels' words, the most frequent first; equally frequent ones by their bytes.
local function label_dictionary(words, samples)
  local counts, order = {}, {}
  for _, sample in ipairs(samples) do
    local word = words[sample.label + 1]
    if not counts[word] then
      counts[word], order[#order + 1] = 0, word
    end
    counts[word] = counts[word] + 1
  end
  table.sort(order, function(a, b)
    if counts[a] ~= counts[b] then
      return counts[a] > counts[b]
    end
    return a < b
  end)
  local dictionary = dictionaries.new()
  for _, word in ipairs(order) do
    dictionary:add(word, counts[word])
  end
  for i = 0, -#dictionary.symbols % MULTIPLE - 1 do
    dictionary:add(("madeupword%04d"):format(i), 0)
  end
  return dictionary
end

-- label: the id of each label.
local function write_labels(t, splits)
  local words = t.row.words or t.row.labels
  local part = new_part(t, "label", label_dictionary(words, splits[1].samples))
  for _, split in ipairs(splits) do
    if split.samples[1].label then
      write_split(part, split.prefix, split.samples, function(sample)
        return { part.dictionary.ids[words[sample.label + 1]] or 3 }
      end)
    end
  end
  close_part(part)
end

-- label: the scores from 0 to 1 as awk prints them, a line each.
local function write_scores(t, splits)
  file.make_folder(t.new .. "/label")
  for _, split in ipairs(splits) do
    if split.samples[1].label then
      local lines = {}
      for i, sample in ipairs(split.samples) do
        lines[i] = ("%.6g\n"):format(sample.label)
      end
      file.write(("%s/label/%s.label"):format(t.new, split.prefix), table.concat(lines))
    end
  end
end

-- -- the whole -----------------------------------------------------------------------------------

-- The splits that fairseq has and the folder has a file for, training first.
local function read_splits(t)
  local names, splits = {}, {}
  for name in pairs(t.row.files) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    local first = (a == "train" and 1 or 0) - (b == "train" and 1 or 0)
    return first > 0 or first == 0 and a < b
  end)
  for _, name in ipairs(names) do
    local prefix = binarised.prefix(t.row, name)
    local needed = name == "train" or name == "dev"
    if prefix and (needed or file.kind(t.folder .. "/" .. t.row.files[name].name)) then
      splits[#splits + 1] = { name = name, prefix = prefix,
        samples = corpus.split(t.row, t.folder, name).samples }
    end
  end
  return splits
end

-- Only a binarised folder or an empty one is replaced.
local function check_place(out)
  if file.kind(out) and not binarised.recognises(out)
      and not (file.kind(out) == "directory" and #file.entries(out) == 0) then
    errors.raise("%s exists and is no folder of binarised data; give another place", out)
  end
end

local function move(from, to)
  if file.kind(to) then
    if not file.exchange(from, to) then
      file.remove(to)
      file.rename(from, to)
    end
    file.remove(from)
  else
    file.rename(from, to)
  end
end

--- Makes a folder.
-- @tparam table t row (fsam.data.tasks); folder, of the task's files; out, the new folder, which
--   replaces another binarised one; dictionary (fsam.data.dictionary) and tokenizer (fsam.text),
--   whose ids are equal; copies (default: none), paths of files that are copied into the folder
-- @treturn {table,…} the splits: name, prefix, samples; in that order they were written
-- @raise one line about a file that is missing or malformed, ids that differ, a full disk; the
--   place is as it was then
function M.run(t)
  local row = t.row
  if not row.files then
    errors.raise("%s has no files to prepare", row.title)
  elseif binarised.recognises(t.folder) then
    errors.raise("%s is binarised already", t.folder)
  end
  local out = file.bare(t.out)
  check_place(out)
  fit.check_dictionary(t.dictionary, t.tokenizer, "the tokenizer")
  local work = { row = row, folder = file.bare(t.folder), out = out, new = out .. ".new",
    dictionary = t.dictionary, tokenizer = t.tokenizer }
  local splits = read_splits(work)
  file.remove(work.new)
  file.make_folder(work.new)
  local ok, err = pcall(function()
    write_texts(work, splits)
    local labelled = row.labels and write_labels or write_scores
    labelled(work, splits)
    for _, path in ipairs(t.copies or {}) do
      file.write(work.new .. "/" .. path:match("[^/]*$"), file.read(path))
    end
  end)
  if not ok then
    file.remove(work.new)
    error(err, 0)
  end
  move(work.new, out)
  return splits
end

arguments.guard("fsam.data.preprocess", M, {
  strip = { arguments.arg("text", schema.string) },
  run = { arguments.fields({
    row = arguments.object("a row, of fsam.data.tasks.get", { title = "string" }),
    folder = schema.path, out = schema.path,
    dictionary = arguments.object("a dictionary, of fsam.data.dictionary.read",
      { symbols = "table", ids = "table" }),
    tokenizer = arguments.object("a tokenizer, of fsam.text", { plain = "function" }),
    copies = arguments.optional(schema.list(schema.string)),
  }) },
})

return M
