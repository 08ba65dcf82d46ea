--- The parts of a run, made from the options as most recipes want them.
--
--     local parts, finished = fsam.train.setup(options)
--     local parts = fsam.train.setup(options, { corpus = my_corpus })
--     local parts = fsam.train.setup(options, { model = function(t) return … end })
--
-- Owns: the order in which the parts are made, and from what. Leaves to others: each part (its own
-- room). A recipe that wants another part hands it over, or a function that makes it.

local attention_rng = require("fsam.pass.attention_rng")
local class_weights = require("fsam.data.class_weights")
local corpora = require("fsam.data.corpus")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local folder = require("fsam.train.run_folder")
local formats = require("fsam.formats")
local metrics = require("fsam.data.metrics")
local models = require("fsam.models")
local passes = require("fsam.pass")
local problems = require("fsam.data.problems")
local world = require("fsam.ranks.world")
local step = require("fsam.step")
local tasks = require("fsam.data.task")
local text = require("fsam.text")

local M = {}

-- Sentences about options that this machine cannot follow.
local function remarks(options, run)
  local notes = {}
  local unused = options.device == "auto" and devices.unused_gpu(run.device)
  if unused then
    notes[1] = "a GPU is here but not used: " .. unused
  end
  if options.rounding == "stochastic" and run.precision == "fp32" then
    notes[#notes + 1] = "--rounding stochastic has no effect in fp32: passes read the weights "
      .. "unrounded"
  end
  notes[#notes + 1] = attention_rng.remark(run.device, options)
  return notes
end

--- Opens the device, settles what `auto` means there, and finds where the run begins.
-- @tparam table options from options.read; not changed
-- @tparam[opt] boolean follows another rank writes in the run's folder, this one reads
-- @treturn table run, see run_folder.open; device; device_name ("cpu", or what the GPU is);
--   precision, "fp32" or "bf16": options.precision says what was asked for; notes, remarks
function M.open(options, follows)
  local device = devices.open(options.device)
  devices.threads(options.threads)
  local run = folder.open(options, devices.precision(options.precision, device),
    follows)
  run.device, run.device_name = device, devices.gpu(device) or "cpu"
  attention_rng.number(device, options.attention_dropout_rng,
    run.precision == "bf16" and "bf16" or "f32")
  run.notes = remarks(options, run)
  return run
end

-- The parts in the order of making. Each function gets the parts made so far, with options and row.
local ORDER = { "ranks", "run", "corpus", "tokenizer", "model", "task", "pass", "optimizer" }
local MAKE = {}

-- The processes that train together: those that a launcher started, or this one alone.
function MAKE.ranks(t)
  world.timeout(t.options.rank_timeout)
  return world.join()
end

-- Where the run writes, and whether it begins or continues. The first rank holds the folder and
-- puts it in order; the others read what then stands there.
function MAKE.run(t)
  local run = t.ranks.is_first and M.open(t.options)
  t.ranks:meet()
  run = run or M.open(t.options, true)
  run.ranks = t.ranks.size
  local why = world.use(run.device)
  if why then
    run.notes[#run.notes + 1] = "the ranks' gradients travel through the hosts' memory: " .. why
  end
  return run
end

-- Samples of text and label. Some data has its own order of the labels.
function MAKE.corpus(t)
  local corpus = corpora.open(t.row, t.options.data)
  t.row = corpus.row or t.row
  return corpus
end

-- The checkpoint that the run starts from. It is opened once, for tokenizer and model, and before
-- either: what is wrong with its configuration or weights is said first.
local function source_of(t)
  t.source = t.source or formats.open(t.run.source)
  return t.source
end

-- The files of the tokenizer: those of --tokenizer, else the checkpoint's own, to which DATA may
-- add fairseq's.
local function vocabulary_of(t)
  local o, own = t.options, source_of(t).vocabulary
  if o.tokenizer and not t.run.resume then
    return formats.vocabulary(o.tokenizer)
  end
  return text.with_fairseq(own, o.data and { o.data, o.data .. "/input0" } or {})
end

-- The checkpoint's own vocabulary, or the corpus's for a model from random weights.
function MAKE.tokenizer(t)
  if t.run.source then
    return text.load({ vocabulary = vocabulary_of(t) })
  elseif not t.corpus.vocab then
    errors.raise("%s has no vocabulary of its own; give --restore-file, a pretrained model",
      t.corpus.name)
  end
  return text.wordpiece({ vocab = t.corpus.vocab })
end

-- The checkpoint, or random weights, with a head for the task.
function MAKE.model(t)
  local o = t.options
  local settings = {
    device = t.run.device, precision = t.run.precision, seed = o.seed, head_init = o.head_init,
    labels = t.row.labels, regression = t.row.labels == nil, freeze = o.freeze,
    problem_type = problems.of_task(t.row).name,
    no_decay = o.no_decay, no_decay_implied = o.origin.no_decay ~= "command line",
    dropout = o.dropout, attention_dropout = o.attention_dropout,
    pooler_dropout = o.pooler_dropout, share = o.shard_state and t.ranks or nil,
  }
  if t.run.source then
    settings.source, t.source = source_of(t), nil
    settings.arch = o.given.arch and o.arch or nil
    local model = models.load(settings)
    if o.valid_only and model.untrained then
      errors.raise("--valid-only: %s is not trained for %s (%s); train it first",
        t.run.source, t.row.title, model.untrained)
    end
    return model
  end
  settings.arch, settings.vocab_size = o.arch, t.tokenizer.vocab_size
  settings.pad_id = t.tokenizer.pad_id
  return models.new(settings)
end

-- The corpus in tokens and batches.
function MAKE.task(t)
  return tasks.new({
    row = t.row, corpus = t.corpus, tokenizer = t.tokenizer, model = t.model, options = t.options,
    ranks = t.ranks,
  })
end

-- Forward and backward.
function MAKE.pass(t)
  local o = t.options
  return passes.new({
    model = t.model, loss = problems.of_task(t.row).loss, seed = o.seed,
    class_weights = class_weights.of(o.class_weights, t.row.labels, t.task.train),
    label_smoothing = o.label_smoothing, dropout_rng = o.dropout_rng, ranks = t.ranks,
    attention_dropout_rng = o.attention_dropout_rng,
  })
end

-- A base, plain or wrapped by a sam-type; both are mathematics on model.params.
function MAKE.optimizer(t)
  local o = t.options
  return step.build({
    params = t.model.params, options = o, seed = o.seed, optimizer = o.optimizer,
    base_optimizer = o.base_optimizer, sam_type = o.sam_type, sampler = t.task:sampler(),
  })
end

-- Checks of a recipe's own parts. Those made here pass them by construction.
local CHECK = {
  corpus = function(t)
    corpora.check(t.row, t.corpus)
  end,
  model = function(t)
    if t.options.shard_state and t.ranks.size > 1 and not t.model.params.share then
      errors.raise("--shard-state: this recipe makes its own model; give share = t.ranks to "
        .. "fsam.models.new and load there, or leave the flag out")
    end
  end,
  task = function(t)
    local o = t.options
    metrics.check(o.best_checkpoint_metric, t.task.metrics, o.maximize_best_checkpoint_metric)
  end,
}

-- Takes a recipe's own part: the part itself, or the result of its function, which gets the parts
-- made so far.
local function own_part(t, name, own)
  local part = own
  if type(own) == "function" then
    part = own(t)
  end
  if type(part) ~= "table" then
    errors.raise("setup: the recipe's %s is %s, expected a table, or a function that returns one",
      name, part == nil and "nil" or "a " .. type(part))
  end
  t[name] = part
  if CHECK[name] then
    CHECK[name](t)
  end
end

--- Makes the parts of a run.
-- @tparam table options read by train.flags.spec, which has the task's row (fsam.data.tasks)
-- @tparam[opt] table own parts that the recipe makes: ranks, run, corpus, tokenizer, model, task,
--   pass, optimizer. Each is the part itself, or a function that gets the parts made before it
--   (with options, and row, the task's) and returns the part
-- @treturn ?table options, row and those parts, as train.run takes them; nil when nothing is left
--   to train in --save-dir
-- @treturn ?string then a sentence that says so
-- @raise one line about the part that cannot be made
function M.parts(options, own)
  own = own or {}
  for name in pairs(own) do
    if not MAKE[name] then
      errors.unknown("setup: the part", name, ORDER)
    end
  end
  local t = { options = options, row = options.spec.task }
  for _, name in ipairs(ORDER) do
    if own[name] ~= nil then
      own_part(t, name, own[name])
    else
      t[name] = MAKE[name](t)
    end
    if t.run and t.run.finished then
      return nil, t.run.finished
    end
  end
  if t.source then -- the recipe's own model did not ask for it
    t.source.tensors:close()
    t.source = nil
  end
  return t
end

return M
