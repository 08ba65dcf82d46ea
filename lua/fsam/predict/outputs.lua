--- Answers as files: tab-separated, JSON lines, or what a benchmark's server takes.
--
-- Owns: these formats. Leaves to others: the answers (init.lua), the words of a task's classes and
-- the range of its scores (its row, data/tasks.lua).
--
-- tsv        a header; the label, the text or texts, and the probability of each label. Of several
--            labels those of a probability over one half, with commas. A regression: the score and
--            the texts
-- jsonl      an object a line: label (or labels, a list) and probabilities by name, or score;
--            logits
-- glue       index and prediction: the file's own words for the classes; scores on its scale
-- superglue  an object a line: idx, as in the file, and label, the server's word
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")
local tasks = require("fsam.data.tasks")

local M = { FORMATS = { "tsv", "jsonl", "glue", "superglue" } }

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
    local said = answer.label or answer.chosen and table.concat(answer.chosen, ",")
    local cells = { labels and field(said) or ("%.6g"):format(answer.score),
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

local ORDER = { order = { "text", "text_pair", "label", "labels", "score", "probabilities",
  "logits" } }

local function jsonl(samples, answers)
  local lines = {}
  for i, answer in ipairs(answers) do
    local probabilities = answer.labels and {} or nil
    for c, label in ipairs(answer.labels or {}) do
      probabilities[label] = answer.probabilities[c]
    end
    lines[i] = json.encode({ text = samples[i].text, text_pair = samples[i].pair,
      label = answer.label, labels = answer.chosen and json.array(answer.chosen),
      score = answer.score, probabilities = probabilities,
      logits = json.array(answer.logits) }, ORDER)
  end
  return lines
end

-- The server's word for each class of the model, by the classes' names. Names that say nothing
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
    words[c] = (row.answers or row.words or row.labels)[nameless and c or place[label]]
    if not words[c] or #labels ~= #row.labels then
      errors.raise("the model's labels are %s, those of %s are %s; it was not trained for this "
        .. "task", table.concat(labels, ", "), row.title, table.concat(row.labels, ", "))
    end
  end
  return words
end

-- Refuses a model of another problem than the task's.
local function check_problem(row, answer)
  if answer.chosen then
    errors.raise("the model has several labels for a text, %s %s", row.title,
      row.labels and "has one" or "wants a number")
  elseif (row.labels == nil) ~= (answer.labels == nil) then
    errors.raise("the model %s, %s %s", answer.labels and "has classes" or "gives a number",
      row.title, row.labels and "has classes" or "wants a number")
  end
end

local function superglue(samples, answers, o)
  local row = tasks.get(o.task)
  check_problem(row, answers[1])
  local words, lines = words_of(row, answers[1].labels), {}
  for i, answer in ipairs(answers) do
    lines[i] = json.encode({ idx = samples[i].index or i - 1, label = words[answer.class] },
      { order = { "idx", "label" } })
  end
  return lines
end

local function glue(_, answers, o)
  local row = tasks.get(o.task)
  check_problem(row, answers[1])
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

local WRITERS = { tsv = tsv, jsonl = jsonl, glue = glue, superglue = superglue }

--- The text of a file of answers.
-- @tparam table o format (one of FORMATS), and task for those of a server
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
