--- Winograd's schemas (Levesque et al. 2012) in SuperGLUE's layout: does the pronoun mean the noun?
--
-- As classification of one text, in which the noun stands between square brackets and the pronoun
-- between underscores, the marks of fairseq's WSC files. (fairseq itself ranks candidates by a
-- language model's scores, which is another kind of training.)
local schema = require("fsam.base.schema")
local spans = require("fsam.data.spans")
local superglue = require("fsam.data.superglue")

local whole = schema.integer(0)
local RECORD = schema.record({ text = schema.string, target = schema.record({
  span1_index = whole, span1_text = schema.string, span2_index = whole,
  span2_text = schema.string }) })

require("fsam.data.tasks").define("wsc", {
  title = "WSC",
  data = superglue.data("WSC"),
  files = superglue.files("WSC", { "idx", "text", "target" }),
  compose = function(record, place)
    schema.check(record, RECORD, place, "")
    local t, text = record.target, record.text
    local from1, to1 = spans.words(text, t.span1_index, t.span1_text, place)
    local from2, to2 = spans.words(text, t.span2_index, t.span2_text, place)
    return spans.mark(text, { { from1, to1, "[", "]" }, { from2, to2, "_", "_" } })
  end,
  label = "label", index = "idx",
  labels = { "false", "true" }, answers = { "False", "True" },
  metrics = { "accuracy", "f1", "loss" },
})
