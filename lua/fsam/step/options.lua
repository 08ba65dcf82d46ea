--- The options of a step, whatever its sam-type and base optimizer. Owns their declarations. Leaves
-- to others: reading them from a command line (fsam.options), what they do (the step's files).
--
-- Declarations are as fsam.options describes them; only = "sam": read only where a sam-type wraps
-- the base optimizer. Types, base optimizers and mask policies declare their own options in their
-- definitions, step/compat.lua those that imitate the released code.
return {
  { name = "weight_decay", type = "number", default = 0.01, min = 0, alias = { "wd" },
    group = "Optimizer", help = "weight decay" },
  { name = "layer_decay", type = "number", default = 1, above = 0, max = 1, metavar = "X",
    group = "Optimizer",
    help = "each layer's learning rate, as a multiple of the next one's; the head has --lr" },
  { name = "clip_norm", type = "number", default = 0, min = 0, group = "Optimizer",
    help = "longest update direction; 0: only measure" },
  { name = "rounding", type = "choice", choices = { "nearest", "stochastic" }, default = "nearest",
    group = "Model", help = "of the bf16 weights that passes read: to nearest, or up or down at "
      .. "random so that small perturbations act on average" },
  { name = "ascent_fraction", type = "number", default = 1, above = 0, max = 1, metavar = "SHARE",
    only = "sam", group = "Sharpness (--optimizer sam)",
    help = "share of an update's samples that the first pass sees" },
  { name = "m_sharpness", type = "integer", default = 1, min = 1, metavar = "K",
    only = "sam", group = "Sharpness (--optimizer sam)",
    help = "groups of an update's samples, each perturbed by its own gradient" },
  { name = "rank_sharpness", type = "choice", choices = { "local", "global" }, default = "global",
    only = "sam", group = "Sharpness (--optimizer sam)",
    help = "of several processes: is a perturbation made from the gradient of all of them, or does "
      .. "each perturb its own samples by its own, and sum once instead of twice" },
  { name = "ascent_decay", type = "flag", only = "sam", group = "Sharpness (--optimizer sam)",
    help = "the perturbation follows the gradient with weight decay, g + weight_decay w" },
}
