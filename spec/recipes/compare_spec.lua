--- recipes/compare.lua, run as a user runs it, on very small runs.
local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder

-- 2 updates of 16 samples; flags that follow win.
local SMALL = { "--max-train-samples", "32", "--batch-size", "16", "--max-epoch", "1",
  "--threads", "1" }

local function command(words)
  local list = { "recipes/compare.lua" }
  for _, part in ipairs({ SMALL, words }) do
    for _, word in ipairs(part) do
      list[#list + 1] = word
    end
  end
  return list
end

local function compare(words)
  return helper.fsam_lua(command(words))
end

local function runs(words)
  local code, out, err = compare(words)
  assert.equal("", err)
  assert.equal(0, code, out)
  return out
end

local function results(run)
  local path = run .. "/results.json"
  return json.decode(file.read(path), path)
end

-- The lines of a CSV file, each as fields by name. (No field of ours has a comma in it here.)
local function csv(path)
  local names, rows = nil, {}
  for line in file.read(path):gmatch("[^\n]+") do
    local fields = {}
    for value in (line .. ","):gmatch("([^,]*),") do
      fields[#fields + 1] = value
    end
    if names then
      local row = {}
      for i, name in ipairs(names) do
        row[name] = fields[i]
      end
      rows[#rows + 1] = row
    end
    names = names or fields
  end
  return rows
end

setup(function()
  folder = helper.temp_dir()
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("a comparison", function()
  it("at equal epochs and equal evaluations counts what was evaluated", function()
    local at = folder .. "/both"
    local out = runs({ "--save-dir", at, "--optimizers", "adam,sam,esam", "--seeds", "1-2",
      "--budget", "both" })
    assert.matches("\nequal epochs\noptimizer +runs +mcc +minus adam +p ", out)
    assert.matches("\nequal evaluations\n", out, 1, true)
    local spent = {}
    for _, row in ipairs(csv(at .. "/runs.csv")) do
      if row.seed == "1" then
        spent[#spent + 1] = ("%s %s: %s updates, %s"):format(row.budget, row.optimizer, row.updates,
          row.evaluations)
      end
    end
    assert.same({
      "epochs adam: 2 updates, 32", "epochs sam: 2 updates, 64", "epochs esam: 2 updates, 48",
      "evaluations adam: 4 updates, 64", "evaluations sam: 2 updates, 64",
      "evaluations esam: 3 updates, 72", -- 8/3 updates of 24 would be 64
    }, spent)
    assert.equal(6, #csv(at .. "/summary.csv"))
    assert.equal("64", csv(at .. "/summary.csv")[4].evaluations)
    -- What the table says is what the run folders say.
    local mean = (results(at .. "/sam-1").best.mcc + results(at .. "/sam-2").best.mcc) / 2
    assert.near(mean, tonumber(csv(at .. "/summary.csv")[2].mean), 1e-9)
    assert.is_nil(file.kind(at .. "/sam-1/checkpoint_last"))
    -- Again: nothing is left to run, and the report is the same.
    local again = runs({ "--save-dir", at, "--optimizers", "adam,sam,esam", "--seeds", "1-2",
      "--budget", "both" })
    assert.equal(out:match("\nequal epochs.*"), again:match("\nequal epochs.*"))
    assert.is_nil(again:find("updates   about", 1, true))
  end)

  it("goes on after Ctrl-C with the run that was under way", function()
    local at = folder .. "/stopped"
    local words = { "--save-dir", at, "--optimizers", "adam,sam", "--seeds", "1",
      "--max-train-samples", "480", "--keep-checkpoints" }
    local quoted = {}
    for i, word in ipairs(command(words)) do
      quoted[i] = helper.quote(word)
    end
    -- A group of its own, as on a terminal: Ctrl-C reaches the comparison and its run.
    local code, out = helper.shell(([[
setsid %s %s &
pid=$!
until grep -q '"event": "step"' %s/sam-1/train.log 2>/dev/null; do
  kill -0 $pid 2>/dev/null || break
  sleep 0.01
done
kill -INT -$pid
wait $pid
]]):format(helper.quote(helper.build_dir() .. "/fsam-lua"), table.concat(quoted, " "), at))
    assert.equal(130, code, out)
    assert.matches("sam   seed 1    interrupted\n", out, 1, true)
    assert.matches("interrupted; the same command goes on with what is missing\n$", out)
    assert.is_false(results(at .. "/sam-1").finished)
    out = runs(words)
    assert.matches("epochs  2/2  sam   seed 1    mcc", out, 1, true)
    assert.is_nil(out:find("epochs  1/2", 1, true)) -- adam was done
    local whole = results(at .. "/sam-1")
    assert.same({ true, 480, 960 }, { whole.finished, whole.samples, whole.evaluations })
    local continued = 0
    for line in io.lines(at .. "/sam-1/train.log") do
      continued = continued + (line:find('"event": "start"', 1, true) and 1 or 0)
    end
    assert.equal(2, continued)
  end)

  it("refuses to mix with another one, and begins anew on request", function()
    local at = folder .. "/both"
    local code, _, err = compare({ "--save-dir", at, "--lr", "0.1" })
    assert.equal(1, code)
    assert.matches("^compare%.lua: the comparison in [^\n]* was started with recipes/cola%.lua "
      .. "[^\n]*; give the same flags, another %-%-save%-dir, or %-%-restart to begin anew\n$", err)
    runs({ "--save-dir", at, "--lr", "0.1", "--restart", "--optimizers", "sgd", "--seeds", "3" })
    assert.equal(0.1, tonumber(results(at .. "/sgd-3").options.lr))
    assert.is_nil(file.kind(at .. "/sam-1"))
  end)

  it("tells a mistyped flag of a run in one line, and leaves nothing", function()
    local code, _, err = compare({ "--save-dir", folder .. "/typo", "--lrr", "1" })
    assert.equal("compare.lua: adam seed 1 could not begin: cola.lua: --lrr is unknown; did you "
      .. "mean --lr? (--help lists all flags)\n", err)
    assert.equal(1, code)
    assert.is_nil(file.kind(folder .. "/typo"))
  end)

  it("goes on without a run that fails, and says which", function()
    local code, out, err = compare({ "--save-dir", folder .. "/fails", "--seeds", "1",
      "--optimizers", "adam,sgd --lr 1e30 --warmup-updates 0", "--max-epoch", "9" })
    assert.equal("", err)
    assert.equal(1, code)
    assert.matches("warning  sgd --lr 1e30 --warmup-updates 0 seed 1 failed: cola.lua: 10 steps in "
      .. "a row were skipped", out, 1, true)
    assert.equal("1", csv(folder .. "/fails/summary.csv")[1].runs)
    assert.equal("0", csv(folder .. "/fails/summary.csv")[2].runs)
  end)

  it("takes types of a recipe of one's own", function()
    local at = folder .. "/own"
    runs({ "--save-dir", at, "--recipe", "recipes/custom_sam.lua", "--optimizers",
      "sam,zsharp --z-cut 1", "--seeds", "5", "--budget", "evaluations" })
    assert.equal("1", results(at .. "/zsharp-z-cut-1-5").options.z_cut)
    assert.equal(2, #csv(at .. "/runs.csv")) -- as dear as sam: the run that told the cost serves
  end)
end)
