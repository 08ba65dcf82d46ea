--- The Stanford Sentiment Treebank's sentences, positive or negative (Socher et al. 2013), in
-- GLUE's layout. Sentences end in a space, as the files have them.
local LABELLED = { "sentence", "label" }

require("fsam.data.tasks").define("sst2", {
  title = "SST-2",
  data = "GLUE's SST-2 folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = LABELLED },
    dev = { name = "dev.tsv", header = true, columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "SST-2.tsv",
      columns = { "index", "sentence" } },
  },
  text = "sentence", label = "label",
  labels = { "negative", "positive" }, words = { "0", "1" },
  metrics = { "accuracy", "mcc", "f1", "loss" },
})
