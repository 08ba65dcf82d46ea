--- Fine-tunes a language model on similarity of sentences (STS-B).
--
--     fsam-lua recipes/stsb.lua STS-B/ --restore-file roberta.large/ --sam-type fisher-sam
--     fsam-lua recipes/stsb.lua --help

local fsam = require("fsam")

-- The learning rate and batch of Zhong et al. 2022 for RoBERTa-large; the warm-up of 6 % of all
-- updates, everyone's default, is theirs too.
fsam.train.recipe(arg, {
  name = "stsb.lua",
  usage = "fsam-lua recipes/stsb.lua DATA --restore-file MODEL [flags]",
  summary = "Fine-tunes a language model on similarity of sentences (STS-B).",
  task = "stsb", -- its files, labels and metrics are a row of fsam.data.tasks
  profiles = { { label = "STS-B", when = function() return true end,
    values = { lr = 2e-5, batch_size = 32 } } },
})
