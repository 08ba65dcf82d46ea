--- Words in Context (Pilehvar and Camacho-Collados 2019) in SuperGLUE's layout: does a word mean
-- the same in two sentences?
--
-- As classification of a pair: both sentences, the word in each between square brackets. (Others
-- read the word's own vectors out of the model, or put the word before the sentences.)
local schema = require("fsam.base.schema")
local spans = require("fsam.data.spans")
local superglue = require("fsam.data.superglue")

local MARKS = { "[", "]" }

local whole = schema.integer(0)
local RECORD = schema.record({ sentence1 = schema.string, sentence2 = schema.string,
  start1 = whole, end1 = whole, start2 = whole, end2 = whole })

require("fsam.data.tasks").define("wic", {
  title = "WiC",
  data = superglue.data("WiC"),
  files = superglue.files("WiC", { "idx", "sentence1", "sentence2", "start1", "end1", "start2",
    "end2" }),
  compose = function(record, place)
    schema.check(record, RECORD, place, "")
    return spans.characters(record.sentence1, record.start1, record.end1, MARKS, place),
      spans.characters(record.sentence2, record.start2, record.end2, MARKS, place)
  end,
  label = "label", index = "idx",
  labels = { "false", "true" },
  metrics = { "accuracy", "f1", "loss" },
})
