--- Flags of fairseq's training program and of the FSAM fork that our recipes do not declare.
--
-- Owns: a row for each, with what becomes of it, and the values of declared flags that mean
-- something of their own. Leaves to others: answering (options/foreign.lua), flags that we share
-- (their declarations). docs/from-fairseq.md is the same list for readers.
--
-- A row is one of
--   same      it asks for what happens here anyway; `only` has the values for which that is so
--   idle      nothing here corresponds to it, and results do not depend on it: it is listed once
--   as        it is put as other words of ours
--   refused   it asks for what is not done; the text is the error without its subject, the flag
-- `only` and the text may be functions of the recipe's task: { title, labels or scores, also }.
local M = {}

-- Rows. `value`: the flag takes one.
local function same(only)
  return { kind = "same", value = only ~= nil, only = only ~= "any" and only or nil }
end
local FLAG = same()
local ANY = same("any")
local IDLE = { kind = "idle", value = false }
local IDLE_VALUE = { kind = "idle", value = true }
local function as(...)
  return { kind = "as", value = false, words = { ... } }
end
local function refused(text)
  return { kind = "refused", value = false, text = text }
end
local function refused_value(text, only)
  return { kind = "refused", value = true, text = text, only = only }
end

local FP16 = "is not offered, since fp16 needs loss scaling; use --precision bf16 or fp32"
local LOGGED = "is not offered; train.log in the run folder has a line of JSON for every update"
local RANKS = "is not offered: one process trains; leave the flag out"
local SHAPE = "is not offered: --restore-file says what the model is, or --arch for random weights"
local EVERY = "is not offered: the score would be of another set than the whole development set"
local OPTIMIZER = "belongs to an optimizer that is not offered; see --optimizer in --help"
local PRUNING = "is not offered; the whole model is trained"
local AVERAGE = "is not offered: no average of the weights is kept"

