--- Flags that several schedules have, with fairseq's names and defaults, as declarations for
-- fsam.options. Owns: these. Leaves to others: what a schedule does with them (its file).
return {
  warmup_updates = { name = "warmup_updates", type = "integer", min = 0,
    help = "updates of warm-up; default: 6 % of --total-num-update" },
  warmup_init_lr = { name = "warmup_init_lr", type = "number", default = -1,
    help = "where the warm-up begins; below 0: 0, or --min-lr" },
  end_learning_rate = { name = "end_learning_rate", type = "number", default = 0, min = 0,
    help = "where the decay ends" },
  force_anneal = { name = "force_anneal", type = "integer", min = 1,
    help = "epoch from which the rate is lowered at each epoch's beginning" },
  lr_shrink = { name = "lr_shrink", type = "number", default = 0.1, above = 0,
    help = "factor by which the rate is lowered" },
  lr_period_updates = { name = "lr_period_updates", type = "number", above = 0,
    help = "updates of the first period" },
  min_lr = { name = "min_lr", type = "number", default = 0, min = 0, help = "lowest rate" },
}
