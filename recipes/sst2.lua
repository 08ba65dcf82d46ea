--- Fine-tunes a language model on sentiment (SST-2).
--
--     fsam-lua recipes/sst2.lua SST-2/ --restore-file roberta.large/ --sam-type fisher-sam
--     fsam-lua recipes/sst2.lua --help

local fsam = require("fsam")

-- The learning rate and batch of Zhong et al. 2022 for RoBERTa-large; the warm-up of 6 % of all
-- updates, everyone's default, is theirs too.
fsam.train.recipe(arg, {
  name = "sst2.lua",
  usage = "fsam-lua recipes/sst2.lua DATA --restore-file MODEL [flags]",
  summary = "Fine-tunes a language model on sentiment (SST-2).",
  task = "sst2", -- its files, labels and metrics are a row of fsam.data.tasks
  profiles = { { label = "SST-2", when = function() return true end,
    values = { lr = 1e-5, batch_size = 64 } } },
})
