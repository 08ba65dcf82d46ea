--- The flags that every training recipe has, with fairseq's names, and the checks between them.
--
-- Owns: these declarations. Leaves to others: what a flag does (its reader), and the declarations
-- of optimizers, sam-types and mask policies (their definitions, gathered by flags_of_types.lua),
-- so a user's new type has its flags in --help without a word here. The step's flags come from
-- step/options.lua, those that imitate the released code from step/compat.lua.

local arguments = require("fsam.base.arguments")
local attention_rng = require("fsam.pass.attention_rng")
local choice = require("fsam.step.choice")
local compat = require("fsam.step.compat")
local errors = require("fsam.errors")
local foreign = require("fsam.options.foreign")
local losses = require("fsam.pass.losses")
local metrics = require("fsam.data.metrics")
local options = require("fsam.options")
local problems = require("fsam.data.problems")
local owned = require("fsam.train.flags_of_types")
local schedule = require("fsam.train.schedule")
local schema = require("fsam.base.schema")
local tasks = require("fsam.data.tasks")

local M = {}

local IMITATING = "Imitating the released code" -- a group of --help

-- The declaration that step/choice.lua has under a name, as a flag with the names that may be
-- chosen.
local function chosen(name, choices)
  local flag = {}
  for _, declared in ipairs(choice) do
    if declared.name == name then
      for key, value in pairs(declared) do
        flag[key] = value
      end
    end
  end
  flag.type, flag.choices = choices and "choice" or flag.type, choices
  return flag
end

local function model_flags()
  return {
    { name = "restore_file", type = "string", metavar = "PATH", free = true,
      help = "pretrained model: " .. require("fsam.formats").KINDS },
    { name = "arch", type = "choice", choices = require("fsam.models.architectures").names(),
      help = "architecture for random weights; with --restore-file what the checkpoint must be" },
    { name = "tokenizer", type = "string", metavar = "FOLDER",
      help = "where the tokenizer's files are; default: beside --restore-file, or of fairseq's "
        .. "(dict.txt, encoder.json, vocab.bpe) in DATA" },
    { name = "head_init", type = "choice", choices = { "fairseq", "hf" }, default = "fairseq",
      help = "distribution of a new classification head" },
    { name = "freeze", type = "list", default = {}, metavar = "NAMES",
      help = "parts of the model that are not trained, by pieces of their parameters' names. A "
        .. "piece begins where a component does, between dots and underscores (embed, bias), "
        .. "and has whole numbers: layer.1 is not layer.10" },
    { name = "dropout", type = "number", default = 0.1, min = 0, max = 0.9999,
      help = "dropout, as fairseq decides it: a checkpoint's own hidden_dropout_prob has no say" },
    { name = "attention_dropout", type = "number", default = 0.1, min = 0, max = 0.9999,
      help = "dropout of attention probabilities, whatever a checkpoint's own is" },
    { name = "pooler_dropout", type = "number", default = 0, min = 0, max = 0.9999,
      help = "dropout in the classification head" },
    { name = "dropout_rng", type = "choice", choices = { "shared", "fresh" }, default = "shared",
      help = "both passes of a step drop the same, or each its own" },
    { name = "attention_dropout_rng", type = "choice", choices = attention_rng.NAMES,
      default = "own", help = "who draws attention's dropout: own, by the rule of all dropout, "
        .. "or cudnn, on a GPU in bf16, whose attention draws other bits" },
    { name = "precision", type = "choice", choices = { "fp32", "bf16", "auto" }, default = "auto",
      help = "of the passes; auto: bf16 where the machine multiplies it faster. Master weights "
        .. "are always fp32" },
  }
end

local function loss_flags()
  return {
    { name = "label_smoothing", type = "number", default = 0, min = 0, below = 1,
      help = "share of a target that is spread over all classes" },
    { name = "class_weights", type = "list", metavar = "WEIGHTS",
      help = "weights of the classes in the loss: auto (inverse frequency, mean 1), or a number "
        .. "for each label in the order of config.json. A validation's loss has neither these nor "
        .. "smoothing" },
  }
end

local function batch_flags()
  return {
    { name = "batch_size", type = "integer", default = 32, min = 1, alias = { "max_sentences" },
      help = "most samples in a batch" },
    { name = "max_tokens", type = "integer", min = 1,
      help = "most tokens in a batch, counted as samples × longest" },
    { name = "max_positions", type = "integer", min = 1,
      help = "longest sample in tokens; default: what the model takes" },
    { name = "shorten_method", type = "choice", choices = { "none", "truncate" }, default = "none",
      help = "of longer samples; none: training leaves them out, validation refuses them; "
        .. "truncate: cut their ends off" },
    { name = "max_train_samples", type = "integer", min = 1,
      help = "use only the first N training samples" },
    chosen("seed"),
  }
