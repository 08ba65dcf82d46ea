--- Fine-tunes a language model on texts and labels of one's own: .csv, .tsv or .jsonl files whose
-- columns have names. docs/own-files.md says what labels may be.
--
--     fsam-lua recipes/classify.lua --train-file a.csv --validation-file b.csv --text-column text \
--       --label-column label --restore-file roberta.large/
--     fsam-lua recipes/classify.lua --help

local fsam = require("fsam")

fsam.train.recipe(arg, {
  name = "classify.lua",
  usage = "fsam-lua recipes/classify.lua --train-file FILE --restore-file MODEL [flags]",
  summary = "Fine-tunes a language model on texts and labels of one's own.",
  task = fsam.data.own_files, -- the files' flags; labels and metrics follow from what is in them
})
