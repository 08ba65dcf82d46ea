--- Quora's question pairs in GLUE's layout: do two questions ask the same? Some rows of the
-- published files are torn; they are no samples, as in fairseq's preparation of the task.
local LABELLED = { "id", "qid1", "qid2", "question1", "question2", "is_duplicate" }

require("fsam.data.tasks").define("qqp", {
  title = "QQP",
  data = "GLUE's QQP folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, ragged = true, columns = LABELLED },
    dev = { name = "dev.tsv", header = true, ragged = true, columns = LABELLED },
    test = { name = "test.tsv", header = true, answers = "QQP.tsv",
      columns = { "id", "question1", "question2" } },
  },
  text = "question1", pair = "question2", label = "is_duplicate",
  labels = { "not_duplicate", "duplicate" }, words = { "0", "1" },
  metrics = { "accuracy", "f1", "mcc", "loss" },
})
