--- Predicts labels or scores of texts with a trained model, and writes GLUE's files of answers.
--
--     fsam-lua recipes/predict.lua runs/cola-1/checkpoint_best texts.txt
--     echo "The cat sat." | fsam-lua recipes/predict.lua runs/cola-1/checkpoint_best --format jsonl
--     fsam-lua recipes/predict.lua runs/rte-1/checkpoint_best GLUE/RTE --task rte --out RTE.tsv

local fsam = require("fsam")
local predict = fsam.predict

local options = fsam.options.parse(arg, predict.flags.spec({
  name = "predict.lua",
  usage = "fsam-lua recipes/predict.lua RUN [FILE] [flags]",
  summary = "Predicts labels or scores of texts.",
}))

fsam.device.threads(options.threads)
local samples = predict.inputs.read(options)
local model = fsam.load(options.model, { device = options.device, precision = options.precision,
  tokenizer = options.tokenizer, untrained = "refuse" })
local answers = predict.run(model, samples, options.batch_size)
predict.outputs.write(options, samples, answers)
