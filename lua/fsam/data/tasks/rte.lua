--- Recognising textual entailment (Dagan et al. 2006 and later rounds) in GLUE's layout: does the
-- second sentence follow from the first?
local TEXTS = { "index", "sentence1", "sentence2" }
local LABELLED = { "index", "sentence1", "sentence2", "label" }

require("fsam.data.tasks").define("rte", {
  title = "RTE",
  data = "GLUE's RTE folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = LABELLED },
    dev = { name = "dev.tsv", header = true, columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "RTE.tsv", columns = TEXTS },
  },
  text = "sentence1", pair = "sentence2", label = "label",
  labels = { "entailment", "not_entailment" },
  metrics = { "accuracy", "mcc", "f1", "loss" },
})
