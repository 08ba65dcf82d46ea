--- BoolQ (Clark et al. 2019) in SuperGLUE's layout: does the passage answer the question with yes?
local TEXTS = { "idx", "question", "passage" }
local LABELLED = { "idx", "question", "passage", "label" }

require("fsam.data.tasks").define("boolq", {
  title = "BoolQ",
  data = "SuperGLUE's BoolQ folder (train.jsonl, val.jsonl)",
  files = {
    train = { name = "train.jsonl", format = "jsonl", columns = LABELLED },
    dev = { name = "val.jsonl", format = "jsonl", columns = LABELLED },
    test = { name = "test.jsonl", format = "jsonl", columns = TEXTS, answers = "BoolQ.jsonl" },
  },
  text = "question", pair = "passage", label = "label", index = "idx",
  labels = { "false", "true" },
  metrics = { "accuracy", "f1", "loss" },
})
