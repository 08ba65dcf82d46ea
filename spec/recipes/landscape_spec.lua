--- recipes/landscape.lua and --diagnose, run as a user runs them, on a model trained for two
-- epochs.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder -- of this spec's runs
local model  -- a checkpoint in it
local screen -- what its training showed

local function train(name, ...)
  local code, out, err = helper.fsam_lua({ "recipes/cola.lua", "--max-train-samples", "96",
    "--batch-size", "8", "--update-freq", "2", "--max-epoch", "2", "--num-samples", "4",
    "--mask-iter-e", "3", "--threads", "1", "--log-format", "simple", "--dropout", "0.1",
    "--save-dir", folder .. "/" .. name, ... })
  assert(code == 0, err)
  return out
end

local function look(words)
  local list = { "recipes/landscape.lua", model, "--threads", "1", "--samples", "12", "--points",
    "3", "--grid", "3", "--lines", "2", "--hessian-iterations", "4", "--out",
    folder .. "/look" }
  for _, word in ipairs(words or {}) do
    list[#list + 1] = word
  end
  return helper.fsam_lua(list)
end

setup(function()
  folder = helper.temp_dir()
  screen = train("run", "--diagnose", "2")
  model = folder .. "/run/checkpoint_last"
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("--diagnose", function()
  it("changes nothing that is saved", function()
    train("plain")
    for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
      assert.is_true(assert(helper.read_file(folder .. "/plain/checkpoint_last/" .. name))
        == helper.read_file(model .. "/" .. name), name .. " differs")
    end
  end)

  it("writes a line of JSON every N updates, and one line an epoch on the screen", function()
    local steps, epochs = {}, {}
    for line in helper.read_file(folder .. "/run/train.log"):gmatch("[^\n]+") do
      local event = json.decode(line, "train.log")
      if event.event == "diagnosis" then
        steps[#steps + 1] = event
      elseif event.event == "epoch" then
        epochs[#epochs + 1] = event.diagnosed
      end
    end
    assert.equal(6, #steps)
    for i, d in ipairs(steps) do
      assert.equal(2 * i - 2, d.step)
      for _, name in ipairs({ "loss", "loss_at_e", "rise", "gnorm", "enorm", "g2norm", "cosine",
        "noise_trace", "noise_square", "mask_density", "mask_kept" }) do
        assert.is_number(d[name], name)
      end
      assert.is_true(d.noise_trace > 0 and d.cosine <= 1)
    end
    assert.near((steps[1].rise + steps[2].rise + steps[3].rise) / 3, epochs[1].rise, 1e-12)
    assert.near((steps[4].noise_trace + steps[5].noise_trace + steps[6].noise_trace) / 3,
      epochs[2].noise_trace, 1e-9)
    assert.equal(2, select(2, screen:gsub("\ndiagnose   loss [+-][%d.e-]+ at w %+ e   ‖e‖ [%d.]+   "
      .. "cos%(g, g2%) [%d.-]+   [^\n]*mask 10 %%   overlap [%d.]+ %%   3 steps", "")))
  end)
end)

describe("the landscape recipe", function()
  it("writes what it found as data and as a picture, and does not touch the model", function()
    local before = helper.read_file(model .. "/model.safetensors")
    local code, out, err = look()
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("\nat w     loss [%d.]+   ‖g‖ [%d.]+\n", out)
    assert.matches("\nhessian  largest eigenvalue ", out, 1, true)
    assert.matches("written  " .. folder .. "/look.json   ", out, 1, true)
    local r = json.decode(helper.read_file(folder .. "/look.json"), "look.json")
    assert.equal(12, r.samples)
    assert.equal(2, #r.random)
    assert.same({ -0.5, 0, 0.5 }, r.plane.at)
    assert.equal(r.loss, r.gradient.loss[2])
    assert.equal(r.loss, r.random[2].loss[2])
    assert.equal(r.loss, r.plane.loss[2][2])
    assert.equal(r.random[1].loss[3], r.plane.loss[2][3])
    assert.equal(r.random[2].loss[1], r.plane.loss[1][2])
    assert.matches("^<svg .*Along the gradient.*</svg>\n$", helper.read_file(folder .. "/look.svg"))
    assert.is_true(before == helper.read_file(model .. "/model.safetensors"))
    -- Again the same, and on the other split something else.
    local data = helper.read_file(folder .. "/look.json")
    look()
    assert.equal(data, helper.read_file(folder .. "/look.json"))
    look({ "--split", "dev", "--hessian-iterations", "0" })
    r = json.decode(helper.read_file(folder .. "/look.json"), "look.json")
    assert.equal("dev", r.split)
    assert.is_nil(r.hessian)
  end)

  it("reads a CoLA folder", function()
    local data = folder .. "/data"
    file.make_folder(data)
    for _, split in ipairs({ "train", "dev" }) do
      helper.write_file(data .. "/" .. split .. ".tsv", ("gj04\t1\t\tthe key is here .\n"
        .. "gj04\t0\t*\tkey the here is .\n"):rep(4))
    end
    local code, out, err = look({ "--data", data, "--hessian-iterations", "0" })
    assert.equal(0, code, err)
    assert.matches("data     " .. data .. ", 8 train samples", out, 1, true)
  end)

  it("refuses bad input in one line", function()
    local function refuses(message, words)
      local code, _, err = helper.fsam_lua({ "recipes/landscape.lua", unpack(words) })
      assert.equal("landscape.lua: " .. message .. "\n", err)
      assert.equal(1, code)
    end
    refuses("no checkpoint is given; give the folder of a trained model, such as "
      .. "runs/cola-1/checkpoint_best (--help)", {})
    refuses("nowhere does not exist; give the folder of a trained model, such as "
      .. "runs/cola-1/checkpoint_best", { "nowhere" })
    refuses("README.md is not a folder; give the folder of a trained model, such as "
      .. "runs/cola-1/checkpoint_best", { "README.md" })
    refuses("the data folder nowhere does not exist; expected a folder with train.tsv and dev.tsv",
      { model, "--data", "nowhere" })
    refuses("--grid 2 is out of range; it must be at least 3", { model, "--grid", "2" })
    refuses("--points 4 is even; an odd number has the model itself in the middle",
      { model, "--points", "4" })
    refuses("--reach 0 is out of range; it must be above 0", { model, "--reach", "0" })
    refuses("--out nowhere/x: the folder nowhere does not exist", { model, "--out", "nowhere/x" })
    refuses("--out " .. model .. "/config: " .. model .. "/config.json is a file of a run or a "
      .. "model; give another name", { model, "--out", model .. "/config" })
  end)

  it("refuses a model whose loss is not finite", function()
    local other = folder .. "/other"
    helper.shell(("cp -r '%s' '%s'"):format(model, other))
    local bytes = helper.read_file(other .. "/model.safetensors")
    helper.write_file(other .. "/model.safetensors", bytes:sub(1, -1025)
      .. ("\255\255\127\127"):rep(256)) -- classifier.weight: the largest numbers that there are
    local code, _, err = helper.fsam_lua({ "recipes/landscape.lua", other, "--samples", "4" })
    assert.matches("^landscape%.lua: the loss of this model is %-?nan; there is nothing to look "
      .. "at\n$", err)
    assert.equal(1, code)
  end)
end)
