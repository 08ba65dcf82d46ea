--- Fine-tunes a language model on a task of GLUE or SuperGLUE (Wang et al. 2018, 2019), by its
-- name.
--
--     fsam-lua recipes/glue.lua qnli QNLI/ --restore-file roberta.large/
--     fsam-lua recipes/glue.lua mnli --help

local fsam = require("fsam")

local tasks = fsam.data.tasks
local name = table.remove(arg, 1)
if not name or name:sub(1, 1) == "-" then
  print("usage: fsam-lua recipes/glue.lua TASK DATA --restore-file MODEL [flags]\n"
    .. "TASK is one of " .. table.concat(tasks.names(), ", ")
    .. "; its flags: fsam-lua recipes/glue.lua TASK --help")
  os.exit(name == "--help" and 0 or 1)
end

fsam.train.recipe(arg, {
  name = ("glue-%s.lua"):format(name), -- its runs are runs/glue-TASK-1, …
  usage = ("fsam-lua recipes/glue.lua %s DATA --restore-file MODEL [flags]"):format(name),
  summary = ("Fine-tunes a language model on %s."):format(tasks.get(name).title),
  task = name, -- its files, labels and metrics are a row of fsam.data.tasks
})