M.FLAGS = {
  -- Task and data.
  ["--task"] = same({ "sentence_prediction" }),
  ["--criterion"] = same({ "sentence_prediction" }),
  ["--init-token"] = same({ "0" }),
  ["--separator-token"] = same({ "2" }),
  ["--num-classes"] = same(function(task)
    if task and (task.labels or task.scores) then -- of one's own data the labels are read later
      return { tostring(task.labels and #task.labels or 1) }
    end
  end),
  ["--regression-target"] = { kind = "same", value = false, text = function(task)
    return task and task.labels
      and "belongs to tasks with scores, such as STS-B; " .. task.title .. " has classes"
  end },
  ["--classification-head-name"] = same({ "sentence_classification_head" }),
  ["--add-prev-output-tokens"] = IDLE,
  ["--d2v2-multi"] = refused("is not offered; it belongs to another family of models"),
  ["--data"] = refused_value("is not needed: the folder is the first argument"),
  ["--shorten-data-split-list"] = same({ "" }),
  ["--train-subset"] = same({ "train" }),
  ["--valid-subset"] = same(function(task)
    return task and task.also and { "valid", "valid,valid1" } or { "valid" }
  end),
  ["--gen-subset"] = IDLE_VALUE,
  ["--combine-valid-subsets"] = refused(EVERY),
  ["--combine-val"] = refused(EVERY),
  ["--ignore-unused-valid-subsets"] = IDLE,
  ["--truncate-sequence"] = as("--shorten-method", "truncate"),
  ["--required-seq-len-multiple"] = same({ "1" }),
  ["--dataset-impl"] = ANY,
  ["--data-buffer-size"] = IDLE_VALUE,
  ["--num-workers"] = IDLE_VALUE,
  ["--num-shards"] = same({ "1" }),
  ["--shard-id"] = same({ "0" }),
  ["--grouped-shuffling"] = refused("is not offered; batches are shuffled one by one"),
  ["--update-epoch-batch-itr"] = refused("is not offered; batches are cut once"),
  ["--update-ordered-indices-seed"] = refused("is not offered; batches are cut once"),
  ["--skip-remainder-batch"] = refused("is not offered; the last update of an epoch may be of "
    .. "fewer batches"),
  ["--max-valid-steps"] = refused_value(EVERY),
  ["--nval"] = refused_value(EVERY),
  ["--fixed-validation-seed"] = IDLE_VALUE,
  -- Model.
  ["--layernorm-embedding"] = FLAG,
  ["--share-all-embeddings"] = IDLE,
  ["--untie-weights-roberta"] = IDLE,
  ["--load-checkpoint-heads"] = FLAG,
  ["--activation-fn"] = same({ "gelu" }),
  ["--pooler-activation-fn"] = same({ "tanh" }),
  ["--activation-dropout"] = same({ "0", "0.0" }),
  ["--encoder-layerdrop"] = same({ "0", "0.0" }),
  ["--encoder-layers-to-keep"] = refused_value(PRUNING),
  ["--encoder-layers"] = refused_value(SHAPE),
  ["--encoder-embed-dim"] = refused_value(SHAPE),
  ["--encoder-ffn-embed-dim"] = refused_value(SHAPE),
  ["--encoder-attention-heads"] = refused_value(SHAPE),
  ["--encoder-normalize-before"] = refused(SHAPE),
  ["--spectral-norm-classification-head"] = refused("is not offered; the head is a plain one"),
  ["--quant-noise-pq"] = same({ "0", "0.0" }),
  ["--quant-noise-pq-block-size"] = IDLE_VALUE,
  ["--quant-noise-scalar"] = same({ "0", "0.0" }),
  ["--quantization-config-path"] = refused_value("is not offered; weights are not quantised"),
  ["--min-params-to-wrap"] = IDLE_VALUE,
  ["--checkpoint-activations"] = IDLE,
  ["--offload-activations"] = IDLE,
  ["--gradient-checkpointing"] = IDLE,
  ["--mha-reg-scale-factor"] = same({ "0", "0.0" }),
  ["--ffn-reg-scale-factor"] = same({ "0", "0.0" }),
  ["--mha-heads-to-keep"] = same({ "-1" }),
  ["--ffn-blocks-to-remove"] = same({ "-1" }),
  -- Precision and machine.
  ["--fp16"] = refused(FP16),
  ["--memory-efficient-fp16"] = refused(FP16),
  ["--amp"] = refused(FP16),
  ["--bf16"] = as("--precision", "bf16"),
  ["--memory-efficient-bf16"] = refused("is not offered, since it keeps no fp32 weights, and "
    .. "small steps are lost in bf16; use --precision bf16, whose weights are fp32"),
  ["--tf32"] = refused("is not offered; use --precision bf16 or fp32"),
  ["--fp16-no-flatten-grads"] = IDLE,
  ["--fp16-init-scale"] = IDLE_VALUE,
  ["--fp16-scale-window"] = IDLE_VALUE,
  ["--fp16-scale-tolerance"] = IDLE_VALUE,
  ["--fp16-adam-stats"] = refused("is not offered; Adam's moments are fp32"),
  ["--min-loss-scale"] = IDLE_VALUE,
  ["--threshold-loss-scale"] = IDLE_VALUE,
  ["--amp-batch-retries"] = IDLE_VALUE,
  ["--amp-init-scale"] = IDLE_VALUE,
  ["--amp-scale-window"] = IDLE_VALUE,
  ["--on-cpu-convert-precision"] = IDLE,
  ["--cpu"] = as("--device", "cpu"),
  ["--tpu"] = refused("is not offered; --device is cpu or cuda"),
  ["--empty-cache-freq"] = IDLE_VALUE,
  -- Several processes.
  ["--distributed-world-size"] = same({ "1" }),
  ["--distributed-num-procs"] = same({ "1" }),
  ["--nprocs-per-node"] = same({ "1" }),
  ["--distributed-rank"] = same({ "0" }),
  ["--device-id"] = same({ "0" }),
  ["--local-rank"] = same({ "0" }),
  ["--distributed-init-method"] = refused_value(RANKS),
  ["--distributed-backend"] = IDLE_VALUE,
  ["--distributed-port"] = IDLE_VALUE,
  ["--distributed-no-spawn"] = IDLE,
  ["--ddp-backend"] = IDLE_VALUE,
  ["--ddp-comm-hook"] = IDLE_VALUE,
  ["--bucket-cap-mb"] = IDLE_VALUE,
  ["--fix-batches-to-gpus"] = IDLE,
  ["--find-unused-parameters"] = IDLE,
  ["--gradient-as-bucket-view"] = IDLE,
  ["--fast-stat-sync"] = IDLE,
  ["--heartbeat-timeout"] = IDLE_VALUE,
  ["--broadcast-buffers"] = IDLE,
  ["--slowmo-momentum"] = IDLE_VALUE,
  ["--slowmo-algorithm"] = IDLE_VALUE,
  ["--slowmo-base-algorithm"] = IDLE_VALUE,
  ["--localsgd-frequency"] = IDLE_VALUE,
  ["--zero-sharding"] = IDLE_VALUE,
  ["--no-reshard-after-forward"] = IDLE,
  ["--fp32-reduce-scatter"] = IDLE,
  ["--cpu-offload"] = IDLE,
  ["--use-sharded-state"] = IDLE,
  ["--not-fsdp-flatten-parameters"] = IDLE,
  ["--all-gather-list-size"] = IDLE_VALUE,
  ["--model-parallel-size"] = same({ "1" }),
  ["--pipeline-model-parallel"] = refused(RANKS),
  ["--pipeline-balance"] = refused_value(RANKS),
  ["--pipeline-devices"] = refused_value(RANKS),
  ["--pipeline-chunks"] = IDLE_VALUE,
  ["--pipeline-encoder-balance"] = refused_value(RANKS),
  ["--pipeline-encoder-devices"] = refused_value(RANKS),
  ["--pipeline-decoder-balance"] = refused_value(RANKS),
  ["--pipeline-decoder-devices"] = refused_value(RANKS),
  ["--pipeline-checkpoint"] = IDLE_VALUE,
  ["--use-plasma-view"] = IDLE,
  ["--plasma-path"] = IDLE_VALUE,
  ["--suppress-crashes"] = IDLE,
  ["--use-bmuf"] = refused(RANKS),
  ["--block-lr"] = IDLE_VALUE,
  ["--block-momentum"] = IDLE_VALUE,
  ["--global-sync-iter"] = IDLE_VALUE,
  ["--warmup-iterations"] = IDLE_VALUE,
  ["--use-nbm"] = IDLE,
  ["--average-sync"] = IDLE,
  -- Optimizers.
  ["--sentence-avg"] = FLAG,
  ["--use-old-adam"] = IDLE,
  ["--dampening"] = same({ "0", "0.0" }),
  ["--amsgrad"] = refused("is not offered; leave it out, or define an optimizer with "
    .. "fsam.optim.define"),
  ["--max-updates-gsam"] = IDLE_VALUE,
  ["--warmup-updates-gsam"] = IDLE_VALUE,
  ["--debug-param-names"] = IDLE,
  ["--adadelta-eps"] = refused_value(OPTIMIZER),
  ["--adadelta-rho"] = refused_value(OPTIMIZER),
  ["--anneal-eps"] = refused(OPTIMIZER),
  ["--adafactor-eps"] = refused_value(OPTIMIZER),
  ["--beta1"] = refused_value(OPTIMIZER),
  ["--clip-threshold"] = refused_value(OPTIMIZER),
  ["--decay-rate"] = refused_value(OPTIMIZER),
  ["--relative-step"] = refused(OPTIMIZER),
  ["--scale-parameter"] = refused(OPTIMIZER),
  ["--warmup-init"] = refused(OPTIMIZER),
  ["--adamax-betas"] = refused_value(OPTIMIZER),
  ["--adamax-eps"] = refused_value(OPTIMIZER),
  ["--no-bias-correction"] = refused(OPTIMIZER),
  ["--lamb-betas"] = refused_value("is --adam-betas here, which lamb reads"),
  ["--lamb-eps"] = refused_value("is --adam-eps here, which lamb reads"),
  ["--groups"] = refused_value(OPTIMIZER),
  ["--dynamic-groups"] = refused(OPTIMIZER),
  ["--optimizers"] = refused_value(OPTIMIZER),
  ["--lr-schedulers"] = refused_value(OPTIMIZER),
  ["--lr-float"] = refused_value(OPTIMIZER),
  ["--store-ema"] = refused(AVERAGE),
  ["--ema-decay"] = refused_value(AVERAGE),
  ["--ema-start-update"] = refused_value(AVERAGE),
  ["--ema-seed-model"] = refused_value(AVERAGE),
  ["--ema-update-freq"] = refused_value(AVERAGE),
  ["--ema-fp32"] = refused(AVERAGE),
  -- Checkpoints.
  ["--reset-optimizer"] = FLAG,
  ["--reset-dataloader"] = FLAG,
  ["--reset-meters"] = FLAG,
  ["--reset-lr-scheduler"] = FLAG,
  ["--optimizer-overrides"] = same({ "{}" }),
  ["--finetune-from-model"] = { kind = "as", value = true, words = { "--restore-file" } },
  ["--continue-once"] = refused_value("is not offered; --restore-file starts from its weights"),
  ["--no-save-optimizer-state"] = refused("is not offered: every checkpoint can continue its run; "
    .. "model.safetensors in it is the weights alone"),
  ["--checkpoint-suffix"] = same({ "" }),
  ["--checkpoint-shard-count"] = same({ "1" }),
  ["--load-checkpoint-on-all-dp-ranks"] = IDLE,
  ["--write-checkpoints-asynchronously"] = IDLE,
  ["--save-async"] = IDLE,
  -- Reports.
  ["--no-progress-bar"] = as("--log-format", "simple"),
  ["--report-mcc"] = FLAG,
  ["--report-acc-and-f1"] = FLAG,
  ["--report-pearson-and-spearman"] = FLAG,
  ["--log-file"] = refused_value("is not offered; train.log in the run folder has every update, "
    .. "and | tee FILE keeps what the screen shows"),
  ["--reset-logging"] = IDLE,
  ["--tensorboard-logdir"] = refused_value(LOGGED),
  ["--wandb-project"] = refused_value(LOGGED),
  ["--azureml-logging"] = refused(LOGGED),
  ["--aim-repo"] = refused_value(LOGGED),
  ["--aim-run-hash"] = refused_value(LOGGED),
  ["--report-to"] = refused_value(LOGGED),
  ["--user-dir"] = refused_value("is not offered; a recipe is a Lua script and may define its own "
    .. "optimizers (fsam.optim.define, fsam.sam.define)"),
}

-- Values of flags that our recipes declare: false takes flag and value out of the command, since
-- they ask for what happens without them; a text is an error, as above.
local NAG = "is not offered; --optimizer sgd --nesterov --momentum 0.99 is the nearest"
local LACKING = "is not offered; define it with fsam.optim.define"
M.VALUES = {
  ["--restore-file"] = { ["checkpoint_last.pt"] = false },
  ["--max-update"] = { ["0"] = false },
  ["--optimizer"] = { nag = NAG, adadelta = LACKING, adafactor = LACKING, adagrad = LACKING,
    adamax = LACKING, composite = LACKING, cpu_adam = "is --optimizer adam here" },
  ["--lr-scheduler"] = { pass_through = "is not offered: no optimizer here has a schedule of its "
    .. "own; name one (see --help)" },
}

return M
