--- Makes fairseq's binarised folder of a task's files. The training recipes take either.
--
--     fsam-lua recipes/preprocess.lua cola GLUE/CoLA CoLA-bin --dict roberta/dict.txt
--     fsam-lua recipes/preprocess.lua stsb GLUE/STS-B STS-B-bin --dict dict.txt \
--       --tokenizer gpt2_bpe

local fsam = require("fsam")

local tasks = fsam.data.tasks
local options = fsam.options.parse(arg, {
  name = "preprocess.lua", alone = true,
  usage = "fsam-lua recipes/preprocess.lua TASK FOLDER OUT --dict FILE [flags]",
  summary = "Makes fairseq's binarised folder of a task's files.",
  positional = {
    { name = "task", metavar = "TASK", help = "one of " .. table.concat(tasks.names(), ", ") },
    { name = "folder", metavar = "FOLDER", help = "the task's files as GLUE has them" },
    { name = "out", metavar = "OUT", help = "the new folder; another binarised one is replaced" },
  },
  flags = {
    { name = "dict", type = "string", metavar = "FILE", help = "the model's dict.txt" },
    { name = "tokenizer", type = "string", metavar = "FOLDER", help = "encoder.json and vocab.bpe, "
      .. "or a Hugging Face folder with the same ids; default: the folder of --dict" },
  },
  check = function(o)
    if not (o.task and o.folder and o.out and o.dict) then
      fsam.errors.raise("TASK, FOLDER, OUT and --dict FILE are needed (--help says more)")
    end
    tasks.get(o.task)
  end,
})

-- The pieces of texts: the merges of --tokenizer, with the ids of --dict.
local folder = options.tokenizer or options.dict:match("^(.*)/[^/]*$") or "."
local vocabulary = fsam.formats.vocabulary(folder)
local found = vocabulary.files
found.dictionary = options.dict
local tokenizer = fsam.text.load({ vocabulary = vocabulary })

-- What a .pt's tokenizer needs goes along: it is found in DATA.
local splits = fsam.data.preprocess.run({
  row = tasks.get(options.task), folder = options.folder, out = options.out,
  dictionary = fsam.data.dictionary.read(options.dict), tokenizer = tokenizer,
  copies = { found.encoder, found.encoder_merges },
})
for _, split in ipairs(splits) do
  print(("%-7s %d samples"):format(split.prefix, #split.samples))
end
print("wrote " .. options.out)