end

local function optimizer_flags(optimizers, sam_types)
  return {
    chosen("optimizer", optimizers), chosen("base_optimizer"), chosen("sam_type", sam_types),
    { name = "no_decay", type = "list", default = {}, metavar = "NAMES", owner = "model",
      help = "parameters without decay, by pieces of their names (bias,LayerNorm; none); "
        .. "LayerNorm means every layer norm" },
    { name = "preset", type = "choice", choices = { "fairseq", "hf" }, default = "fairseq",
      help = "sets --adam-form, --no-decay, --head-init and --pooler-dropout as that program does",
      implies = {
        fairseq = { adam_form = "fairseq", no_decay = {}, head_init = "fairseq",
          pooler_dropout = 0 },
        hf = { adam_form = "torch", no_decay = { "bias", "LayerNorm" }, head_init = "hf",
          pooler_dropout = 0.1 },
      } },
  }
end

local function rate_flags()
  return {
    { name = "lr", type = "series", of = "number", default = 1e-5, above = 0, metavar = "LR",
      help = "peak learning rate; with fixed and polynomial_decay also one for each epoch: A,B" },
    { name = "lr_scheduler", type = "choice", choices = schedule.names(),
      default = "polynomial_decay", help = "learning rate over time" },
    { name = "total_num_update", type = "integer", min = 1,
      help = "updates at which the decay ends; default: all that are planned" },
    { name = "max_epoch", type = "integer", default = 10, min = 0, free = true,
      help = "epochs to train; 0: as many as --max-update needs" },
    { name = "max_update", type = "integer", min = 1, free = true,
      help = "updates to train, whatever the epochs" },
    { name = "update_freq", type = "series", of = "integer", default = 1, min = 1, metavar = "N",
      help = "batches per update (gradient accumulation); A,B: of each epoch" },
    { name = "patience", type = "integer", default = 0, min = -1, free = true,
      help = "stop after so many validations without a better score; 0: never" },
    { name = "stop_min_lr", type = "number", default = -1, metavar = "LR", free = true,
      help = "stop at the end of an epoch when the rate is not above this" },
    { name = "stop_time_hours", type = "number", default = 0, min = 0, metavar = "H", free = true,
      help = "stop after so many hours of training; 0: never" },
  }
end

local function validation_flags()
  return {
    { name = "validate_interval", type = "integer", default = 1, min = 1, free = true,
      help = "validate at the end of every N-th epoch" },
    { name = "validate_interval_updates", type = "integer", default = 0, min = 0, free = true,
      help = "validate also every N updates; 0: never" },
    { name = "validate_after_updates", type = "integer", default = 0, min = 0, free = true,
      help = "validate only after so many updates" },
    { name = "disable_validation", type = "flag", free = true, help = "never validate" },
    { name = "batch_size_valid", type = "integer", min = 1, alias = { "max_sentences_valid" },
      free = true, owner = "task", help = "--batch-size of validation" },
    { name = "max_tokens_valid", type = "integer", min = 1, free = true, owner = "task",
      help = "--max-tokens of validation" },
  }
end

local function saving_flags(names)
  return {
    { name = "save_dir", type = "string", metavar = "FOLDER", free = true,
      help = "run folder; an unfinished run in it continues; default: a new one in runs/" },
    { name = "save_interval", type = "integer", default = 1, min = 1, free = true,
      help = "save at the end of every N-th epoch" },
    { name = "save_interval_updates", type = "integer", default = 0, min = 0, free = true,
      help = "validate and save also every N updates; 0: never" },
    { name = "keep_last_epochs", type = "integer", default = 0, min = -1, metavar = "N",
      free = true, help = "keep checkpointE of the last N saved epochs; -1: of all" },
    { name = "keep_interval_updates", type = "integer", default = 0, min = -1, metavar = "N",
      free = true, help = "keep checkpoint_E_U of the last N saves of --save-interval-updates; -1: "
        .. "of all" },
    { name = "keep_interval_updates_pattern", type = "integer", default = -1, min = -1,
      metavar = "N", free = true,
      help = "remove none of these whose update is a multiple of N; -1: nothing is exempt" },
    { name = "keep_best_checkpoints", type = "integer", default = 0, min = -1, metavar = "N",
      free = true, help = "keep checkpoint.best_METRIC_VALUE_U of the N best validations" },
    { name = "no_epoch_checkpoints", type = "flag", free = true, help = "no checkpointE" },
    { name = "no_last_checkpoints", type = "flag", free = true,
      help = "no checkpoint_last; what stops a run then costs the updates since its best one" },
    { name = "best_checkpoint_metric", type = "string", default = names[1], metavar = "METRIC",
      help = "what makes a checkpoint the best: " .. table.concat(names, ", ") },
    { name = "no_save", type = "flag", free = true, help = "write nothing" },
    { name = "restart", type = "flag", free = true,
      help = "begin anew in --save-dir; the run there moves to old-N in it" },
    { name = "valid_only", type = "flag", free = true,
      help = "only validate what --restore-file holds" },
  }
