--- Winograd's schemas (Levesque et al. 2012, as GLUE recasts it) in GLUE's layout: does the
-- second sentence follow from the first, by whom its pronoun means?
local TEXTS = { "index", "sentence1", "sentence2" }
local LABELLED = { "index", "sentence1", "sentence2", "label" }

require("fsam.data.tasks").define("wnli", {
  title = "WNLI",
  data = "GLUE's WNLI folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = LABELLED },
    dev = { name = "dev.tsv", header = true, columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "WNLI.tsv", columns = TEXTS },
  },
  text = "sentence1", pair = "sentence2", label = "label",
  labels = { "not_entailment", "entailment" }, words = { "0", "1" },
  metrics = { "accuracy", "mcc", "loss" },
})
