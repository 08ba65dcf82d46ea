-- What compares runs: statistics against published values, the command line, tables and files.
local file = require("fsam.base.file")
local flags = require("fsam.compare.flags")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local report = require("fsam.compare.report")
local runs_of = require("fsam.compare.runs")
local statistics = require("fsam.compare.statistics")

describe("statistics", function()
  it("mean, deviation and median", function()
    local list = { 2, 4, 4, 4, 5, 5, 7, 9 }
    assert.equal(5, statistics.mean(list))
    assert.near(math.sqrt(32 / 7), statistics.deviation(list), 1e-12)
    assert.equal(4.5, statistics.median(list))
    assert.equal(3, statistics.median({ 9, 1, 3 }))
    assert.same({}, { statistics.mean({}), statistics.deviation({ 1 }), statistics.median({}) })
  end)

  it("Student's t at the tables' 5 % points, and at scipy's values", function()
    for df, t in pairs({ 12.706204736, 4.302652730, 3.182446305, 2.776445105, [9] = 2.262157163,
      [10] = 2.228138852 }) do
      assert.near(0.05, statistics.student(t, df), 1e-9)
      assert.near(0.05, statistics.student(-t, df), 1e-9)
    end
    assert.near(0.010030893170196247, statistics.student(4.6, 4), 1e-12)
    assert.near(0.7728900504021342, statistics.student(0.3, 7), 1e-12)
    assert.near(7.699886222985653e-07, statistics.student(12, 9), 1e-13)
    assert.equal(1, statistics.student(0, 5))
  end)

  it("the paired t-test on Student's sleep data (1908)", function()
    local first = { 0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0, 2.0 }
    local second = { 1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4 }
    local differences = {}
    for i = 1, 10 do
      differences[i] = first[i] - second[i]
    end
    local p, t = statistics.paired_t(differences)
    assert.near(0.002832890197, p, 1e-11)
    assert.near(-4.062127683382, t, 1e-11)
  end)

  it("the paired t-test where there is nothing to test", function()
    assert.is_nil((statistics.paired_t({ 0.3 })))
    assert.is_nil((statistics.paired_t({ 0.25, 0.25, 0.25 })))
    assert.equal(1, (statistics.paired_t({ 0, 0 })))
  end)

  it("Wilcoxon's test on the depression data of Hollander & Wolfe (1973)", function()
    local before = { 1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30 }
    local after = { 0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29 }
    local differences = {}
    for i = 1, 9 do
      differences[i] = before[i] - after[i]
    end
    assert.same({ 0.0390625, 40 }, { statistics.wilcoxon(differences) })
    assert.equal(0.0625, (statistics.wilcoxon({ 1, 2, 3, 4, 5 }))) -- the least of five
    assert.is_nil((statistics.wilcoxon({ 0, 0 })))
  end)

  it("Wilcoxon's test with ties, by counting all signs", function()
    local magnitudes, ranks = { 1, 1, 2, 3, 3, 3 }, { 1.5, 1.5, 3, 5, 5, 5 }
    local observed = { -1, 1, 2, 3, -3, 3 }
    local function positive(list)
      local sum = 0
      for i, x in ipairs(list) do
        sum = sum + (x > 0 and ranks[i] or 0)
      end
      return sum
    end
    local seen, middle, extreme = positive(observed), 10.5, 0
    for pattern = 0, 63 do
      local signed = {}
      for i = 1, 6 do
        signed[i] = math.floor(pattern / 2 ^ (i - 1)) % 2 == 1 and magnitudes[i] or -magnitudes[i]
      end
      if math.abs(positive(signed) - middle) >= math.abs(seen - middle) then
        extreme = extreme + 1
      end
    end
    local p, sum = statistics.wilcoxon(observed)
    assert.equal(seen, sum)
    assert.near(extreme / 64, p, 1e-12)
  end)
end)

