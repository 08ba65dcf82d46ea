--- Multi-genre natural language inference (Williams et al. 2018) in GLUE's layout: does the second
-- sentence follow from the first, contradict it, or neither? Training is judged on the matched
-- development set; the mismatched one, of genres that training has not, is the split "mismatched".
-- "diagnostic" is GLUE's set of constructed pairs (AX), which a model of this task answers.
local TEXTS = { "index", "promptID", "pairID", "genre", "sentence1_binary_parse",
  "sentence2_binary_parse", "sentence1_parse", "sentence2_parse", "sentence1", "sentence2" }

-- The columns of the texts, and those that follow them.
local function columns(...)
  local list = { unpack(TEXTS) }
  for _, name in ipairs({ ... }) do
    list[#list + 1] = name
  end
  return list
end

local JUDGED = columns("label1", "label2", "label3", "label4", "label5", "gold_label")

require("fsam.data.tasks").define("mnli", {
  title = "MNLI",
  data = "GLUE's MNLI folder (train.tsv, dev_matched.tsv)",
  files = {
    train = { name = "train.tsv", header = true, columns = columns("label1", "gold_label") },
    dev = { name = "dev_matched.tsv", header = true, columns = JUDGED },
    mismatched = { name = "dev_mismatched.tsv", header = true, columns = JUDGED,
      binarised = "valid1" },
    test = { name = "test_matched.tsv", header = true, answers = "MNLI-m.tsv", columns = TEXTS },
    test_mismatched = { name = "test_mismatched.tsv", header = true, answers = "MNLI-mm.tsv",
      columns = TEXTS, binarised = "test1" },
    diagnostic = { name = "diagnostic.tsv", header = true, answers = "AX.tsv",
      columns = { "index", "sentence1", "sentence2" } },
  },
  text = "sentence1", pair = "sentence2", label = "gold_label",
  labels = { "entailment", "neutral", "contradiction" },
  metrics = { "accuracy", "mcc", "loss" },
  also = { "mismatched" },
})
