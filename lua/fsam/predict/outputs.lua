--- Answers as files: tab-separated, JSON lines, or what GLUE's server takes.
--
-- Owns: these formats. Leaves to others: the answers (init.lua), the words of a task's classes and
-- the range of its scores (its row, data/tasks.lua).
--
-- tsv    a header; the label, the text or texts, and the probability of each label. A regression:
--        the score and the texts
-- jsonl  an object a line: label and probabilities by name, or score; logits
-- glue   index and prediction: the file's own words for the classes; scores on the file's scale
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")
local tasks = require("fsam.data.tasks")

local M = { FORMATS = { "tsv", "jsonl", "glue" } }

-- A text as a field: tabs and line breaks, which end a field, become spaces.
local function field(text)
  return (text:gsub("[\t\r\n]", " "))
end

local function tsv(samples, answers)
  local labels, pairs_there = answers[1].labels, false
  for _, sample in ipairs(samples) do
    pairs_there = pairs_there or sample.pair ~= nil
  end
  local head = { labels and "label" or "score", "text", pairs_there and "text_pair" or nil }
  for _, label in ipairs(labels or {}) do
    head[#head + 1] = field(label)
  end
  local lines = { table.concat(head, "\t") }
  for i, answer in ipairs(answers) do
    local cells = { labels and field(answer.label) or ("%.6g"):format(answer.score),
      field(samples[i].text) }
    if pairs_there then
      cells[#cells + 1] = field(samples[i].pair or "")
    end
    for _, p in ipairs(answer.probabilities or {}) do
      cells[#cells + 1] = ("%.6f"):format(p)
    end
    lines[#lines + 1] = table.concat(cells, "\t")
  end
  return lines
end

local ORDER = { order = { "text", "text_pair", "label", "score", "probabilities", "logits" } }

local function jsonl(samples, answers)
  local lines = {}
  for i, answer in ipairs(answers) do
    local probabilities = answer.labels and {} or nil
    for c, label in ipairs(answer.labels or {}) do
      probabilities[label] = answer.probabilities[c]
    end
    lines[i] = json.encode({ text = samples[i].text, text_pair = samples[i].pair,
      label = answer.label, score = answer.score, probabilities = probabilities,
      logits = json.array(answer.logits) }, ORDER)
  end
  return lines
end

-- The file's word for each class of the model, by the classes' names. Names that say nothing
-- (LABEL_0, LABEL_1, …) stand for the task's classes in their order.
local function words_of(row, labels)
  local place, nameless = {}, true
  for c, label in ipairs(row.labels) do
    place[label] = c
  end
  for c, label in ipairs(labels) do
    nameless = nameless and label == "LABEL_" .. c - 1
  end
  local words = {}
  for c, label in ipairs(labels) do
    words[c] = (row.words or row.labels)[nameless and c or place[label]]
    if not words[c] or #labels ~= #row.labels then
      errors.raise("the model's labels are %s, those of %s are %s; it was not trained for this "
        .. "task", table.concat(labels, ", "), row.title, table.concat(row.labels, ", "))
    end
  end
  return words
end

local function glue(_, answers, o)
  local row = tasks.get(o.task)
  if (row.labels == nil) ~= (answers[1].labels == nil) then
    errors.raise("the model %s, %s %s", answers[1].labels and "has classes" or "gives a number",
      row.title, row.labels and "has classes" or "wants a number")
  end
  local words = row.labels and words_of(row, answers[1].labels)
  local lines = { "index\tprediction" }
  for i, answer in ipairs(answers) do
    local cell
    if words then
      cell = words[answer.class]
    else
      local s = row.scores
      cell = ("%.3f"):format(s.min + math.max(0, math.min(1, answer.score)) * (s.max - s.min))
    end
    lines[i + 1] = ("%d\t%s"):format(i - 1, cell)
  end
  return lines
end

local WRITERS = { tsv = tsv, jsonl = jsonl, glue = glue }

--- The text of a file of answers.
-- @tparam table o format ("tsv", "jsonl" or "glue"), and task for "glue"
-- @tparam {table,…} samples { text, pair }
-- @tparam {table,…} answers of predict.run, one for each sample
-- @treturn string lines, each with its end
-- @raise one line when the model's classes are not the task's
function M.text(o, samples, answers)
  return table.concat(WRITERS[o.format](samples, answers, o), "\n") .. "\n"
end

--- Writes the answers into a file and says so, or onto the screen.
-- @tparam table o as for `text`, and out, the file; nil: the screen
-- @tparam {table,…} samples
-- @tparam {table,…} answers
-- @raise as `text`; one line with the path when the file cannot be written
function M.write(o, samples, answers)
  local text = M.text(o, samples, answers)
  if o.out then
    file.write(o.out, text)
    print(("%d answers in %s"):format(#answers, o.out))
  else
    io.write(text)
  end
end

local LIST = schema.list(arguments.table, 1)
local GIVEN = { arguments.arg("options", schema.record({ format = schema.one_of(M.FORMATS),
  task = arguments.optional(schema.string), out = arguments.optional(schema.string) })),
  arguments.arg("samples", LIST), arguments.arg("answers", LIST) }
arguments.guard("fsam.predict.outputs", M, { text = { unpack(GIVEN) }, write = { unpack(GIVEN) } })

return M
