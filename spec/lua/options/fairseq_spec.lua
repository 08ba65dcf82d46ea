--- fairseq's flags and the FSAM fork's: every one is ours, answered by a row, or an error that says
-- what to do; and the fork's own commands.

local fairseq = require("fsam.options.fairseq")
local flags = require("fsam.train.flags")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local options = require("fsam.options")
local progress = require("fsam.train.progress")
local registry = require("fsam.base.registry")
local schedule = require("fsam.train.schedule")

local function spec_of(task)
  return flags.spec({ name = task .. ".lua", usage = task .. ".lua", task = task })
end

local COLA = spec_of("cola")

local function read(...)
  return options.read({ ... }, COLA)
end

local function error_of(...)
  local ok, err = pcall(read, ...)
  assert(not ok, table.concat({ ... }, " ") .. " is accepted")
  return tostring(err)
end

-- Flags of the recipe by name and alias, as declarations.
local function declared()
  local by_flag = {}
  for _, d in ipairs(COLA.flags) do
    for _, name in ipairs({ d.name, unpack(d.alias or {}) }) do
      by_flag[options.flag(name)] = d
    end
  end
  return by_flag
end

describe("every flag of fairseq", function()
  -- spec/golden/make_fairseq_flags.py reads them from its source.
  local golden, count = {}, 0
  for name, takes in helper.read_file("spec/golden/fairseq_flags.txt"):gmatch("(%S+) ([01])\n") do
    golden[name:gsub("_", "-")], count = takes == "1", count + 1
  end

  it("is declared here or has a row, and takes a value where it does there", function()
    local ours = declared()
    assert.is_true(count > 200)
    for name, takes in pairs(golden) do
      local d, row = ours[name], fairseq.FLAGS[name]
      assert(d or row, name .. " is unknown")
      assert(not (d and row), name .. " has a row and is declared")
      local here = row and row.value
      if d then
        here = d.type ~= "flag"
      end
      assert(here == takes, name .. (takes and " takes a value" or " takes no value"))
    end
  end)

  it("stands in the page for its users", function()
    local page = helper.read_file("docs/from-fairseq.md")
    for name in pairs(golden) do
      assert(page:find("`" .. name:gsub("%p", "%%%0") .. "[` ]"), "docs: no " .. name)
    end
    for name in pairs(fairseq.FLAGS) do
      assert(page:find("`" .. name:gsub("%p", "%%%0") .. "[` ]"), "docs: no " .. name)
    end
  end)
end)

