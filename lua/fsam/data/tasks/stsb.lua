--- The Semantic Textual Similarity benchmark (Cer et al. 2017) in GLUE's layout: how alike are two
-- sentences, from 0 to 5?
local TEXTS = { "index", "genre", "filename", "year", "old_index", "source1", "source2",
  "sentence1", "sentence2" }
local SCORED = { unpack(TEXTS) }
SCORED[#SCORED + 1] = "score"

require("fsam.data.tasks").define("stsb", {
  title = "STS-B",
  data = "GLUE's STS-B folder (train.tsv, dev.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = SCORED },
    dev = { name = "dev.tsv", header = true, columns = SCORED },
    test = { name = "test.tsv", header = true, answers = "STS-B.tsv", columns = TEXTS },
  },
  text = "sentence1", pair = "sentence2", label = "score",
  scores = { min = 0, max = 5 },
  metrics = { "pearson", "spearman", "loss" },
})