local function parse(words)
  words[0] = "recipes/compare.lua"
  return flags.parse(words, { name = "compare.lua", usage = "", summary = "",
    recipe = "recipes/cola.lua" })
end

local function refuses(message, words)
  local ok, err = pcall(parse, words)
  assert.is_false(ok)
  assert.matches(message, tostring(err), 1, true)
end

describe("the command line of a comparison", function()
  it("divides the words between itself and its runs, in order", function()
    local o = parse({ "CoLA/", "--seeds", "2-3,7", "--lr", "1e-5", "--budget=both", "--no_decay",
      "bias", "--keep-checkpoints", "--clip-norm=1" })
    assert.same({ "CoLA/", "--lr", "1e-5", "--no_decay", "bias", "--clip-norm=1" }, o.words)
    assert.same({ 2, 3, 7 }, o.seeds)
    assert.same({ "both", true, "runs/compare" }, { o.budget, o.keep_checkpoints, o.save_dir })
  end)

  it("reads optimizers, types, and their own flags", function()
    local o = parse({ "--optimizers", "adam, sam --rho 0.02,fisher-esam,--optimizer sam",
      "--baseline", "sam --rho 0.02" })
    local words = {}
    for i, entry in ipairs(o.entries) do
      words[i] = entry.id .. ": " .. table.concat(entry.words, " ")
    end
    assert.same({ "adam: --optimizer adam", "sam-rho-0.02: --optimizer sam --sam-type sam --rho "
      .. "0.02", "fisher-esam: --optimizer sam --sam-type fisher-esam",
      "optimizer-sam: --optimizer sam" }, words)
    assert.equal(o.entries[2], o.baseline)
  end)

  it("refuses what cannot be compared, in one line", function()
    refuses("--seed is not for a comparison: give --seeds", { "--seed", "3" })
    refuses("--sam_type=sam is not for a comparison: give --optimizers", { "--sam_type=sam" })
    refuses("--patience is not for a comparison", { "--patience", "2" })
    refuses("--optimizers sammy is unknown; did you mean sam?", { "--optimizers", "adam,sammy" })
    refuses("--optimizers has adam twice", { "--optimizers", "adam,sam,adam" })
    refuses("--optimizers is empty", { "--optimizers", " , " })
    refuses("--seeds 5-1: 5-1 is no seed and no range", { "--seeds", "5-1" })
    refuses("--seeds 7,1-1000000000: 1-1000000000 is more than 10000 seeds, each of which is a run",
      { "--seeds", "7,1-1000000000" })
    refuses("--seeds 1-3,2: 2 is there twice", { "--seeds", "1-3,2" })
    refuses("--baseline esam is unknown; did you mean sam? (adam, sam)", { "--optimizers",
      "adam,sam", "--baseline", "esam" })
    refuses("--recipe nowhere.lua does not exist", { "--recipe", "nowhere.lua" })
    refuses("--seeds needs a value", { "--seeds" })
  end)
end)

-- A finished run as results.json tells of it.
local function run(entry, seed, mcc, collapsed)
  return { entry = entry, seed = seed, name = entry.label .. seed, folder = "runs/" .. seed,
    results = { best = { mcc = mcc, epoch = 2 }, last = { mcc = mcc - 0.1, epoch = 3,
      collapsed = collapsed }, best_checkpoint_metric = "mcc", updates = 1200, skipped = 0,
      samples = 100, evaluations = 200, seconds = { train = 1 }, step_seconds = seed / 100 } }
end

