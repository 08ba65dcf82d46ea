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
  data = "GLUE's CoLA folder (train.tsv, dev.tsv); none: a built-in corpus",
  metrics = { "mcc", "accuracy", "f1", "loss" },
  profiles = {
    {
      label = "without --restore-file",
      when = function(given) return not given.restore_file end,
      values = { arch = "tiny", lr = 7e-4, rho = 0.02, max_epoch = 8, dropout = 0,
        attention_dropout = 0 },
    },
  },
}))
local run = fsam.train.open(options)
if run.finished then
  print(run.finished)
  return
end

-- Data: samples of text and label.
local corpus = options.data and fsam.data.cola.read(options.data)
  or fsam.data.acceptability.generate()

-- Model: a checkpoint with its own vocabulary, or random weights over the corpus's.
local tokenizer = run.source and fsam.text.load(run.source_folder)
  or fsam.text.wordpiece({ vocab = corpus.vocab })
local settings = {
  device = run.device, precision = options.precision, labels = corpus.train.labels,
  seed = options.seed, head_init = options.head_init,
  freeze = options.freeze, no_decay = options.no_decay, dropout = options.dropout,
  attention_dropout = options.attention_dropout, pooler_dropout = options.pooler_dropout,
}
local model
if run.source then
  settings.path = run.source
  model = fsam.models.load(settings)
else
  settings.arch, settings.vocab_size = options.arch, tokenizer.vocab_size
  settings.pad_id = tokenizer.pad_id
  model = fsam.models.new(settings)
end
local task = fsam.task.new({
  name = options.data or "built-in acceptability", train = corpus.train, dev = corpus.dev,
  tokenizer = tokenizer, model = model, options = options,
})

-- Optimizer: a base, plain or wrapped by a sam-type; both are mathematics on model.params.
local pass = fsam.pass.new({
  model = model, loss = "cross_entropy", seed = options.seed, dropout_rng = options.dropout_rng,
})
local optimizer = fsam.step.build({
  params = model.params, pass = pass, options = options, seed = options.seed,
  optimizer = options.optimizer, base_optimizer = options.base_optimizer,
  sam_type = options.sam_type, sampler = task:sampler(),
})

-- Train: epochs, validation, checkpoints, reports.
local result = fsam.train.run({
  options = options, run = run, task = task, model = model, pass = pass, optimizer = optimizer,
})
os.exit(result.interrupted and 130 or 0)
