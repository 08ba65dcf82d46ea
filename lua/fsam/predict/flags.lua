--- The flags of a recipe that predicts, and the checks that need no model. Owns: both. Leaves to
-- others: reading texts (inputs.lua), writing answers (outputs.lua).

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local outputs = require("fsam.predict.outputs")
local precious = require("fsam.formats.precious")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local tasks = require("fsam.data.tasks")

local M = {}

local FLAGS = {
  { name = "task", type = "choice", choices = tasks.names(), group = "Texts",
    help = "FILE is of this task of GLUE or SuperGLUE, or its folder" },
  { name = "split", type = "string", default = "test", group = "Texts", metavar = "NAME",
    help = "of the task: test, dev, train or another of its own" },
  { name = "text_column", type = "string", group = "Texts", metavar = "NAME",
    help = "column of the texts in a .csv, .tsv or .jsonl FILE; default: the one that the run was "
      .. "trained on" },
  { name = "text_pair_column", type = "string", group = "Texts", metavar = "NAME",
    help = "column of the second texts, likewise" },
  { name = "out", type = "string", metavar = "FILE", group = "Answers",
    help = "where the answers go; default: the screen" },
  { name = "format", type = "choice", choices = outputs.FORMATS, group = "Answers",
    help = "default: glue or superglue with --task and a split for that server, else tsv" },
  { name = "tokenizer", type = "string", metavar = "FOLDER", group = "Machine",
    help = "where the tokenizer's files are; default: beside the model" },
  { name = "batch_size", type = "integer", default = 32, min = 1, group = "Machine",
    help = "most texts in a batch; answers do not depend on it" },
  { name = "precision", type = "choice", choices = { "fp32", "bf16", "auto" }, default = "fp32",
    group = "Machine", help = "of the passes" },
  { name = "device", type = "choice", choices = { "cpu", "cuda", "auto" }, default = "auto",
    group = "Machine", help = "where to compute" },
  { name = "threads", type = "integer", default = 0, min = 0, max = 4096, group = "Machine",
    help = "processor threads; 0: OMP_NUM_THREADS, or all cores" },
}

local SERVERS = { glue = "GLUE's server", superglue = "SuperGLUE's server" }

-- The format of a split's server, or nil.
local function server_format(split)
  return split and split.answers and (split.answers:find("%.jsonl$") and "superglue" or "glue")
end

-- The task's split, and whether its server's format is wanted.
local function check_task(o)
  local row = o.task and tasks.get(o.task)
  local split, server = row and row.files[o.split], SERVERS[o.format]
  if not row and (server or o.given.split) then
    errors.raise("%s needs --task, which says what the columns of FILE are",
      server and "--format " .. o.format or "--split")
  elseif row and not o.file then
    errors.raise("--task %s needs FILE: %s", o.task, (row.data:gsub(";.*", "")))
  elseif row and (o.given.text_column or o.given.text_pair_column) then
    errors.raise("--task %s says which columns the texts are in; leave out --text-column and "
      .. "--text-pair-column", o.task)
  elseif row and not split then
    errors.unknown("--split", o.split, registry.sorted(row.files))
  elseif server and server_format(split) ~= o.format then
    errors.raise("%s takes no answers for the %s samples of %s; choose another --format", server,
      o.split, row.title)
  end
  o.format = o.format or server_format(split) or "tsv"
end

-- Answers never take the place of what they come from, nor of a run's or a model's own files.
local function is_precious(o)
  local is_data = o.file and file.kind(o.file) == "directory"
    and file.same(file.parent(o.out), o.file)
  local name = o.out:match("[^/]*$")
  for _, beginning in ipairs(is_data and { "train%.", "dev[._]", "test[._]", "val%." } or {}) do
    if name:find("^" .. beginning) then
      return true
    end
  end
  return o.file and file.same(o.out, o.file) or precious.is(o.out)
end

local function check_out(o)
  local parent = file.parent(o.out)
  if file.kind(parent) ~= "directory" then
    errors.raise("--out %s: the folder %s does not exist", o.out, parent)
  elseif file.kind(o.out) == "directory" then
    errors.raise("--out %s is a folder; give the name of a file", o.out)
  elseif file.kind(o.out) == "file" and is_precious(o) then
    errors.raise("--out %s would replace a file of the texts' or the model's; give another name",
      o.out)
  end
end

local function check(o)
  if not o.model then
    errors.raise("no model is given; give a run's folder or a checkpoint, such as runs/cola-1 "
      .. "(--help)")
  end
  check_task(o)
  if o.out then
    check_out(o)
  end
end

--- The command line of such a recipe, for options.parse.
-- @tparam table recipe name, usage, summary
-- @treturn table spec
function M.spec(recipe)
  return {
    name = recipe.name, usage = recipe.usage, summary = recipe.summary, alone = true,
    flags = FLAGS,
    positional = {
      { name = "model", metavar = "RUN", help = "a run's folder, a checkpoint, or a Hugging Face "
        .. "folder" },
      { name = "file", metavar = "FILE", help = "texts: a line each, with a tab before the second "
        .. "text of a pair; .jsonl: objects with text and text_pair; .csv, and what a run of one's "
        .. "own files was trained on: named columns; default: standard input" },
    },
    check = check,
  }
end

arguments.guard("fsam.predict.flags", M, {
  spec = { arguments.fields({ name = schema.string, usage = arguments.optional(schema.string),
    summary = arguments.optional(schema.string) }) },
})

return M
