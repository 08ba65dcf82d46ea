--- A task of your own as a row in a recipe: the one that docs/extending.md prints, run as a user
-- runs it.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder -- of this spec's runs
local recipe -- the guide's, in it
local data   -- pairs of sentences in it
local model  -- a checkpoint with a vocabulary

local HEADER = "first\tsecond\tanswer\n"

-- The guide's recipe: the first Lua block that defines the task.
local function printed()
  for code in helper.read_file("docs/extending.md"):gmatch("```lua\n(.-)```\n") do
    if code:find('fsam.data.tasks.define("pets"', 1, true) then
      return code
    end
  end
end

local function pets(words)
  local list = { recipe, data, "--restore-file", model, "--max-update", "3", "--batch-size", "8",
    "--threads", "1", "--num-samples", "4", "--log-format", "simple" }
  for _, word in ipairs(words) do
    list[#list + 1] = word
  end
  return helper.fsam_lua(list)
end

setup(function()
  folder = helper.memory_dir()
  recipe = helper.write_file(folder .. "/pets.lua", printed())
  data = folder .. "/pets"
  file.make_folder(data)
  local rows = { HEADER }
  for i = 1, 24 do
    rows[i + 1] = ("the key is %s .\tthe key is here .\t%s\n"):format(
      i % 2 == 0 and "here" or "lost", i % 2 == 0 and "yes" or "no")
  end
  helper.write_file(data .. "/train.tsv", table.concat(rows))
  helper.write_file(data .. "/dev.tsv", table.concat(rows, "", 1, 9))
  local code, _, err = helper.fsam_lua({ "recipes/cola.lua", "--save-dir", folder .. "/model",
    "--max-update", "1", "--max-train-samples", "32", "--num-samples", "4", "--threads", "1",
    "--log-format", "none" })
  assert(code == 0, err)
  model = folder .. "/model/checkpoint_last"
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("a task of your own", function()
  it("trains, and is judged by its own metrics", function()
    local run = folder .. "/run"
    local code, out, err = pets({ "--save-dir", run })
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("\ndata     " .. data .. ", 24 train, 8 dev\n", out, 1, true)
    assert.matches("dev accuracy [%d.]+ %%   mcc %-?[%d.]+   loss [%d.]+", out)
    local results = json.decode(helper.read_file(run .. "/results.json"), "results.json")
    assert.equal(3, results.updates)
    assert.equal("accuracy", results.best_checkpoint_metric)
    assert.is_nil(results.best.f1)
    local config = json.decode(helper.read_file(run .. "/checkpoint_best/config.json"), "config")
    assert.same({ ["0"] = "no", ["1"] = "yes" }, config.id2label)
    code, out = pets({ "--save-dir", run })
    assert.same({ 0, run .. " is finished (3 updates); raise --max-epoch or --max-update to go on, "
      .. "or give --restart to begin anew\n" }, { code, out })
  end)

  it("has all flags, and its own help", function()
    local code, out = helper.fsam_lua({ recipe, "--help" })
    assert.equal(0, code)
    assert.matches("a folder with train.tsv and dev.tsv: first,", out, 1, true)
    assert.matches("accuracy, mcc, loss", out, 1, true)
  end)

  it("gets one line for bad input", function()
    local function refuses(message, ...)
      local code, _, err = helper.fsam_lua({ recipe, ... })
      assert.equal("pets.lua: " .. message .. "\n", err)
      assert.equal(1, code)
    end
    refuses("--best-checkpoint-metric f1 is unknown (accuracy, mcc, loss)",
      "--best-checkpoint-metric", "f1")
    refuses("pets needs its data: give a folder with train.tsv and dev.tsv: first, second, answer, "
      .. "under a header", "--no-save")
    local bad = folder .. "/bad"
    file.make_folder(bad)
    helper.write_file(bad .. "/train.tsv", HEADER .. "a\tb\tyes\na\tb\tperhaps\n")
    helper.write_file(bad .. "/dev.tsv", HEADER .. "a\tb\tyes\n")
    refuses(bad .. "/train.tsv, line 3: got the label \"perhaps\", expected no or yes (column 3)",
      bad, "--restore-file", model, "--no-save")
  end)
end)
