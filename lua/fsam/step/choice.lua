--- The choices that come before all options: which optimizer, which base, which sam-type, which
-- seed. Owns their declarations, as fsam.options describes them; their defaults stand here and
-- nowhere else. Leaves to others: the names that may be chosen (the registers of fsam.optim and
-- fsam.sam).
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
