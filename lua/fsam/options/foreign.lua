--- Flags that users of other programs will type: each is answered on purpose.
--
-- Owns: three lists. A name of Hugging Face is answered with ours. A flag of fairseq or of the FSAM
-- fork is accepted where it asks for what happens here anyway, so that their commands work; where
-- it asks for what is not offered, the answer says what to do instead. Two more are options of
-- ours, which --help does not show. Some answers depend on the recipe's task, a row of
-- fsam.data.tasks: { title, labels (nil: scores) }. Without a task those flags are accepted with
-- any value.
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")

local M = {}

-- Name with dashes → our flag, with an explanation where there is more to it.
local HUGGING_FACE = {
  ["--learning-rate"] = "--lr",
  ["--num-train-epochs"] = "--max-epoch",
  ["--max-steps"] = "--max-update",
  ["--per-device-train-batch-size"] = "--batch-size",
  ["--per-device-eval-batch-size"] = "--batch-size (both for training and validation)",
  ["--per-gpu-train-batch-size"] = "--batch-size",
  ["--train-batch-size"] = "--batch-size",
  ["--gradient-accumulation-steps"] = "--update-freq",
  ["--max-grad-norm"] = "--clip-norm",
  ["--warmup-steps"] = "--warmup-updates",
  ["--warmup-ratio"] = "--warmup-updates, a number of updates (6 % of all by default)",
  ["--lr-scheduler-type"] = "--lr-scheduler",
  ["--optim"] = "--optimizer",
  ["--adam-beta1"] = "--adam-betas (both: 0.9,0.98)",
  ["--adam-beta2"] = "--adam-betas (both: 0.9,0.98)",
  ["--adam-epsilon"] = "--adam-eps",
  ["--output-dir"] = "--save-dir",
  ["--overwrite-output-dir"] = "--restart",
  ["--model-name-or-path"] = "--restore-file",
  ["--max-seq-length"] = "--max-positions",
  ["--max-length"] = "--max-positions",
  ["--metric-for-best-model"] = "--best-checkpoint-metric",
  ["--greater-is-better"] = "--maximize-best-checkpoint-metric",
  ["--early-stopping-patience"] = "--patience",
  ["--save-steps"] = "--save-interval-updates",
  ["--logging-steps"] = "--log-interval",
  ["--dataloader-num-workers"] = "--threads",
  ["--no-cuda"] = "--device cpu",
  ["--use-cpu"] = "--device cpu",
  ["--train-file"] = "the first argument, a folder",
  ["--validation-file"] = "the first argument, a folder",
  ["--data-dir"] = "the first argument, a folder",
  ["--do-eval"] = "--valid-only (a training run validates after each epoch anyway)",
  ["--resume-from-checkpoint"] = "the same command again: a run in --save-dir continues by itself",
}

--- Declarations of two options that fairseq's commands need (form: options/init.lua).
M.options = {
  { name = "required_batch_size_multiple", type = "integer", default = 1, min = 1, hidden = true,
    owner = "task", group = "Batches", help = "cut batches at multiples of this" },
  { name = "maximize_best_checkpoint_metric", type = "flag", hidden = true, free = true,
    owner = "train", group = "Checkpoints",
    help = "each metric knows its direction; refused where it is the other one" },
}

-- An entry of FAIRSEQ. takes: number of values (0 or 1). only: the list of values that are accepted
-- (nil: any). answer: an error sentence without its subject, the flag. `only` and `answer` may be
-- functions of the task.
local function flag(answer)
  return { takes = 0, answer = answer }
end
local function value(answer)
  return { takes = 1, answer = answer }
end
local function only(...)
  return { takes = 1, only = { ... } }
end

local PRECISION = "is not offered, since fp16 needs loss scaling; use --precision bf16 or fp32"

local LOGGED = "is not offered; train.log in the run folder has a line of JSON for every update"

