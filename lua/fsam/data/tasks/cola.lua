--- The Corpus of Linguistic Acceptability (Warstadt et al. 2019) in GLUE's layout. Without a folder
-- it is a corpus of our own, with as many samples.
local LABELLED = { "source", "label", "mark", "sentence" }

require("fsam.data.tasks").define("cola", {
  title = "CoLA",
  data = "GLUE's CoLA folder (train.tsv, dev.tsv); none: a built-in corpus",
  files = {
    train = { name = "train.tsv", columns = LABELLED },
    dev = { name = "dev.tsv", columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "CoLA.tsv",
      columns = { "index", "sentence" } },
  },
  text = "sentence", label = "label",
  labels = { "unacceptable", "acceptable" }, words = { "0", "1" },
  metrics = { "mcc", "accuracy", "f1", "loss" },
  built_in = {
    name = "built-in acceptability",
    generate = function()
      return require("fsam.data.acceptability").generate()
    end,
  },
})