describe("a row", function()
  -- A value that the row accepts.
  local function value_of(row)
    local only = row.only
    if type(only) == "function" then
      only = only(COLA.task)
    end
    return only and only[1] or "7"
  end

  local function words_of(name, row)
    return { name, row.value and value_of(row) or nil }
  end

  it("of the kind same is silent, idle is listed, refused is one line", function()
    local counts = { same = 0, idle = 0, refused = 0, as = 0 }
    for _, name in ipairs(registry.sorted(fairseq.FLAGS)) do
      local row = fairseq.FLAGS[name]
      local words = words_of(name, row)
      counts[row.kind] = counts[row.kind] + 1
      if row.kind == "refused" or name == "--regression-target" then
        local message = error_of(unpack(words))
        assert.matches(name .. " ", message, 1, true)
        assert.is_nil(message:find("\n", 1, true))
      elseif row.kind == "same" then
        assert.same({}, read(unpack(words)).notes, name)
      elseif row.kind == "idle" then
        assert.same({ "without effect here: " .. name }, read(unpack(words)).notes)
      end
    end
    for kind, count in pairs(counts) do
      assert.is_true(count >= 4, kind)
    end
  end)

  it("with a list of values refuses others and names them", function()
    for _, case in ipairs({
      { "--task masked_lm", "--task masked_lm is not offered here (sentence_prediction)" },
      { "--num-classes 3", "--num-classes 3 is not offered here (2)" },
      { "--activation-fn relu", "--activation-fn relu is not offered here (gelu)" },
      { "--distributed-world-size 8", "--distributed-world-size 8 is not offered here (1)" },
      { "--init-token", "--init-token needs a value" },
      { "--init-token 101", "--init-token 101 is not offered here (0): the checkpoint's tokenizer "
        .. "says which tokens stand before, between and behind texts; leave the flag out" },
      { "--separator_token 102", "--separator_token 102 is not offered here (2): the "
        .. "checkpoint's tokenizer says which tokens stand before, between and behind texts; leave "
        .. "the flag out" },
      -- argparse completes these.
      { "--max-tok 100", "--max-tok is the beginning of --max-tokens, --max-tokens-valid; write "
        .. "the whole name" },
      { "--total_num 100", "--total_num is the beginning of --total-num-update; write the whole "
        .. "name" },
      { "--init-t 0", "--init-t is the beginning of --init-token; write the whole name" },
      { "--adam-e=1e-6", "--adam-e is the beginning of --adam-eps; write the whole name" },
      { "--lr-sch x", "--lr-sch is the beginning of --lr-scheduler, --lr-schedulers; write the "
        .. "whole name" },
      { "--optimizer nag", "--optimizer nag is not offered; --optimizer sgd --nesterov --momentum "
        .. "0.99 is the nearest" },
      { "--lr-scheduler pass_through", "--lr-scheduler pass_through is not offered: no optimizer "
        .. "here has a schedule of its own; name one (see --help)" },
      { "--fp16", "--fp16 is not offered, since fp16 needs loss scaling; use --precision bf16 or "
        .. "fp32" },
      { "--max-epoch 0", "--max-epoch 0 needs --max-update, which then says how long the run is" },
      { "--lr-scheduler cosine --lr 1e-5,2e-5", "--lr has 2 rates, and --lr-scheduler cosine takes "
        .. "one; fixed and polynomial_decay take one for each epoch" },
      { "--warmup-steps 3", "--warmup-steps is Hugging Face's name; here it is --warmup-updates" },
      { "--update-freq 2,1.5", "--update-freq 1.5 is not a whole number" },
      { "--lr none", "--lr none is not a number" },
    }) do
      local words = {}
      for word in case[1]:gmatch("%S+") do
        words[#words + 1] = word
      end
      assert.equal(case[2], error_of(unpack(words)))
    end
    assert.equal("--regression-target belongs to tasks with scores, such as STS-B; "
      .. COLA.task.title .. " has classes", error_of("--regression-target"))
  end)

  -- Words of fairseq, and what they come to.
  local PUT = {
    { { "--bf16" }, "precision", "bf16" },
    { { "--cpu" }, "device", "cpu" },
    { { "--truncate-sequence" }, "shorten_method", "truncate" },
    { { "--no-progress-bar" }, "log_format", "simple" },
    { { "--log-format", "tqdm" }, "log_format", "bar" },
    { { "--finetune-from-model", "m.pt" }, "restore_file", "m.pt" },
    { { "--finetune-from-model=m.pt" }, "restore_file", "m.pt" },
    { { "--restore-file", "checkpoint_last.pt" }, "restore_file", nil },
    { { "--max-update", "0" }, "max_update", nil },
    { { "--max-update=0" }, "max_update", nil },
    { { "--max-sentences", "7" }, "batch_size", 7 },
    { { "--max-sentences-valid", "7" }, "batch_size_valid", 7 },
    { { "--update-freq", "4" }, "update_freq", 4 },
    { { "--update-freq", "4,2" }, "update_freq", { 4, 2 } },
    { { "--lr", "1e-5,2e-5" }, "lr", { 1e-5, 2e-5 } },
    { { "--lr", "[1e-5]" }, "lr", 1e-5 },
    { { "--adam-betas", "(0.9, 0.98)" }, "adam_betas", { 0.9, 0.98 } },
    { { "--patience", "-1" }, "patience", -1 },
    { { "--keep-last-epochs", "-1" }, "keep_last_epochs", -1 },
    { { "--lr-scheduler", "step", "--lr-deacy-period", "9" }, "lr_decay_period", 9 },
    { { "--lr-scheduler", "tri_stage", "--warmup-steps", "9", "--decay-steps", "2" },
      "warmup_steps", 9 },
    { { "--max-epoch", "0", "--max-update", "9" }, "max_epoch", 0 },
    { { "--skip-invalid-size-inputs-valid-test" }, "skip_invalid_size_inputs_valid_test", true },
  }

  it("that stands for other words puts them in", function()
    for _, case in ipairs(PUT) do
      local o = read(unpack(case[1]))
      assert.same(case[3], o[case[2]], table.concat(case[1], " "))
      assert.same({}, o.notes)
    end
  end)

  it("without effect is listed with the others, once", function()
    assert.same({ "without effect here: --ddp-backend, --num-workers, --find-unused-parameters" },
      read("--ddp-backend", "no_c10d", "--num-workers=4", "--find-unused-parameters",
        "--num-workers", "0").notes)
  end)

  it("of a schedule that is not used is mentioned with it", function()
    assert.same({ "--power has no effect with cosine" },
      read("--lr-scheduler", "cosine", "--power", "2").notes)
  end)

  it("that stands for a flag which a recipe lacks says so", function()
    assert.has_error(function()
      options.read({ "--cpu" }, { name = "x.lua", usage = "x.lua", flags = {} })
    end, "--cpu is --device cpu here")
  end)
end)

-- The commands of the fork's scripts: task, DATA, its classes, lr, updates, warm-up, sentences, and
-- what chooses the checkpoint.
local SCRIPTS = {
  { "cola", "CoLA-bin/", "2", "1e-05", "2668", "160", "32" },
  { "mrpc", "MRPC-bin/", "2", "1e-05", "1148", "68", "32" },
  { "rte", "RTE-bin/", "2", "2e-05", "1018", "61", "32" },
  { "sst2", "SST-2-bin/", "2", "1e-05", "10467", "628", "64" },
  { "stsb", "STS-B-bin/", "1", "2e-05", "1799", "107", "32" },
}

-- The words behind the program's name.
local function command(script)
  local _, data, classes, lr, updates, warmup, sentences = unpack(script)
  local best = classes == "1" and "--regression-target --best-checkpoint-metric loss"
    or "--best-checkpoint-metric accuracy --maximize-best-checkpoint-metric"
  local text = data .. " --restore-file checkpoint/roberta.large/model.pt"
    .. " --batch-size " .. sentences .. " --max-tokens 4400"
    .. " --task sentence_prediction --add-prev-output-tokens --layernorm-embedding"
    .. " --reset-optimizer --reset-dataloader --reset-meters --required-batch-size-multiple 1"
    .. " --init-token 0 --separator-token 2 --arch roberta_large --criterion sentence_prediction"
    .. " --num-classes " .. classes .. " --dropout 0.1 --attention-dropout 0.1 --weight-decay 0.01"
    .. " --optimizer samsgd --adam-betas BETAS --adam-eps 1e-06 --clip-norm 0.0 --rho 0.05"
    .. " --sam-type fisher-sam --beta 0.5 --gamma 0.5 --mask-iter-e 100 --clip-norm 0.0"
    .. " --lr-scheduler polynomial_decay --lr " .. lr .. " --total-num-update " .. updates
    .. " --warmup-updates " .. warmup .. " --fp16-no-flatten-grads --max-epoch 10"
    .. " --find-unused-parameters --save-dir out " .. best
    .. " --no-epoch-checkpoints --log-format json --log-interval 100"
  local words = {}
  for word in text:gmatch("%S+") do
    words[#words + 1] = word == "BETAS" and "(0.9, 0.98)" or word
  end
  return words
end

describe("the fork's command", function()
  for _, script in ipairs(SCRIPTS) do
    it("for " .. script[1] .. " says here what it says there", function()
      local o = options.read(command(script), spec_of(script[1]))
      local expected = {
        data = script[2], restore_file = "checkpoint/roberta.large/model.pt",
        batch_size = tonumber(script[7]), max_tokens = 4400, required_batch_size_multiple = 1,
        dropout = 0.1, attention_dropout = 0.1, weight_decay = 0.01, optimizer = "sam",
        sam_type = "fisher-sam", adam_betas = { 0.9, 0.98 }, adam_eps = 1e-6, clip_norm = 0,
        rho = 0.05, mask_iter_e = 100, lr_scheduler = "polynomial_decay", lr = tonumber(script[4]),
        total_num_update = tonumber(script[5]), warmup_updates = tonumber(script[6]),
        max_epoch = 10, save_dir = "out", no_epoch_checkpoints = true, log_format = "json",
        log_interval = 100, shorten_method = "none", seed = 1, update_freq = 1,
        best_checkpoint_metric = script[3] == "1" and "loss" or "accuracy",
      }
      for name, value in pairs(expected) do
        assert.same(value, o[name], name)
      end
      assert.equal("without effect here: --add-prev-output-tokens, --fp16-no-flatten-grads, "
        .. "--find-unused-parameters", o.notes[1])
    end)
  end

  it("has fairseq's learning rate at every update", function()
    local o = options.read(command(SCRIPTS[1]), spec_of("cola"))
    local path = "spec/golden/schedules.json"
    local case = json.decode(helper.read_file(path), path)[1] -- CoLA's: 10 epochs of 268 updates
    local plan = progress.plan(o, { updates = function(_, epochs)
      return epochs * 268
    end })
    local settings = { lr = o.lr, total_num_update = plan.total, warmup_updates = plan.warmup }
    local rate = schedule.new(o.lr_scheduler, settings)
    assert.equal(2680, plan.updates)
    for k, n in ipairs(case.updates) do
      assert.equal(case.rates[k], rate(n))
    end
    assert.equal(0, rate(2668)) -- twelve updates of the paper's run do nothing
  end)
end)
