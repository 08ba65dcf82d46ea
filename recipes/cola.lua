--- Fine-tunes a language model to judge whether English sentences are acceptable (CoLA, Warstadt et
-- al. 2019), with a sharpness-aware optimizer.
--
--     fsam-lua recipes/cola.lua                                  built-in corpus, small model
--     fsam-lua recipes/cola.lua CoLA/ --restore-file roberta.large/ --rho 0.05
--     fsam-lua recipes/cola.lua --help

local fsam = require("fsam")

-- Options: checked before anything is loaded. Defaults are those of fine-tuning a large pretrained
-- model; the built-in corpus and a small model from random weights have their own.
local options = fsam.options.parse(arg, fsam.train.flags.spec({
  name = "cola.lua",
  usage = "fsam-lua recipes/cola.lua [DATA] [flags]",
  summary = "Fine-tunes a language model on linguistic acceptability.",
  task = "cola", -- its files, labels and metrics are a row of fsam.data.tasks
  profiles = {
    {
      label = "without --restore-file",
      when = function(given) return not given.restore_file end,
      values = { arch = "tiny", lr = 7e-4, max_epoch = 8, dropout = 0, attention_dropout = 0,
        rho = { times = 0.4, asam = 0.1 } }, -- of each sam-type's own radius
    },
  },
}))

-- Parts: the run folder, the corpus (DATA, or the built-in one), tokenizer and model (a checkpoint
-- with its vocabulary, or random weights), the task's batches, the pass, and the optimizer, plain
-- or wrapped by a sam-type. One of your own: fsam.train.setup(options, { corpus = mine }).
local parts, finished = fsam.train.setup(options)
if not parts then
  print(finished)
  return
end

-- Train: epochs, validation, checkpoints, reports.
local result = fsam.train.run(parts)
os.exit(result.interrupted and 130 or 0)
