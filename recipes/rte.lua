--- Fine-tunes a language model on textual entailment (RTE).
--
--     fsam-lua recipes/rte.lua RTE/ --restore-file roberta.large/ --sam-type fisher-sam
--     fsam-lua recipes/rte.lua --help

local fsam = require("fsam")

-- The learning rate and batch of Zhong et al. 2022 for RoBERTa-large; the warm-up of 6 % of all
-- updates, everyone's default, is theirs too.
fsam.train.recipe(arg, {
  name = "rte.lua",
  usage = "fsam-lua recipes/rte.lua DATA --restore-file MODEL [flags]",
  summary = "Fine-tunes a language model on textual entailment (RTE).",
  task = "rte", -- its files, labels and metrics are a row of fsam.data.tasks
  profiles = { { label = "RTE", when = function() return true end,
    values = { lr = 2e-5, batch_size = 32 } } },
})
