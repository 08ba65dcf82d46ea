--- fsam.train.setup: the parts of a run, and those that a recipe replaces.

local fsam = require("fsam")
local helper = require("spec.helper")
local options = require("fsam.options")
local tasks = require("fsam.data.tasks")

local VOCAB = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sun", "rain", "wet", "dry" }

-- Rain is wet: four pairs of words, over and over.
local function samples(n)
  local list, pairs_of = {}, { { "rain", "wet", 1 }, { "sun", "dry", 1 }, { "rain", "dry", 0 },
    { "sun", "wet", 0 } }
  for i = 1, n do
    local p = pairs_of[(i - 1) % 4 + 1]
    list[i] = { text = p[1], pair = p[2], label = p[3] }
  end
  return { samples = list }
end

local function generate()
  return { train = samples(24), dev = samples(8), vocab = VOCAB }
end

tasks.define("weather", {
  title = "Weather", labels = { "no", "yes" }, metrics = { "accuracy", "loss" },
  built_in = { name = "built-in weather", generate = generate },
})

local PROFILES = { { label = "always", when = function() return true end,
  values = { arch = "tiny", dropout = 0, attention_dropout = 0 } } }
local SPEC = fsam.train.flags.spec({ name = "weather.lua", usage = "weather.lua", task = "weather",
  profiles = PROFILES })

local function read(words, spec)
  local all = { "--max-update", "3", "--batch-size", "8", "--threads", "1", "--log-format", "none",
    "--num-samples", "4", "--lr", "1e-3", "--device", helper.device }
  for _, word in ipairs(words or { "--no-save" }) do
    all[#all + 1] = word
  end
  return options.read(all, spec or SPEC)
end

local function fails(message, own)
  local o = read()
  assert.has_error(function()
    fsam.train.setup(o, own)
  end, message)
end

describe("setup", function()
  it("makes every part of a run that trains", function()
    local parts = fsam.train.setup(read())
    assert.equal("built-in weather", parts.task.name)
    assert.equal("accuracy", parts.options.best_checkpoint_metric)
    assert.equal(tasks.get("weather"), parts.row)
    assert.equal("cross_entropy", parts.pass.loss)
    assert.same({ "no", "yes" }, parts.model.config.labels)
    -- [CLS] rain [SEP] wet [SEP]
    assert.same({ 2, 6, 3, 7, 3 }, parts.task.train[1].ids)
    assert.same({ 0, 0, 0, 1, 1 }, parts.task.train[1].token_types)
    local result = fsam.train.run(parts)
    assert.equal(3, result.updates)
    assert.is_number(result.best.values.accuracy)
  end)

  it("takes the recipe's corpus", function()
    local mine = generate()
    mine.name, mine.dev = "mine", samples(4)
    local parts = fsam.train.setup(read(), { corpus = mine })
    assert.equal("mine", parts.task.name)
    assert.equal(4, #parts.task.dev)
    assert.equal(3, fsam.train.run(parts).updates)
    mine.train.samples[2].label = 2
    fails("Weather, sample 2 of train: got the label 2, expected 0 to 1 (no, yes)",
      { corpus = mine })
    mine.train.samples[2].label, mine.vocab = 0, nil
    fails("mine has no vocabulary of its own; give --restore-file, a pretrained model",
      { corpus = mine })
  end)

  it("takes the recipe's model and optimizer, made of the parts before them", function()
    local seen = {}
    local parts = fsam.train.setup(read(), {
      model = function(t)
        seen.model = t.tokenizer.vocab_size
        return fsam.models.new({ arch = "tiny", vocab_size = t.tokenizer.vocab_size, seed = 3,
          pad_id = t.tokenizer.pad_id, labels = t.row.labels, device = t.run.device, dropout = 0,
          attention_dropout = 0 })
      end,
      optimizer = function(t)
        seen.optimizer = t.model.count
        local function step(_, s)
          local g = t.model.params.g
          local losses = s.evaluate({ into = g, backward = true })
          t.model.params.w:set(t.model.params.w - g * s.lr)
          t.model.params:sync()
          return { loss = losses:mean(), gnorm = g:norm():read() }
        end
        return { step = step, prepare_evaluation = function() end,
          state = function() return {} end }
      end,
    })
    assert.same({ model = 9, optimizer = parts.model.count }, seen)
    local before = parts.model.params.w:norm():read()
    assert.equal(3, fsam.train.run(parts).updates)
    assert.is_not.equal(before, parts.model.params.w:norm():read())
  end)

  it("takes the recipe's task, whose metrics must have the one that decides", function()
    local function own(metrics)
      return { task = function(t)
        return fsam.task.new({ row = { labels = t.row.labels, metrics = metrics },
          corpus = t.corpus, tokenizer = t.tokenizer, model = t.model, options = t.options })
      end }
    end
    local parts = fsam.train.setup(read(), own({ "accuracy", "f1" }))
    assert.same({ "accuracy", "f1" }, parts.task.metrics)
    fails("--best-checkpoint-metric accuracy is unknown (mcc, loss)", own({ "mcc", "loss" }))
  end)

  it("learns scores with a squared loss", function()
    local function numbers(n)
      local dataset = samples(n)
      for i, sample in ipairs(dataset.samples) do
        sample.label = i / n
      end
      return dataset
    end
    tasks.define("amount", {
      scores = { min = 0, max = 1 }, metrics = { "pearson", "spearman", "loss" },
      built_in = { name = "amounts", generate = function()
        return { train = numbers(24), dev = numbers(8), vocab = VOCAB }
      end },
    })
    local parts = fsam.train.setup(read(nil, fsam.train.flags.spec({ name = "amount.lua",
      usage = "amount.lua", task = "amount", profiles = PROFILES })))
    assert.equal("mse", parts.pass.loss)
    assert.equal(1, parts.model.config.num_labels)
    local result = fsam.train.run(parts)
    assert.equal(3, result.updates)
    local pearson = result.last.values.pearson
    assert.is_true(pearson >= -1 and pearson <= 1)
    assert.is_nil(result.last.values.accuracy)
  end)

  it("says that a run is finished, and makes nothing", function()
    local folder = helper.memory_dir()
    local words = { "--save-dir", folder .. "/run" }
    fsam.train.run(assert(fsam.train.setup(read(words))))
    local parts, why = fsam.train.setup(read(words), { corpus = function()
      error("not needed")
    end })
    helper.remove_dir(folder)
    assert.is_nil(parts)
    assert.equal(folder .. "/run is finished (3 updates); raise --max-epoch or --max-update to go "
      .. "on, or give --restart to begin anew", why)
  end)

  it("refuses parts that it does not know or that are none", function()
    fails("setup: the part tokeniser is unknown; did you mean tokenizer? (ranks, run, corpus, "
      .. "tokenizer, model, task, pass, optimizer)", { tokeniser = {} })
    fails("setup: the recipe's corpus is nil, expected a table, or a function that returns one",
      { corpus = function() end })
    fails("setup: the recipe's model is a string, expected a table, or a function that returns one",
      { model = "tiny" })
  end)
end)
