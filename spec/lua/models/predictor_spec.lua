-- fsam.load: a saved model to ask and to look into, as the REPL uses it.
local devices = require("fsam.base.device")
local helper = require("spec.helper")
local load_model = require("fsam.models.predictor")
local models = require("fsam.models")
local show = require("fsam.program.show").show

describe("fsam.load", function()
  local folder, model
  local TEXT = "the keys near the cabinet laugh"

  setup(function()
    folder = helper.temp_dir()
    local vocab = require("fsam.data.acceptability").generate({ train = 64, dev = 16 }).vocab
    local tokenizer = require("fsam.text").wordpiece({ vocab = vocab })
    local made = models.new({ arch = "tiny", vocab_size = #vocab, pad_id = tokenizer.pad_id,
      labels = { "bad", "good" }, device = devices.open("cpu"), seed = 4 })
    made:save(folder)
    tokenizer:save(folder)
    model = load_model(folder)
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  it("predicts: a label, probabilities that sum to 1, and a line to read", function()
    local p = model:predict(TEXT)
    assert.near({ 1 }, { p.probabilities[1] + p.probabilities[2] }, 1e-12)
    local best = p.probabilities[1] > p.probabilities[2] and "bad" or "good"
    assert.equal(best, p.label)
    assert.matches("^" .. best .. " 0%.%d%d   %l+ 0%.%d%d$", tostring(p))
  end)

  it("gives the gradient of one text's loss: its length is the slope along itself", function()
    local P = model.params
    local g, loss = model:gradient(TEXT, "good")
    assert.near(0, (g - P.g):max_abs():read(), 0)
    assert.near({ -math.log(model:predict(TEXT).probabilities[2]) }, { loss }, 1e-6)
    local norm, h = g:norm():read(), 1e-3
    local function loss_at(step)
      P.c:set(P.w + g * (step / norm))
      P:flush()
      local logits = model.pass:predict(require("fsam.data.packing").pack({ { label = 1,
        ids = model.tokenizer:encode(TEXT) } }, { pad_id = model.pad_id, position_offset = 0 }))[1]
      return math.log(math.exp(logits[1] - logits[2]) + 1)
    end
    local slope = (loss_at(h) - loss_at(-h)) / (2 * h)
    assert.is_true(math.abs(slope - norm) < 2e-3 * norm, slope .. " " .. norm)
    P:sync() -- c is w again
    assert.near({ loss }, { select(2, model:gradient(TEXT, 1)) }, 0) -- by number
  end)

  it("predicts and saves with the weights that were just set", function()
    local P = model.params
    local before = model:predict(TEXT).logits[1]
    P.w:set(P.w * 1.5)
    local after = model:predict(TEXT).logits[1]
    assert.is_true(math.abs(after - before) > 1e-3)
    P.w:set(P.w * 0.5)
    model:save(folder)
    local saved = load_model(folder):predict(TEXT).logits
    assert.near(model:predict(TEXT).logits, saved, 0)
    P.w:set(P.w / 0.75)
  end)

  -- A checkpoint of a pretrained model looks like one that can answer. Its head is new each time.
  for part, change in pairs({
    ["new pooler: the file has none"] = { "model.safetensors", "bert%.pooler", "bert.polder" },
    ["new head: the file has none"] = { "model.safetensors", "classifier%.", "classifies." },
    ["new head: the file's is for another task (BertForMaskedLM)"] = { "config.json",
      "BertForSequenceClassification", "BertForMaskedLM" },
  }) do
    it("says what answers at random: " .. part, function()
      local copy = helper.temp_dir()
      model:save(copy)
      local path = copy .. "/" .. change[1]
      local bytes, found = helper.read_file(path):gsub(change[2], change[3])
      assert.is_true(found > 0)
      helper.write_file(path, bytes)
      local ok, err = pcall(load_model, copy, { untrained = "refuse" })
      assert.is_false(ok)
      assert.equal(copy .. " is not trained to answer (" .. part .. "); train it first, with one "
        .. "of recipes/", tostring(err))
      assert.equal(part, load_model(copy, { untrained = "accept" }).untrained)
      local _, _, said = helper.fsam_lua({ "-e", ("fsam.load(%q)"):format(copy) })
      assert.equal(copy .. " is not trained to answer (" .. part .. "): until it is, its labels "
        .. "are random\n", said)
      local code, out = helper.fsam_lua({ "recipes/predict.lua", copy, input = "the key\n" })
      assert.same({ 1, "" }, { code, out })
      helper.remove_dir(copy)
    end)
  end

  it("keeps the files that are there where it cannot save, and leaves no others", function()
    local P = model.params
    local function files(path)
      local found = {}
      for _, name in ipairs(require("fsam.base.file").entries(path)) do
        found[name] = helper.read_file(path .. "/" .. name)
      end
      return found
    end
    model:save(folder)
    helper.write_file(folder .. "/notes.txt", "mine")
    local before = files(folder)
    local kept = P:vector("kept_by_spec")
    kept:set(P.w)
    P.w:set(P.w * 3e38 * 3e38)
    for _, path in ipairs({ folder, folder .. "/new/one" }) do
      local ok, err = pcall(model.save, model, path)
      assert.is_false(ok)
      assert.equal(path .. "/model.safetensors: tensor ", tostring(err):match("^.*: tensor "))
    end
    P.w:set(kept)
    before.new = files(folder).new -- the folder above what was to be made
    assert.same(before, files(folder))
    assert.same({}, files(folder .. "/new"))
    model:save(folder) -- and what is there is replaced, but not what is the user's
    assert.equal("mine", helper.read_file(folder .. "/notes.txt"))
    os.remove(folder .. "/notes.txt")
  end)

  it("gives each gradient as a vector of its own", function()
    local one, two = model:gradient(TEXT, "good"), model:gradient(TEXT, "bad")
    local p = model:predict(TEXT).probabilities
    -- The two gradients of the logits are p - 1 times and p times the same vector.
    assert.near(-p[1] / (1 - p[1]), one:dot(two):read() / two:dot(two):read(), 1e-5)
    local sum = one + two
    model:gradient("another text", "bad")
    assert.near(one:norm():read() - two:norm():read(), sum:norm():read(), 1e-5)
  end)

  -- In a process of its own: behind all other specs LuaJIT at times keeps many more of them alive,
  -- for a reason that was not found.
  it("takes the memory of lost gradients again", function()
    local apart = helper.temp_dir()
    local script = helper.write_file(apart .. "/lost.lua", ([[
      local model = require("fsam").load(%q)
      local P = model.params
      local kept = model:gradient("the keys", "good")
      local before = P:memory().state
      for _ = 1, 100 do
        model:gradient("the keys", "good")
      end
      print(P:memory().state - before <= 8 * (P.total + 1024) * 4, kept:norm():read() > 0)]])
      :format(folder))
    local code, out, err = helper.shell(("%s/fsam-lua %s"):format(
      helper.quote(helper.build_dir()), script))
    helper.remove_dir(apart)
    assert.same({ 0, "true\ttrue\n", "" }, { code, out, err })
  end)

  it("looks at c where the user has set it since w changed", function()
    local P = model.params
    local at_w = model:predict(TEXT).logits[1]
    P.c:set(P.w * 1.5)
    local at_c = model:predict(TEXT).logits[1]
    assert.is_true(math.abs(at_c - at_w) > 1e-3)
    assert.near(at_c, model:predict(TEXT).logits[1], 0)
    P.w:set(P.w * 1.5)
    assert.near(at_c, model:predict(TEXT).logits[1], 1e-6)
    P.w:set(P.w / 1.5)
    assert.near(at_w, model:predict(TEXT).logits[1], 1e-6)
    P.c:set(P.w * 1.5)
    P:sync()
    assert.near(at_w, model:predict(TEXT).logits[1], 1e-6)
  end)

  it("saves a folder that it opens again: weights, tokenizer, labels", function()
    local saved = folder .. "/of/its own"
    model:save(saved)
    local again = load_model(saved)
    assert.same(model.config.labels, again.config.labels)
    assert.near(model:predict(TEXT).logits, again:predict(TEXT).logits, 0)
    assert.same(model.tokenizer:encode(TEXT), again.tokenizer:encode(TEXT))
  end)

  it("opens a run's best checkpoint, and says so when it cannot", function()
    local run = folder .. "/run"
    for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
      model.params.w:set(model.params.w * 1.25)
      model:save(run .. "/" .. name)
      helper.write_file(run .. "/" .. name .. "/trainer.json", "{}")
    end
    local best = model:predict(TEXT).logits
    model.params.w:set(model.params.w / 1.25 ^ 2)
    assert.near(best, load_model(run):predict(TEXT).logits, 0)
    helper.write_file(run .. "/checkpoint_best/trainer.json", "{")
    assert.has_error(function()
      load_model(run)
    end, run .. "/checkpoint_best is damaged or cannot be read now: it has no readable "
      .. "trainer.json; give the path of another checkpoint to open that")
    helper.remove_dir(run .. "/checkpoint_best")
    assert.is_true(math.abs(best[1] - load_model(run):predict(TEXT).logits[1]) > 1e-6)
  end)

  it("saves into no run's folder and no checkpoint", function()
    local run = folder .. "/other-run"
    local checkpoint = run .. "/checkpoint_last"
    model:save(checkpoint)
    helper.write_file(checkpoint .. "/trainer.json", "{}")
    assert.has_error(function()
      model:save(run)
    end, run .. " is a run's folder, and a model in it would hide the run's checkpoints; give "
      .. "another folder, such as " .. run .. "/saved")
    assert.has_error(function()
      model:save(checkpoint)
    end, checkpoint .. " is a checkpoint of a run, which goes on from its own weights; give "
      .. "another folder")
    model:save(run .. "/saved")
    assert.equal("checkpoint_last saved", table.concat(require("fsam.base.file").entries(run), " "))
  end)

  it("refuses a label that the model does not have, and names those that it has", function()
    local ok, message = pcall(model.gradient, model, TEXT, "fine")
    assert.is_false(ok)
    assert.equal("the model has no label fine; it has bad, good", tostring(message))
    ok, message = pcall(model.gradient, model, TEXT, { "bad" })
    assert.is_false(ok)
    assert.equal("the model has no label that is a list; it has bad, good", tostring(message))
  end)

  it("shows rows with their values, by layer where those of a layer agree", function()
    local g = model:gradient(TEXT, "good")
    local lines = {}
    for line in show(g:per("layer"):norm()):gmatch("[^\n]+") do
      lines[#lines + 1] = line:match("^(%l+ ?%d?) +%S+$")
    end
    assert.same({ "layer ", "embeddings ", "layer 0", "layer 1", "head " }, lines)
    local text = show(g:per("tensor"):norm())
    assert.matches("^parameter +value\n", text)
    assert.matches("\nclassifier%.bias +[%d.e-]+$", text)
  end)
end)
