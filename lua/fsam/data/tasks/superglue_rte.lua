--- Recognising textual entailment (Dagan et al. 2006 and later rounds) in SuperGLUE's layout: does
-- the hypothesis follow from the premise? GLUE has the same pairs in tables (rte.lua).
local superglue = require("fsam.data.superglue")

require("fsam.data.tasks").define("superglue_rte", {
  title = "SuperGLUE's RTE",
  data = superglue.data("RTE"),
  files = superglue.files("RTE", { "idx", "premise", "hypothesis" }),
  text = "premise", pair = "hypothesis", label = "label", index = "idx",
  labels = { "entailment", "not_entailment" },
  metrics = { "accuracy", "mcc", "f1", "loss" },
})
