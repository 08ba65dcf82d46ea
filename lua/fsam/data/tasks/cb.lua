--- CommitmentBank (de Marneffe et al. 2019) as SuperGLUE recasts it: does the hypothesis follow
-- from the premise, contradict it, or neither?
local TEXTS = { "idx", "premise", "hypothesis" }
local LABELLED = { "idx", "premise", "hypothesis", "label" }

require("fsam.data.tasks").define("cb", {
  title = "CB",
  data = "SuperGLUE's CB folder (train.jsonl, val.jsonl)",
  files = {
    train = { name = "train.jsonl", format = "jsonl", columns = LABELLED },
    dev = { name = "val.jsonl", format = "jsonl", columns = LABELLED },
    test = { name = "test.jsonl", format = "jsonl", columns = TEXTS, answers = "CB.jsonl" },
  },
  text = "premise", pair = "hypothesis", label = "label", index = "idx",
  labels = { "entailment", "contradiction", "neutral" },
  metrics = { "accuracy", "f1_macro", "loss" },
})
