--- The training loop, with a model, pass and optimizer of plain Lua: a logistic regression on words
-- under SGD with momentum. What is tested is the loop, its folder and its checkpoints.

local ffi = require("ffi")
local file = require("fsam.formats.file")
local helper = require("spec.helper")
local json = require("fsam.json")
local options = require("fsam.options")
local order = require("fsam.data.order")
local safetensors = require("fsam.formats.safetensors")
local tasks = require("fsam.task")
local train = require("fsam.train")

local WORDS = 12
local BYTES = 4 * (WORDS + 1)

-- -- the stand-ins --------------------------------------------------------------------------------

local tokenizer = {
  encode = function(_, text)
    local ids = {}
    for id in text:gmatch("%d+") do
      ids[#ids + 1] = tonumber(id)
    end
    return ids
  end,
  save = function(_, folder)
    file.write(folder .. "/vocab.txt", "0 … 11\n")
  end,
}

local function floats()
  return ffi.new("float[?]", WORDS + 1)
end

local function new_model(path)
  local w, momentum, mask = floats(), floats(), ffi.new("uint64_t[1]", 5)
  local count = ffi.new("double[1]", 0)
  if path then
    local source = safetensors.open(path .. "/model.safetensors")
    source:get("w"):read_bytes(w, BYTES)
    source:close()
  end
  return {
    w = w, momentum = momentum, counter = count, count = WORDS + 1, announcements = {},
    config = { model_type = "words", num_hidden_layers = 0, hidden_size = 1 },
    max_positions = 9, position_offset = 0, pad_id = 0,
    params = { state = function()
      return {
        vectors = { w = { data = w, bytes = BYTES }, momentum = { data = momentum, bytes = BYTES } },
        masks = { some = { data = mask, bytes = 8 } },
        scalars = { count = { data = count, bytes = 8 } },
      }
    end },
    save = function(_, folder)
      file.write(folder .. "/config.json", "{}\n")
      safetensors.write(folder .. "/model.safetensors",
        { { name = "w", dtype = "F32", shape = { WORDS + 1 }, data = w, bytes = BYTES } })
    end,
  }
end

local function score(model, sample)
  local x = model.w[WORDS]
  for _, id in ipairs(sample.ids) do
    x = x + model.w[id]
  end
  return x
end

local function loss_of(x, label)
  return math.log(1 + math.exp(label == 1 and -x or x))
end

local function new_pass(model)
  return {
    bind = function(_, o)
      return function()
        local g, losses, correct = floats(), {}, 0
        for _, host in ipairs(o.batches) do
          for _, sample in ipairs(host.list) do
            local x = score(model, sample)
            local d = 1 / (1 + math.exp(-x)) - sample.label
            losses[#losses + 1] = loss_of(x, sample.label)
            correct = correct + ((x > 0) == (sample.label == 1) and 1 or 0)
            g[WORDS] = g[WORDS] + d
            for _, id in ipairs(sample.ids) do
              g[id] = g[id] + d
            end
          end
        end
        return g, losses, correct
      end
    end,
    predict = function(_, host)
      local logits, losses = {}, {}
      for i, sample in ipairs(host.list) do
        local x = score(model, sample)
        logits[i], losses[i] = { 0, x }, loss_of(x, sample.label)
      end
      return logits, losses
    end,
  }
end

-- `fails(step)` gives a reason to skip the step, `after(step)` is called behind it.
local function new_optimizer(model, hooks)
  local self = { applied = 0 }
  function self.step(_, o)
    local g, losses, correct = o.evaluate()
    local loss = 0
    for _, one in ipairs(losses) do
      loss = loss + one / o.samples
    end
    local reason = hooks.fails and hooks.fails(o.step)
    if not reason then
      for i = 0, WORDS do
        model.momentum[i] = 0.9 * model.momentum[i] + g[i] / o.samples
        model.w[i] = model.w[i] - o.lr * model.momentum[i]
      end
      self.applied = self.applied + 1
      model.counter[0] = self.applied / 3
    end
    if hooks.after then
      hooks.after(o)
    end
    return { loss = loss, losses = losses, correct = correct, gnorm = 1, dnorm = 2, enorm = 0,
      skipped = reason }
  end
  function self.state()
    return { applied = self.applied }
  end
  function self.restore(_, state)
    self.applied = state.applied
  end
  self.prepare_evaluation = function() end
  return self
end

-- Texts of numbers; label 1 where small numbers outweigh.
local function dataset(n, seed)
  local random, samples = order.RandomState(seed), {}
  for i = 1, n do
    local words, sum = {}, 0
    for k = 1, 3 + random:interval(4) do
      local id = random:interval(WORDS - 1)
      words[k], sum = id, sum + (id < 6 and 1 or -1)
    end
    samples[i] = { text = table.concat(words, " "), label = sum > 0 and 1 or 0,
      phenomenon = i % 2 == 0 and "even" or "odd" }
  end
  return { name = "numbers", samples = samples, labels = { "large", "small" } }
end

-- Checkpoints wait for the disk; memory is quicker, where the system has it as a folder.
local function temp_dir()
  local name = os.tmpname()
  os.remove(name)
  name = file.kind("/dev/shm") == "directory" and "/dev/shm/" .. name:match("[^/]*$") or name
  file.make_folder(name)
  return name
end

-- -- a run ----------------------------------------------------------------------------------------

local SPEC = train.flags.spec({ name = "numbers.lua", usage = "numbers.lua", data = "none",
  metrics = { "mcc", "accuracy", "f1", "loss" } })

-- Runs the loop as a recipe would. Returns summary (nil when finished before), run, model, screen.
local function go(words, hooks)
  hooks = hooks or {}
  local arguments = { "--lr", "0.5", "--batch-size", "8", "--max-epoch", "4", "--log-format",
    "simple", "--optimizer", "sgd" }
  for _, word in ipairs(words) do
    arguments[#arguments + 1] = word
  end
  local o = options.read(arguments, SPEC)
  o.precision = "fp32"
  local run = train.open(o)
  if run.finished then
    return nil, run
  end
  local model = new_model(run.source)
  local task = tasks.new({ train = dataset(hooks.samples or 60, 0), dev = dataset(20, 1),
    tokenizer = tokenizer, model = model, options = o })
  local path = os.tmpname()
  local out = assert(io.open(path, "w"))
  local ok, result = pcall(train.run, {
    options = o, run = run, task = task, model = model, pass = hooks.pass or new_pass(model),
    optimizer = new_optimizer(model, hooks), report = train.report(o, task.metrics, out),
  })
  out:close()
  local screen = helper.read_file(path)
  os.remove(path)
  if not ok then
    error(result, 0)
  end
  return result, run, model, screen
end

local function lines_of(path)
  local lines = {}
  for line in helper.read_file(path):gmatch("[^\n]+") do
    lines[#lines + 1] = json.decode(line, path)
  end
  return lines
end

local function bytes_of(folder, name)
  return assert(helper.read_file(folder .. "/checkpoint_last/" .. name))
end

local function same_bytes(a, b)
  for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
    assert.is_true(bytes_of(a, name) == bytes_of(b, name), name .. " differs")
  end
end

describe("the loop", function()
  local folder

  before_each(function()
    folder = temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  it("learns, keeps the best and the last, and says so", function()
    local result, _, _, screen = go({ "--save-dir", folder .. "/run" })
    assert.equal("epochs", result.why)
    assert.equal(4 * 8, result.updates)
    assert.is_true(result.best.values.accuracy >= 0.9)
    assert.equal(4, result.last.epoch)
    for _, name in ipairs({ "checkpoint_best", "checkpoint_last" }) do
      for _, part in ipairs({ "config.json", "model.safetensors", "vocab.txt", "state.safetensors",
        "trainer.json" }) do
        assert.is_string(helper.read_file(folder .. "/run/" .. name .. "/" .. part))
      end
    end
    assert.matches("\nbest     epoch %d", screen)
    assert.matches("checkpoint_best\n", screen, 1, true)
  end)

  it("writes an update per line to train.log, and results.json", function()
    local result = go({ "--save-dir", folder .. "/run", "--max-epoch", "2" })
    local steps, epochs = 0, 0
    for _, line in ipairs(lines_of(folder .. "/run/train.log")) do
      if line.event == "step" then
        assert.equal(steps, line.step)
        assert.is_number(line.loss)
        steps = steps + 1
      elseif line.event == "epoch" then
        epochs = epochs + 1
        assert.is_number(line.dev.mcc)
      end
    end
    assert.equal(16, steps)
    assert.equal(2, epochs)
    local results = json.decode(helper.read_file(folder .. "/run/results.json"), "results.json")
    assert.equal(result.best.values.mcc, results.best.mcc)
    assert.equal(result.last.values.accuracy, results.last.accuracy)
    assert.is_number(results.best.by_kind.even)
    assert.equal(1, results.seed)
  end)

  it("accumulates: half the updates of twice the samples", function()
    local samples = {}
    go({ "--no-save", "--update-freq", "2", "--max-epoch", "1" }, { after = function(o)
      samples[#samples + 1] = o.samples
      assert.equal(2, o.micro_batches)
    end })
    table.sort(samples)
    assert.same({ 12, 16, 16, 16 }, samples)
  end)

  it("plans the learning rate: 6 % warm-up, then down over all updates", function()
    local rates = {}
    go({ "--no-save", "--batch-size", "1", "--max-epoch", "1", "--max-update", "50" }, {
      after = function(o)
        rates[o.step] = o.lr
      end,
    })
    assert.equal(0, rates[0])
    assert.near(0.5 / 3, rates[1], 1e-12)
    assert.equal(0.5, rates[3])
    assert.near(0.5 / 47, rates[49], 1e-12)
    assert.is_nil(rates[50])
  end)

  it("stops when nothing improves for --patience validations", function()
    local flat = { bind = function()
      return function()
        return floats(), { 1 }, 0
      end
    end, predict = function(_, host)
      local logits, losses = {}, {}
      for i in ipairs(host.list) do
        logits[i], losses[i] = { 0, 1 }, 1
      end
      return logits, losses
    end }
    local result, _, _, screen = go({ "--no-save", "--patience", "2" }, { pass = flat })
    assert.equal("patience", result.why)
    assert.equal(3, result.last.epoch)
    assert.equal(3, result.best.epoch) -- ties go to the later epoch
    assert.matches('every development sample was judged "small": the run has collapsed', screen, 1,
      true)
  end)

  it("writes nothing with --no-save", function()
    local result, run = go({ "--no-save", "--save-dir", folder .. "/run" })
    assert.equal("epochs", result.why)
    assert.is_nil(run.folder)
    assert.is_nil(file.kind(folder .. "/run"))
  end)

  it("uses only so many samples with --max-train-samples", function()
    assert.equal(2 * 4, go({ "--no-save", "--max-train-samples", "16" }).updates)
  end)

  it("validates only, with --valid-only", function()
    go({ "--save-dir", folder .. "/run" })
    local best = folder .. "/run/checkpoint_best"
    local saved = json.decode(helper.read_file(folder .. "/run/results.json"), "results.json")
    local result = go({ "--valid-only", "--restore-file", best })
    assert.equal(saved.best.mcc, result.last.values.mcc)
    assert.equal("valid-only", result.why)
  end)
end)

describe("a skipped update", function()
  it("is said and counted, and the run goes on", function()
    local result, _, _, screen = go({ "--no-save" }, { fails = function(step)
      return step == 5 and "the loss is nan" or nil
    end })
    assert.equal(1, result.skipped)
    assert.equal(32, result.updates)
    assert.matches("warning  update 5 skipped: the loss is nan\n", screen, 1, true)
  end)

  it("ends the run after ten in a row, naming the first", function()
    assert.has_error(function()
      go({ "--no-save" }, { fails = function(step)
        return (step == 2 or step >= 7) and "the loss is nan" or nil
      end })
    end, "10 updates in a row were skipped, the first of them update 7: the loss is nan; lower "
      .. "--lr or --rho")
  end)
end)

describe("a run folder", function()
  local folder, run

  before_each(function()
    folder = temp_dir()
    run = folder .. "/run"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  -- Fails at an update, as a killed program would: nothing is saved on the way out.
  local function killed_at(step, words)
    local ok = pcall(go, words, { after = function(o)
      if o.step == step then
        error("killed")
      end
    end })
    assert.is_false(ok)
  end

  it("continues from a saved update and ends with the same bytes", function()
    go({ "--save-dir", folder .. "/whole" })
    for _, step in ipairs({ 4, 13, 24, 30 }) do
      killed_at(step, { "--save-dir", run, "--save-interval-updates", "3" })
      local result, _, _, screen = go({ "--save-dir", run })
      assert.matches("continue " .. run, screen, 1, true)
      assert.equal(32, result.updates)
      same_bytes(folder .. "/whole", run)
      helper.remove_dir(run)
    end
  end)

  it("keeps best, patience and the averages of the epoch over an interruption", function()
    local whole = go({ "--save-dir", folder .. "/whole" })
    killed_at(20, { "--save-dir", run, "--save-interval-updates", "3" })
    local continued = go({ "--save-dir", run })
    assert.same(whole.best, continued.best)
    local function epochs(path)
      local list = {}
      for _, line in ipairs(lines_of(path .. "/train.log")) do
        if line.event == "epoch" then
          list[#list + 1] = { line.epoch, line.loss, line.accuracy, line.dev }
        end
      end
      return list
    end
    assert.same(epochs(folder .. "/whole"), epochs(run))
  end)

  it("continues with another length: as if it had been that long where the rate is planned",
    function()
      local planned = { "--total-num-update", "100", "--warmup-updates", "6" }
      local function with(...)
        local words = { unpack(planned) }
        for _, word in ipairs({ ... }) do
          words[#words + 1] = word
        end
        return words
      end
      go(with("--save-dir", folder .. "/whole"))
      go(with("--save-dir", run, "--max-update", "11"))
      go(with("--save-dir", run, "--max-epoch", "3"))
      go(with("--save-dir", run))
      same_bytes(folder .. "/whole", run)
    end)

  it("that is finished says so and stops", function()
    go({ "--save-dir", run })
    local result, opened = go({ "--save-dir", run })
    assert.is_nil(result)
    assert.equal(run .. " is finished (4 epochs); raise --max-epoch or --max-update to go on, or "
      .. "give --restart to begin anew", opened.finished)
  end)

  it("begins anew with --restart", function()
    go({ "--save-dir", run })
    local result, _, _, screen = go({ "--save-dir", run, "--restart", "--seed", "2" })
    assert.equal(32, result.updates)
    assert.is_nil(screen:find("continue", 1, true))
    local first = lines_of(run .. "/train.log")[1]
    assert.equal(0, first.step)
  end)

  it("refuses other mathematics, listing old and new", function()
    go({ "--save-dir", run, "--max-epoch", "1" })
    assert.has_error(function()
      go({ "--save-dir", run, "--lr", "0.25", "--update-freq", "2", "--threads", "1" })
    end, "the run in " .. run .. " was started with --lr 0.5 (now 0.25), --update-freq 1 (now 2); "
      .. "give the same flags, another --save-dir, or --restart to begin anew")
  end)

  it("refuses other data", function()
    go({ "--save-dir", run, "--max-epoch", "1" })
    local ok, err = pcall(go, { "--save-dir", run }, { samples = 59 })
    assert.is_false(ok)
    assert.matches("was started on other data (60 training and 20 development samples, now 59 and "
      .. "20", tostring(err), 1, true)
  end)

  it("is not a file", function()
    helper.write_file(run, "")
    assert.has_error(function()
      go({ "--save-dir", run })
    end, "--save-dir " .. run .. " is a file, expected a folder")
  end)

  it("that cannot be written costs no checkpoint", function()
    go({ "--save-dir", run, "--max-epoch", "1" })
    local before = bytes_of(run, "model.safetensors")
    local save = tokenizer.save
    tokenizer.save = function()
      require("fsam.errors").raise("cannot write vocab.txt: no space")
    end
    local ok, err = pcall(go, { "--save-dir", run })
    tokenizer.save = save
    assert.is_false(ok)
    assert.equal("cannot write vocab.txt: no space; the checkpoint before it is intact: " .. run
      .. "/checkpoint_best", tostring(err))
    assert.equal(before, bytes_of(run, "model.safetensors"))
  end)
end)

describe("the JSON log", function()
  it("has fairseq's fields in fairseq's order", function()
    local _, _, _, screen = go({ "--no-save", "--log-format", "json", "--log-interval", "4",
      "--max-epoch", "2" })
    local inner = screen:match("| INFO | train_inner | ({[^\n]*})")
    assert.matches('^{"epoch": 1, "update": 0%.5, "loss": "[%d.]+", "nll_loss": "[%d.]+", '
      .. '"accuracy": "[%d.]+", "wps": "[%d.e+]+", "ups": "[%d.e+]+", "wpb": "[%d.]+", '
      .. '"bsz": "8", "num_updates": "4", "lr": "[%d.e-]+", "gnorm": "1", "train_wall": "%d+", '
      .. '"wall": "%d+"}$', inner)
    local valid = {}
    for line in screen:gmatch("| INFO | valid | ({[^\n]*})") do
      valid[#valid + 1] = json.decode(line, "line")
    end
    assert.equal("16", valid[2].valid_num_updates)
    assert.is_nil(valid[1].valid_best_mcc)
    assert.is_string(valid[2].valid_best_mcc)
    assert.matches("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d | INFO | ", screen)
  end)

  it("gives losses in bits", function()
    local _, _, _, screen = go({ "--no-save", "--log-format", "json", "--log-interval", "1",
      "--max-update", "1" })
    -- At w = 0 each loss is log 2: one bit.
    assert.matches('"loss": "1", ', screen, 1, true)
  end)
end)
