--- CommitmentBank (de Marneffe et al. 2019) as SuperGLUE recasts it: does the hypothesis follow
-- from the premise, contradict it, or neither?
local superglue = require("fsam.data.superglue")

require("fsam.data.tasks").define("cb", {
  title = "CB",
  data = superglue.data("CB"),
  files = superglue.files("CB", { "idx", "premise", "hypothesis" }),
  text = "premise", pair = "hypothesis", label = "label", index = "idx",
  labels = { "entailment", "contradiction", "neutral" },
  metrics = { "accuracy", "f1_macro", "loss" },
})