end

local function report_flags()
  return {
    { name = "log_format", type = "choice", choices = { "bar", "simple", "json", "none" },
      same = { tqdm = "bar" }, default = "bar", free = true,
      help = "bar needs a terminal, else it is simple" },
    { name = "log_interval", type = "integer", default = 100, min = 1, free = true,
      help = "updates between two lines of simple and json" },
    { name = "diagnose", type = "integer", default = 0, min = 0, free = true,
      help = "look closer at every N-th update: loss at w + e, agreement and noise of gradients, "
        .. "mask; 0: never. Training does not change" },
    { name = "profile", type = "flag", free = true,
      help = "on the CPU: at the end a table of where the time went, by pass and kernel. Training "
        .. "does not change" },
    { name = "profile_trace", type = "string", metavar = "FILE", free = true,
      help = "the same, and a trace in FILE for ui.perfetto.dev or chrome://tracing" },
    { name = "device", type = "choice", choices = { "cpu", "cuda", "auto" }, default = "auto",
      free = true, help = "where to compute" },
    { name = "tune", type = "flag", free = true,
      help = "time a GPU's algorithms for each new matrix product, and attention without dropout "
        .. "by our kernels and by cuDNN, and keep the fastest in the run folder; two runs may then "
        .. "differ in rounding" },
    { name = "check_ranks", type = "integer", default = 100, min = 1, free = true,
      help = "updates between two comparisons of the ranks' weights, with several processes" },
    { name = "shard_state", type = "flag", free = true,
      help = "each of several processes holds a share of the weights and the optimizer's state; "
        .. "the results are the same bits" },
    { name = "rank_timeout", type = "number", default = 600, above = 0, free = true,
      metavar = "SECONDS", help = "how long a process waits for another before it gives up" },
    { name = "threads", type = "integer", default = 0, min = 0, max = 4096, free = true,
      help = "processor threads; 0: OMP_NUM_THREADS, or all cores" },
  }
end

