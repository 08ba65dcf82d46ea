--- The Microsoft Research Paraphrase Corpus (Dolan and Brockett 2005) in GLUE's layout: do two
-- sentences say the same?
local LABELLED = { "Quality", "#1 ID", "#2 ID", "#1 String", "#2 String" }

require("fsam.data.tasks").define("mrpc", {
  title = "MRPC",
  data = "GLUE's MRPC folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = LABELLED },
    dev = { name = "dev.tsv", header = true, columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "MRPC.tsv",
      columns = { "index", "#1 ID", "#2 ID", "#1 String", "#2 String" } },
  },
  text = "#1 String", pair = "#2 String", label = "Quality",
  labels = { "not_equivalent", "equivalent" }, words = { "0", "1" },
  metrics = { "accuracy", "f1", "mcc", "loss" },
})
