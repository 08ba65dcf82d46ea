--- Fine-tunes a language model on paraphrases (MRPC).
--
--     fsam-lua recipes/mrpc.lua MRPC/ --restore-file roberta.large/ --sam-type fisher-sam
--     fsam-lua recipes/mrpc.lua --help

local fsam = require("fsam")

-- The learning rate and batch of Zhong et al. 2022 for RoBERTa-large; the warm-up of 6 % of all
-- updates, everyone's default, is theirs too.
fsam.train.recipe(arg, {
  name = "mrpc.lua",
  usage = "fsam-lua recipes/mrpc.lua DATA --restore-file MODEL [flags]",
  summary = "Fine-tunes a language model on paraphrases (MRPC).",
  task = "mrpc", -- its files, labels and metrics are a row of fsam.data.tasks
  profiles = { { label = "MRPC", when = function() return true end,
    values = { lr = 1e-5, batch_size = 32 } } },
})
