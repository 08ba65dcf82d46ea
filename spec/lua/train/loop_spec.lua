--- The training loop over stand-ins (words.lua): updates, plans, validation, what it leaves.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local members = require("spec.lua.ranks.members")
local words = require("spec.lua.train.words")

describe("the loop", function()
  local folder

  before_each(function()
    folder = words.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  it("learns, keeps the best and the last, and says so", function()
    local result, _, _, screen = words.go({ "--save-dir", folder .. "/run" })
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
    local result = words.go({ "--save-dir", folder .. "/run", "--max-epoch", "2" })
    local steps, epochs = 0, 0
    for _, line in ipairs(words.lines_of(folder .. "/run/train.log")) do
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
    words.go({ "--no-save", "--update-freq", "2", "--max-epoch", "1" }, { after = function(o)
      samples[#samples + 1] = o.samples
      assert.equal(2, o.micro_batches)
    end })
    table.sort(samples)
    assert.same({ 12, 16, 16, 16 }, samples)
  end)

  it("plans the learning rate: 6 % warm-up, then down over all updates", function()
    local rates = {}
    words.go({ "--no-save", "--batch-size", "1", "--max-epoch", "1", "--max-update", "50" }, {
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
        return words.zeros(), { 1 }, 0
      end
    end, predict = function(_, host)
      local logits, losses = {}, {}
      for i in ipairs(host.list) do
        logits[i], losses[i] = { 0, 1 }, 1
      end
      return logits, losses
    end }
    local result, _, _, screen = words.go({ "--no-save", "--patience", "2" }, { pass = flat })
    assert.equal("patience", result.why)
    assert.equal(3, result.last.epoch)
    assert.equal(3, result.best.epoch) -- ties go to the later epoch
    assert.matches('every development sample was judged "small": the run has collapsed', screen, 1,
      true)
  end)

  it("of several ranks speaks and saves on the first, and shares out the batches", function()
    local ended = members.run(2, function(r)
      local samples = 0
      local result, _, _, screen = words.go({ "--save-dir", folder .. "/run" .. r.rank,
        "--max-epoch", "1" }, { ranks = r, after = function(o)
        samples = samples + o.samples
        assert.equal(r, o.ranks)
      end })
      return { updates = result.updates, folder = result.folder, screen = screen,
        samples = samples }
    end)
    assert.same({ 4, 4, 60, 60 }, { ended[1].updates, ended[2].updates, ended[1].samples,
      ended[2].samples })
    assert.matches("\nbest     epoch %d", ended[1].screen)
    assert.equal("", ended[2].screen)
    assert.is_nil(ended[2].folder)
    assert.equal("directory", file.kind(folder .. "/run0"))
    assert.is_nil(file.kind(folder .. "/run1"))
  end)

  it("writes nothing with --no-save", function()
    local result, run = words.go({ "--no-save", "--save-dir", folder .. "/run" })
    assert.equal("epochs", result.why)
    assert.is_nil(run.folder)
    assert.is_nil(file.kind(folder .. "/run"))
  end)

  it("uses only so many samples with --max-train-samples", function()
    assert.equal(2 * 4, words.go({ "--no-save", "--max-train-samples", "16" }).updates)
  end)

  it("validates only, with --valid-only", function()
    words.go({ "--save-dir", folder .. "/run" })
    local best = folder .. "/run/checkpoint_best"
    local saved = json.decode(helper.read_file(folder .. "/run/results.json"), "results.json")
    local result = words.go({ "--valid-only", "--restore-file", best })
    assert.equal(saved.best.mcc, result.last.values.mcc)
    assert.equal("valid-only", result.why)
  end)
end)

describe("a skipped update", function()
  it("is reported and counted, and the run goes on", function()
    local result, _, _, screen = words.go({ "--no-save" }, { fails = function(step)
      return step == 5 and "the loss is nan" or nil
    end })
    assert.equal(1, result.skipped)
    assert.equal(32, result.updates)
    assert.matches("warning  step 5 skipped: the loss is nan\n", screen, 1, true)
  end)

  it("ends the run after ten in a row, naming the first", function()
    assert.has_error(function()
      words.go({ "--no-save" }, { fails = function(step)
        return (step == 2 or step >= 7) and "the loss is nan" or nil
      end })
    end, "10 steps in a row were skipped, the first of them step 7: the loss is nan; lower "
      .. "--lr or --rho")
  end)
end)