-- All declarations of a recipe, in the order of --help: { group, owner, declarations }. A group or
-- owner that a declaration names itself wins.
local function collect(metric_names, of_data)
  local optim, sam = require("fsam.optim"), require("fsam.sam")
  local lists = {
    { "Model", "model", model_flags() },
    { "Data", "task", of_data or {} },
    { "Optimizer", "step", optimizer_flags({ "sam", unpack(optim.names()) }, sam.names()) },
    { nil, "step", owned.step_options(false) },
    { "Loss", "model", loss_flags() },
    { "Batches", "task", batch_flags() },
    { "Learning rate and length", "train", rate_flags() },
    { nil, nil, owned.of_schedules() },
    { "Validation", "train", validation_flags() },
    { "Checkpoints", "train", saving_flags(metric_names) },
    { nil, nil, foreign.options },
    { "Reports and machine", "train", report_flags() },
    { IMITATING, "step", compat.options() },
  }
  local taken = {}
  for _, list in ipairs(lists) do
    for _, d in ipairs(options.declare(list[3], { group = list[1], owner = list[2] })) do
      taken[d.name] = true
    end
  end
  table.insert(lists, 5, { nil, nil, owned.collect(taken) }) -- with groups and owners of their own
  local flags, imitating = {}, {}
  for _, list in ipairs(lists) do
    for _, d in ipairs(list[3]) do
      table.insert(d.group == IMITATING and imitating or flags, d)
    end
  end
  for _, d in ipairs(imitating) do -- the last group, wherever they are declared
    flags[#flags + 1] = d
  end
  return flags
end

-- A flag of a schedule that is not in use, whose name means another flag to most people.
local function check_schedule(o)
  for _, flag in ipairs(o.spec.flags) do
    if o.given[flag.name] and flag.declared and flag.declared.schedule
        and not options.in_use(o, flag) then
      foreign.misplaced(options.flag(flag.name))
    end
  end
  if type(o.lr) == "table" and not schedule.get(o.lr_scheduler).several then
    errors.raise("--lr has %d rates, and --lr-scheduler %s takes one; fixed and polynomial_decay "
      .. "take one for each epoch", #o.lr, o.lr_scheduler)
  end
end

-- Checks between flags, before anything is loaded.
local function check(row, o)
  local names = row.metrics
  losses.check(problems.of_task(row).loss,
    { weights = o.class_weights, smoothing = o.label_smoothing })
  metrics.check(o.best_checkpoint_metric, names, o.maximize_best_checkpoint_metric)
  local plain = require("fsam.optim").names()
  local known = {}
  for _, name in ipairs(plain) do
    known[name] = true
  end
  if not known[o.base_optimizer] then
    errors.unknown("--base-optimizer", o.base_optimizer, plain)
  elseif o.optimizer ~= "sam" and o.given.sam_type then
    errors.raise("--sam-type %s goes with --optimizer sam; --optimizer %s is plain %s", o.sam_type,
      o.optimizer, o.optimizer)
  elseif o.given.data and not o.restore_file then
    errors.raise("%s needs --restore-file, a pretrained model with its vocabulary%s", o.data,
      o.given.arch and "; --arch has no vocabulary for your texts" or "")
  elseif o.tokenizer and not o.restore_file then
    errors.raise("--tokenizer needs --restore-file, a model that knows its ids")
  elseif o.valid_only and not o.restore_file then
    errors.raise("--valid-only needs --restore-file, the model to validate")
  elseif o.max_epoch == 0 and not o.max_update then
    errors.raise("--max-epoch 0 needs --max-update, which then says how long the run is")
  elseif o.seed + o.max_epoch > 2 ^ 32 - 1 then
    errors.raise("--seed %.0f is out of range with --max-epoch %.0f: epoch e is drawn from seed + "
      .. "e, at most 4294967295", o.seed, o.max_epoch)
  elseif o.shard_state and o.optimizer == "sam"
      and ((o.m_sharpness or 1) > 1 or o.rank_sharpness == "local") then
    errors.raise("--shard-state does not go with %s: each process needs all of its own gradient, "
      .. "and holds only a share", o.rank_sharpness == "local" and "--rank-sharpness local"
      or "--m-sharpness")
  elseif o.restart and not o.save_dir then
    errors.raise("--restart needs --save-dir; without it every run has a new folder")
  end
  check_schedule(o)
  if o.fisher then
    require("fsam.mask").get(o.fisher)
  end
  for _, remark in ipairs(owned.remarks(o)) do
    table.insert(o.notes, remark)
  end
  if o.optimizer == "sam" then
    require("fsam.step").check(o, o)
  end
  for _, note in ipairs(compat.notes(o)) do
    table.insert(o.notes, note)
  end
  if o.optimizer == "sam" then
    local declared = require("fsam.sam").options(o.sam_type)
    table.insert(o.notes, require("fsam.sam.radius").check(declared, o))
  end
end

--- The command line of a training recipe, for options.parse.
-- @tparam table recipe name, usage, summary; profiles (see options.read); task, the name of its row
--   (fsam.data.tasks), which says what DATA is and has labels and metrics, the first the default of
--   --best-checkpoint-metric; or a table in place of the name, where flags say what the data are:
--   flags (declarations), metrics (all that there may be), and row, a function (options) that reads
--   the data and returns a row, such as fsam.data.own_files
-- @treturn table spec, with `flags`, and `task`, the row, at the latest when the options are read
function M.spec(recipe)
  local own = type(recipe.task) == "table" and recipe.task
  local task = own or tasks.get(recipe.task)
  local spec = {
    name = recipe.name, usage = recipe.usage, summary = recipe.summary,
    flags = collect(task.metrics, own and own.flags), in_use = owned.in_use,
    task = not own and task or nil, profiles = recipe.profiles,
    positional = not own and { name = "data", metavar = "DATA",
      help = (task.data or "") .. (task.files and "; or fairseq's binarised folder" or "") } or nil,
  }
  function spec.check(o)
    if own then
      spec.task = own.row(o)
      o.best_checkpoint_metric = o.given.best_checkpoint_metric and o.best_checkpoint_metric
        or spec.task.metrics[1]
    end
    check(spec.task, o)
  end
  return spec
end

arguments.guard("fsam.train.flags", M, {
  spec = { arguments.fields({ name = schema.string, usage = arguments.optional(schema.string),
    summary = arguments.optional(schema.string),
    task = schema.either("a task's name, or a table with flags, metrics and row", schema.string,
      schema.record({ flags = arguments.table, metrics = schema.list(schema.string),
        row = arguments.func })),
    profiles = arguments.optional(schema.list(arguments.table)) }) },
})

return M