describe("the folder of a comparison", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
    file.make_folder(folder .. "/sam-1")
    helper.write_file(folder .. "/compare.json", '{"recipe": "r", "words": ""}')
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function results()
    return runs_of.open({ save_dir = folder, recipe = "r", words = {} })
      :results({ folder = folder .. "/sam-1" })
  end

  it("is refused in one line where its files are of other shapes", function()
    local whole = json.encode({ finished = true, best = { epoch = 1, mcc = 0.5 },
      last = { epoch = 1, mcc = 0.5 }, best_checkpoint_metric = "mcc", updates = 3, samples = 9,
      evaluations = 18, seconds = { train = 1 } })
    local path = folder .. "/sam-1/results.json"
    helper.write_file(path, whole)
    assert.equal(3, results().updates)
    for _, case in ipairs({
      { ".*", "5", "it is 5, expected a table" },
      { '"best": {.-}', '"best": 1', "best is 1, expected a table" },
      { '"mcc": 0.5', '"mcc": "x"', 'best.mcc is "x", expected a number' },
      { ', "mcc": 0.5', "", "best.mcc is missing, expected a number" },
      { '"seconds": {.-}', '"seconds": [1]', "seconds is a list, expected a table" },
      { '"updates": 3', '"updates": -3', "updates is -3, expected an integer" },
    }) do
      helper.write_file(path, (whole:gsub(case[1], case[2], 1)))
      local ok, err = pcall(results)
      assert.is_false(ok)
      assert.equal(1, (tostring(err):find(path .. ": ", 1, true)))
      assert.matches(case[3], tostring(err), 1, true)
    end
    for _, damaged in ipairs({ "3", "", '{"recipe": "r"', "{}" }) do
      helper.write_file(folder .. "/compare.json", damaged)
      local ok, err = pcall(runs_of.open, { save_dir = folder, recipe = "r", words = {} })
      assert.is_false(ok)
      assert.matches("/compare.json", tostring(err), 1, true)
    end
  end)

  local function open(o)
    o.save_dir, o.recipe, o.words = folder, "r", {}
    return runs_of.open(o)
  end

  it("takes results that a kill cut for none, so that the run writes them again", function()
    for _, cut in ipairs({ "", "{", '{"finished": true, "be' }) do
      helper.write_file(folder .. "/sam-1/results.json", cut)
      assert.is_nil(results())
    end
  end)

  it("does not take runs for its own before it is named", function()
    helper.write_file(folder .. "/sam-1/results.json", json.encode({ finished = true,
      best = { epoch = 1, mcc = 0.5 }, last = { epoch = 1, mcc = 0.5 }, samples = 9, updates = 2,
      best_checkpoint_metric = "mcc", evaluations = 18, seconds = { train = 1 } }))
    assert.equal(2, results().updates)
    assert.is_nil(results().step_seconds) -- there is no log
    os.remove(folder .. "/compare.json")
    local runs = open({})
    assert.is_nil(runs:results({ folder = folder .. "/sam-1" }))
    runs:sign()
    assert.equal(2, runs:results({ folder = folder .. "/sam-1" }).updates)
  end)

  -- What is in a folder, without old-1.
  local function entries(path)
    local list = {}
    for _, name in ipairs(file.entries(path)) do
      list[#list + 1] = name ~= "old-1" and name or nil
    end
    return table.concat(list, " ")
  end

  it("moves aside with --restart what a comparison wrote, and touches nothing else", function()
    helper.write_file(folder .. "/sam-1/train.log", "")
    helper.write_file(folder .. "/sam-1/notes.txt", "mine")
    for _, name in ipairs({ "runs.csv", "summary.csv", "sam-1.out", "notes.out", "mine.csv",
      "mine-1.csv", "mine-2.out" }) do
      helper.write_file(folder .. "/" .. name, "x")
    end
    for _, name in ipairs({ "data-1", "logs" }) do -- no run's: neither a log nor results
      file.make_folder(folder .. "/" .. name)
    end
    helper.write_file(folder .. "/logs/train.log", "")
    assert.equal(folder .. "/old-1", open({ restart = true }).aside)
    assert.equal("data-1 logs mine-1.csv mine-2.out mine.csv notes.out", entries(folder))
    assert.equal("compare.json runs.csv sam-1 sam-1.out summary.csv", entries(folder .. "/old-1"))
    assert.equal("mine", helper.read_file(folder .. "/old-1/sam-1/notes.txt"))
  end)

  it("moves tables aside that are no comparison's, once a run has begun", function()
    os.remove(folder .. "/compare.json")
    helper.write_file(folder .. "/summary.csv", "mine")
    local runs = open({})
    assert.equal("mine", helper.read_file(folder .. "/summary.csv"))
    runs:sign()
    assert.equal("mine", helper.read_file(folder .. "/old-1/summary.csv"))
    assert.equal("compare.json sam-1", entries(folder))
    runs:sign()
    assert.is_nil(open({}).aside)
  end)

  it("reads a log whose last line a full disk cut", function()
    helper.write_file(folder .. "/sam-1/results.json", json.encode({ finished = true,
      best = { epoch = 1, mcc = 0.5 }, last = { epoch = 1, mcc = 0.5 }, samples = 9, updates = 2,
      best_checkpoint_metric = "mcc", evaluations = 18, seconds = { train = 1 } }))
    helper.write_file(folder .. "/sam-1/train.log", '{"event": "step", "step": 1, "seconds": 0.25}'
      .. '\n{"event": "step", "st')
    assert.equal(0.25, results().step_seconds)
  end)
end)

describe("the report of a comparison", function()
  local o, group

  setup(function()
    o = parse({ "--optimizers", "adam,sam" })
    local adam, sam = o.entries[1], o.entries[2]
    local base = { run(adam, 1, 0.5), run(adam, 2, 0.6), run(adam, 3, 0.7) }
    local mine = { run(sam, 1, 0.6), run(sam, 2, 0.8, "yes"), run(sam, 4, 0.9) }
    group = { budget = "epochs", rows = {
      { entry = adam, runs = base, summary = report.summary(o, base, base) },
      { entry = sam, runs = mine, summary = report.summary(o, mine, base) },
    } }
  end)

  it("pairs by seed", function()
    local s = group.rows[2].summary
    assert.near(0.15, s.difference, 1e-12) -- seeds 1 and 2
    assert.near(0.2048327647, s.p, 1e-9)   -- t = 3 with 1 degree of freedom
    assert.near(2.3 / 3, s.mean, 1e-12)
    assert.equal(0.02, s.step_seconds)
    o.score = "last"
    assert.near(2.3 / 3 - 0.1, report.summary(o, group.rows[2].runs, {}).mean, 1e-12)
    o.score = "best"
  end)

  it("is a table with aligned columns", function()
    assert.equal(table.concat({
      "optimizer  runs              mcc        minus adam      p  updates  evaluations  ms/update",
      "adam          3  0.6000 ± 0.1000                             1,200          200       20.0",
      "sam           3  0.7667 ± 0.1528  +0.1500 ± 0.0707  0.205    1,200          200       20.0",
    }, "\n"), report.table(o, group))
  end)

  it("names runs that collapsed", function()
    assert.same({ "equal epochs: 1 of 3 runs of sam collapsed (seed 2): they judged all "
      .. "development samples alike" }, report.collapsed({ group, group }))
  end)

  it("writes a line per run and a line per optimizer", function()
    local folder = helper.temp_dir()
    o.save_dir = folder
    report.write(o, { group })
    local runs = file.read(folder .. "/runs.csv")
    assert.equal(7, select(2, runs:gsub("\n", "")))
    assert.matches("^budget,optimizer,seed,best_epoch,best_mcc,", runs)
    assert.matches("\nepochs,sam,2,2,0.8,,,,,,,,,,3,0.7,,,,,,,,,,yes,1200,0,100,200,1,0.02,"
      .. "runs/2\n", runs,
      1, true)
    assert.matches("\nepochs,sam,mcc,best,3,0.7666666667,", file.read(folder .. "/summary.csv"), 1,
      true)
    helper.remove_dir(folder)
  end)
end)
