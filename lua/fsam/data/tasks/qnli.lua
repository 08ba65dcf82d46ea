--- Question-answering inference (Rajpurkar et al. 2016, as GLUE recasts it) in GLUE's
-- layout: does the sentence hold the answer to the question?
local TEXTS = { "index", "question", "sentence" }
local LABELLED = { "index", "question", "sentence", "label" }

require("fsam.data.tasks").define("qnli", {
  title = "QNLI",
  data = "GLUE's QNLI folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = LABELLED },
    dev = { name = "dev.tsv", header = true, columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "QNLI.tsv", columns = TEXTS },
  },
  text = "question", pair = "sentence", label = "label",
  labels = { "entailment", "not_entailment" },
  metrics = { "accuracy", "mcc", "f1", "loss" },
})
