--- What fsam.step.build is asked for beside the options: which optimizer, which base, which
-- sam-type, which seed. Owns their declarations, as fsam.options describes them, and so the one
-- place that says what a command or script gets that names none. The names that may be chosen are
-- those of the registers (fsam.optim, fsam.sam).
return {
  { name = "optimizer", type = "string", default = "sam", same = { samsgd = "sam" },
    group = "Optimizer", help = "sam wraps --base-optimizer; the others are plain" },
  { name = "base_optimizer", type = "string", default = "adam", metavar = "NAME",
    group = "Optimizer", help = "what --optimizer sam wraps" },
  { name = "sam_type", type = "string", default = "fisher-sam", group = "Optimizer",
    help = "kind of sharpness-aware step" },
  { name = "seed", type = "integer", default = 1, min = 0, max = 4294967295, group = "Batches",
    help = "of order, dropout, new weights, masks" },
}
