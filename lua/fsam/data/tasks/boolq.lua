--- BoolQ (Clark et al. 2019) in SuperGLUE's layout: does the passage answer the question with yes?
local superglue = require("fsam.data.superglue")

require("fsam.data.tasks").define("boolq", {
  title = "BoolQ",
  data = superglue.data("BoolQ"),
  files = superglue.files("BoolQ", { "idx", "question", "passage" }),
  text = "question", pair = "passage", label = "label", index = "idx",
  labels = { "false", "true" },
  metrics = { "accuracy", "f1", "loss" },
})