local KEPT = "is not needed: only checkpoint_best and checkpoint_last are kept"

local FAIRSEQ = {
  -- Accepted: this happens here anyway.
  ["--task"] = only("sentence_prediction"),
  ["--criterion"] = only("sentence_prediction"),
  ["--init-token"] = only("0"),
  ["--separator-token"] = only("2"),
  ["--num-classes"] = { takes = 1, only = function(task)
    return task and { tostring(task.labels and #task.labels or 1) }
  end },
  ["--valid-subset"] = only("valid"),
  ["--train-subset"] = only("train"),
  ["--distributed-world-size"] = only("1"),
  ["--ddp-backend"] = { takes = 1 },
  ["--num-workers"] = { takes = 1 },
  ["--required-seq-len-multiple"] = only("1"),
  ["--fp16-no-flatten-grads"] = flag(),
  ["--find-unused-parameters"] = flag(),
  ["--add-prev-output-tokens"] = flag(),
  ["--layernorm-embedding"] = flag(),
  ["--share-all-embeddings"] = flag(),
  ["--no-epoch-checkpoints"] = flag(),
  ["--no-progress-bar"] = flag("is now --log-format simple"),
  ["--reset-optimizer"] = flag(),
  ["--reset-dataloader"] = flag(),
  ["--reset-meters"] = flag(),
  ["--reset-lr-scheduler"] = flag(),
  ["--report-mcc"] = flag(),
  ["--report-acc-and-f1"] = flag(),
  -- Answered: this does not.
  ["--fp16"] = flag(PRECISION),
  ["--memory-efficient-fp16"] = flag(PRECISION),
  ["--amp"] = flag(PRECISION),
  ["--bf16"] = flag("is --precision bf16 here"),
  ["--cpu"] = flag("is --device cpu here"),
  ["--tf32"] = flag("is not offered; use --precision bf16 or fp32"),
  ["--regression-target"] = flag(function(task)
    return task and task.labels
      and "belongs to tasks with scores, such as STS-B; " .. task.title .. " has classes"
  end),
  ["--truncate-sequence"] = flag("is --shorten-method truncate here"),
  ["--user-dir"] = value("is not offered; a recipe is a Lua script and may define its own "
    .. "optimizers (fsam.optim.define, fsam.sam.define)"),
  ["--tensorboard-logdir"] = value(LOGGED),
  ["--wandb-project"] = value(LOGGED),
  ["--report-to"] = value(LOGGED),
  ["--gradient-checkpointing"] = flag("is not offered"),
  ["--keep-last-epochs"] = value(KEPT),
  ["--save-total-limit"] = value(KEPT),
}

-- `only` or `answer` of an entry, for a task.
local function of_task(entry, task)
  if type(entry) == "function" then
    return entry(task)
  end
  return entry
end

--- Answers a flag that the recipe does not declare.
-- @tparam string name with dashes
-- @tparam string typed the name in the user's spelling
-- @tparam ?string text the value that follows, if any
-- @tparam ?table task title, labels (nil: scores)
-- @treturn ?string "flag" (accepted), "value" (accepted with its value), nil when it is in no list
-- @raise the answer, for a flag or a value that is not accepted
function M.answer(name, typed, text, task)
  local ours = HUGGING_FACE[name]
  if ours then
    errors.raise("%s is Hugging Face's name; here it is %s", typed, ours)
  end
  local known = FAIRSEQ[name]
  if not known then
    return nil
  end
  local answer, only_these = of_task(known.answer, task), of_task(known.only, task)
  if answer then
    errors.raise("%s %s", typed, answer)
  elseif known.takes == 0 then
    return "flag"
  elseif not text then
    errors.raise("%s needs a value", typed)
  elseif only_these and not registry.contains(only_these, text) then
    errors.raise("%s %s is not offered here (%s)", typed, text, table.concat(only_these, ", "))
  end
  return "value"
end

return M
