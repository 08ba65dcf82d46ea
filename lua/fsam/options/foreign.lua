--- Flags that users of other programs will type: each is answered on purpose.
--
-- Owns: the answers. A name of Hugging Face is answered with ours. A flag of fairseq or of the FSAM
-- fork is accepted where it asks for what happens here anyway, or for what has no effect, so that
-- their commands work; where it asks for what is not offered, the answer says what to do instead.
-- Some more are options of ours, which --help does not show. Some answers depend on the recipe's
-- task, a row of fsam.data.tasks: { title, labels (nil: scores) }. Without a task those flags are
-- accepted with any value. Leaves to others: the rows of fairseq's flags (options/fairseq.lua).
local errors = require("fsam.errors")
local fairseq = require("fsam.options.fairseq")
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
  ["--eval-steps"] = "--validate-interval-updates",
  ["--save-total-limit"] = "--keep-last-epochs",
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

--- Declarations of options that fairseq's commands need (form: options/init.lua).
M.options = {
  { name = "skip_invalid_size_inputs_valid_test", type = "flag", hidden = true, owner = "task",
    group = "Batches", help = "leave development samples out that are too long; the score is then "
      .. "of the others" },
  { name = "no_shuffle", type = "flag", hidden = true, owner = "task", group = "Batches",
    help = "cut batches in the order of the file" },
  { name = "curriculum", type = "integer", default = 0, min = 0, hidden = true, owner = "task",
    group = "Batches", help = "epochs in which batches are not shuffled" },
  { name = "required_batch_size_multiple", type = "integer", default = 1, min = 1, hidden = true,
    owner = "task", group = "Batches", help = "cut batches at multiples of this" },
  { name = "maximize_best_checkpoint_metric", type = "flag", hidden = true, free = true,
    owner = "train", group = "Checkpoints",
    help = "each metric knows its direction; refused where it is the other one" },
}

-- `only` or `text` of a row, for a task.
local function of_task(entry, task)
  if type(entry) == "function" then
    return entry(task)
  end
  return entry
end

local function refuse_hugging_face(name, typed)
  local ours = HUGGING_FACE[name]
  if ours then
    errors.raise("%s is Hugging Face's name; here it is %s", typed, ours)
  end
end

--- Answers a flag that the recipe does not declare.
-- @tparam string name with dashes
-- @tparam string typed the name in the user's spelling
-- @tparam ?string text the value that follows, if any
-- @tparam ?table task title, labels (nil: scores)
-- @treturn ?table value (is the next word the flag's?), idle (is it to be listed as one without
--   effect?), words (what stands in its place, a list that may be empty); nil when it is in no list
-- @raise the answer, for a flag or a value that is not accepted
function M.answer(name, typed, text, task)
  refuse_hugging_face(name, typed)
  local row = fairseq.FLAGS[name]
  if not row then
    return nil
  end
  local refusal, only = of_task(row.text, task), of_task(row.only, task)
  if refusal then
    errors.raise("%s %s", typed, refusal)
  elseif row.value and not text then
    errors.raise("%s needs a value", typed)
  elseif only and not registry.contains(only, text) then
    errors.raise("%s %s is not offered here (%s)%s", typed, text, table.concat(only, ", "),
      row.why and ": " .. row.why or "")
  end
  local words = { unpack(row.words or {}) }
  if #words > 0 and row.value then
    words[#words + 1] = text
  end
  return { value = row.value, idle = row.kind == "idle", words = words }
end

--- The full names for which an abbreviation may stand: argparse, which fairseq's commands are read
-- by, takes the beginning of a name where only one begins so.
-- @tparam string flag with dashes
-- @tparam {string,…} spellings the recipe's own flags
-- @treturn {string,…} in alphabetical order
function M.completions(flag, spellings)
  local set = {}
  for _, names in ipairs({ spellings, registry.sorted(fairseq.FLAGS) }) do
    for _, name in ipairs(names) do
      if name:sub(1, #flag) == flag then
        set[name] = true
      end
    end
  end
  return registry.sorted(set)
end

--- Is a value of a declared flag one that asks for what happens without the flag?
-- @tparam string name with dashes
-- @tparam ?string text the value
-- @treturn boolean then flag and value are left out
-- @raise the answer, for a value of fairseq's that is not offered
function M.drops(name, text)
  local answer = (fairseq.VALUES[name] or {})[text]
  if answer then
    errors.raise("%s %s %s", name, text, answer)
  end
  return answer == false
end

--- Refuses a declared flag that nothing in use reads and whose name means something else to users
-- of Hugging Face.
-- @tparam string name with dashes
-- @raise with our flag for it
function M.misplaced(name)
  refuse_hugging_face(name, name)
end

--- The remark about flags without effect.
-- @tparam {string,…} flags
-- @treturn string
function M.remark(flags)
  return ("without effect here: %s"):format(table.concat(flags, ", "))
end

return M
