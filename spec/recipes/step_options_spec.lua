--- recipes/cola.lua with the options that all sam-types share, run as a user runs it: refusals,
-- remarks, what the header and the logs say, and continuing.
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder

-- Up to 4 updates of 16 samples; flags that follow win.
local SMALL = { "recipes/cola.lua", "--max-train-samples", "96", "--batch-size", "16",
  "--max-update", "4", "--num-samples", "4", "--mask-iter-e", "3", "--threads", "1",
  "--total-num-update", "8", "--warmup-updates", "1", "--log-format", "simple" }

local function cola(...)
  local words = { unpack(SMALL) }
  for _, word in ipairs({ ... }) do
    words[#words + 1] = word
  end
  return helper.fsam_lua(words)
end

local function runs(...)
  local code, out, err = cola(...)
  assert.equal(0, code, err)
  return out
end

local function events(run, kind)
  local list = {}
  for line in helper.read_file(run .. "/train.log"):gmatch("[^\n]+") do
    local event = json.decode(line, "train.log")
    list[#list + 1] = event.event == kind and event or nil
  end
  return list
end

setup(function()
  folder = helper.memory_dir()
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("the options of every ascent", function()
  it("are refused before any work where they do not go together", function()
    for message, flags in pairs({
      ["--m-sharpness does not go with --sam-type gsam, which combines the gradients of both "
        .. "passes (descend)"] = { "--m-sharpness", "2", "--sam-type", "gsam" },
      ["--m-sharpness does not go with --fisher batch: no pass sees the whole batch at w; choose "
        .. "sample, adam, magnitude or random"] = { "--m-sharpness", "2", "--fisher", "batch" },
      ["--fisher adam needs a base optimizer with Adam's second moment (adam, lamb)"] =
        { "--fisher", "adam", "--base-optimizer", "sgd" },
      ["--mask-scope enbeddings is part of no parameter's name; did you mean embeddings? names "
        .. "look like bert.embeddings.word_embeddings.weight"] = { "--mask-scope", "enbeddings" },
      ["--mask-exclude layer.7 is part of no parameter's name; did you mean layer.0? names look "
        .. "like bert.embeddings.word_embeddings.weight"] = { "--mask-exclude", "bias,layer.7" },
      ["--freeze bret is part of no parameter's name; did you mean bert? names look like "
        .. "bert.embeddings.word_embeddings.weight"] = { "--freeze", "bret" },
      ["--no-decay bais is part of no parameter's name; did you mean bias? names look like "
        .. "bert.embeddings.word_embeddings.weight"] = { "--no-decay", "bais" },
      ["--freeze bert,classifier leaves no parameter to train"] =
        { "--freeze", "bert,classifier" },
    }) do
      local code, out, err = cola("--no-save", unpack(flags))
      assert.equal("cola.lua: " .. message .. "\n", err)
      assert.equal(1, code)
      assert.equal("", out)
    end
  end)

  it("have no effect without sam, and rounding has none in fp32: each is said", function()
    local out = runs("--no-save", "--max-update", "1", "--optimizer", "adam", "--m-sharpness", "2",
      "--precision", "fp32", "--rounding", "stochastic")
    assert.matches("warning  --m-sharpness has no effect with adam\n", out, 1, true)
    assert.matches("warning  --rounding stochastic has no effect in fp32: ", out, 1, true)
  end)

  it("show in the header and the logs, which say what the losses are of", function()
    local run = folder .. "/logs"
    local out = runs("--save-dir", run, "--ascent-fraction", "0.25", "--m-sharpness", "2")
    assert.matches(", m%-sharpness 2 · seed 1\n", out)
    assert.matches("\nlosses   of training: those of the first pass, 25 % of each update's "
      .. "samples\n", out, 1, true)
    local steps, masks = events(run, "step"), events(run, "mask")
    assert.equal(4, #steps)
    assert.same({ 16, 4 }, { steps[1].samples, steps[1].seen })
    assert.equal(0, steps[1].accuracy * 4 % 1)
    assert.same({ 0, 3 }, { masks[1].step, masks[2].step })
    assert.near(0.1, masks[2].mask.density, 1e-3)
    assert.is_number(masks[2].mask.parameters["bert.encoder.layer.1.output.dense.weight"])
    local kept = masks[2].mask.overlap * 100
    assert.matches("\nmasks    2 in ", out, 1, true)
    assert.matches(("s, the last 10.0 %% of the weights; each kept %.0f to %.0f %% of the one "
      .. "before\n"):format(kept, kept), out, 1, true)
  end)

  it("continue to the same bytes", function()
    local flags = { "--precision", "bf16", "--rounding", "stochastic", "--ascent-fraction", "0.5",
      "--m-sharpness", "2", "--ascent-decay", "--layer-decay", "0.9" }
    runs("--save-dir", folder .. "/whole", unpack(flags))
    runs("--save-dir", folder .. "/parts", "--max-update", "2", unpack(flags))
    runs("--save-dir", folder .. "/parts", unpack(flags))
    for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
      local x = assert(helper.read_file(folder .. "/whole/checkpoint_last/" .. name))
      assert.is_true(x == helper.read_file(folder .. "/parts/checkpoint_last/" .. name), name)
    end
  end)
end)
