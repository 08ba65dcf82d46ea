--- When a run validates and saves, which numbered checkpoints it keeps, and that it removes no
-- others; over stand-ins (words.lua). Eight updates are an epoch.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")
local words = require("spec.lua.train.words")

local folder, run

local function go(...)
  return words.go({ "--save-dir", run, ... })
end

-- The numbered checkpoints in the run folder, sorted.
local function kept()
  local names = {}
  for _, entry in ipairs(file.entries(run)) do
    if entry:find("^checkpoint[%d_.]") and entry ~= "checkpoint_best"
        and entry ~= "checkpoint_last" then
      names[#names + 1] = entry
    end
  end
  table.sort(names)
  return names
end

local function trainer(name)
  local path = run .. "/" .. name .. "/trainer.json"
  return json.decode(helper.read_file(path), path)
end

-- The steps of events in train.log.
local function steps(event, path)
  local list = {}
  for _, line in ipairs(words.lines_of((path or run) .. "/train.log")) do
    if line.event == event then
      list[#list + 1] = line.step
    end
  end
  return list
end

describe("checkpoints", function()
  before_each(function()
    folder = words.temp_dir()
    run = folder .. "/run"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  -- Flags of a run of 4 epochs with 8 updates each, and what stays.
  local CASES = {
    { {}, {} },
    { { "--keep-last-epochs", "2" }, { "checkpoint3", "checkpoint4" } },
    { { "--keep-last-epochs", "-1" },
      { "checkpoint1", "checkpoint2", "checkpoint3", "checkpoint4" } },
    { { "--keep-last-epochs", "-1", "--save-interval", "2" }, { "checkpoint2", "checkpoint4" } },
    { { "--keep-last-epochs", "-1", "--no-epoch-checkpoints" }, {} },
    { { "--keep-interval-updates", "-1", "--save-interval-updates", "5", "--max-epoch", "2" },
      { "checkpoint_1_5", "checkpoint_2_10", "checkpoint_2_15" } },
    { { "--keep-interval-updates", "1", "--save-interval-updates", "3", "--max-epoch", "2" },
      { "checkpoint_2_15" } },
    -- At an epoch's end the checkpoint is the epoch's, as in fairseq.
    { { "--keep-interval-updates", "-1", "--save-interval-updates", "4", "--max-epoch", "2" },
      { "checkpoint_1_4", "checkpoint_2_12" } },
    { { "--keep-interval-updates", "1", "--save-interval-updates", "3", "--max-epoch", "2",
      "--keep-interval-updates-pattern", "6" },
      { "checkpoint_1_6", "checkpoint_2_12", "checkpoint_2_15" } },
  }

  it("are kept as the flags say", function()
    for _, case in ipairs(CASES) do
      go(unpack(case[1]))
      assert.same(case[2], kept(), table.concat(case[1], " "))
      for _, name in ipairs(case[2]) do
        local step = name:match("^checkpoint_%d+_(%d+)$")
        if step then
          assert.equal(tonumber(step), trainer(name).step)
        else
          local epoch = name:match("%d+")
          assert.equal(8 * epoch, trainer(name).step)
          assert.equal(tonumber(epoch), trainer(name).epochs_done)
        end
      end
      helper.remove_dir(run)
    end
  end)

  it("of the best validations are those, ties included", function()
    for _, flags in ipairs({ {}, { "--best-checkpoint-metric", "loss" } }) do
      go("--keep-best-checkpoints", "2", "--validate-interval-updates", "3", "--max-epoch", "2",
        unpack(flags))
      local metric = flags[2] or "mcc"
      local found = {}
      for _, line in ipairs(words.lines_of(run .. "/train.log")) do
        if line.event == "validation" or line.event == "epoch" then
          found[#found + 1] = { value = line.dev[metric], step = line.step }
        end
      end
      assert.equal(7, #found) -- at 3, 6, 8, 9, 12, 15, 16
      table.sort(found, function(a, b)
        local x, y = ("%.3f"):format(a.value), ("%.3f"):format(b.value)
        if x == y then
          return a.step > b.step
        end
        return (metric == "loss") == (a.value < b.value)
      end)
      local expected = {}
      for i = 1, 2 do
        expected[found[i].step] = true
      end
      local names = kept()
      assert.equal(2, #names)
      for _, name in ipairs(names) do
        local value, step = name:match("^checkpoint%.best_" .. metric .. "_(%-?[%d.]+)_(%d+)$")
        assert.is_true(expected[tonumber(step)], name)
        assert.near(trainer(name).progress.last.values[metric], tonumber(value), 1e-3)
        assert.equal(tonumber(step), trainer(name).step)
      end
      helper.remove_dir(run)
    end
  end)

  it("share no file that a later save writes into", function()
    go("--keep-last-epochs", "-1", "--max-epoch", "3")
    for epoch = 1, 3 do
      local whole = folder .. "/whole" .. epoch
      words.go({ "--save-dir", whole, "--max-epoch", tostring(epoch), "--total-num-update", "24",
        "--warmup-updates", "1" })
      for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
        assert.equal(helper.read_file(whole .. "/checkpoint_last/" .. name),
          helper.read_file(("%s/checkpoint%d/%s"):format(run, epoch, name)))
      end
    end
  end)

  it("are links where the file system has them, and else copies", function()
    local function inode(name)
      return lfs.attributes(run .. "/" .. name .. "/model.safetensors", "ino")
    end
    go("--keep-last-epochs", "1", "--max-epoch", "1")
    assert.equal(inode("checkpoint_last"), inode("checkpoint1"))
    local bytes = helper.read_file(run .. "/checkpoint1/state.safetensors")
    helper.remove_dir(run)
    local link = lfs.link
    finally(function()
      lfs.link = link
    end)
    lfs.link = function()
      return nil, "Operation not permitted"
    end
    go("--keep-last-epochs", "1", "--max-epoch", "1")
    assert.same({ "checkpoint1" }, kept())
    assert.is_true(inode("checkpoint_last") ~= inode("checkpoint1"))
    assert.equal(bytes, helper.read_file(run .. "/checkpoint1/state.safetensors"))
  end)

  it("are the same after a kill as without one", function()
    local flags = { "--keep-last-epochs", "2", "--keep-interval-updates", "2",
      "--save-interval-updates", "3", "--keep-best-checkpoints", "2", "--save-dir" }
    local function with(path)
      local list = { unpack(flags) }
      list[#list + 1] = path
      return list
    end
    words.go(with(run))
    local expected, whole = kept(), run
    assert.equal(6, #expected)
    for _, step in ipairs({ 4, 25 }) do
      run = folder .. "/killed" .. step
      words.killed_at(step, with(run))
      words.go(with(run))
      assert.same(expected, kept())
      words.same_bytes(whole, run)
    end
  end)

  it("that a kill left listed but not written are written by the next start", function()
    go("--keep-last-epochs", "-1", "--max-epoch", "2")
    helper.remove_dir(run .. "/checkpoint2")
    -- An interrupted save, and an older checkpoint that is gone for good.
    file.make_folder(run .. "/checkpoint2.new")
    file.write(run .. "/checkpoint2.new/trainer.json.part", "")
    helper.remove_dir(run .. "/checkpoint1")
    go("--keep-last-epochs", "-1", "--max-epoch", "3")
    assert.same({ "checkpoint2", "checkpoint3" }, kept())
    assert.equal(16, trainer("checkpoint2").step)
    local listed = {}
    for _, entry in ipairs(trainer("checkpoint_last").progress.kept) do
      listed[#listed + 1] = entry.name
    end
    assert.same({ "checkpoint2", "checkpoint3" }, listed)
  end)

  it("that the run did not write are never removed", function()
    local notes = run .. "/checkpoint1/notes.txt"
    words.go({ "--save-dir", run, "--keep-last-epochs", "1" }, { after = function(o)
      if o.step == 7 then -- in the last update of the first epoch, before checkpoint1 is there
        file.make_folder(run .. "/checkpoint77")
        file.write(run .. "/checkpoint77/notes.txt", "mine")
      elseif o.step == 9 then -- someone puts a folder of theirs in its place
        helper.remove_dir(run .. "/checkpoint1")
        file.make_folder(run .. "/checkpoint1")
        file.write(notes, "mine")
      end
    end })
    assert.equal("mine", helper.read_file(notes))
    assert.equal("mine", helper.read_file(run .. "/checkpoint77/notes.txt"))
    assert.same({ "checkpoint1", "checkpoint4", "checkpoint77" }, kept())
    local warned = false
    for _, line in ipairs(words.lines_of(run .. "/train.log")) do
      warned = warned or line.event == "warning" and line.text
        == run .. "/checkpoint1 stays: it is not the checkpoint that this run wrote there"
    end
    assert.is_true(warned)
  end)

  it("of a run that is begun anew move aside with it", function()
    go("--keep-last-epochs", "-1", "--max-epoch", "2")
    go("--restart", "--max-epoch", "1", "--keep-last-epochs", "1")
    assert.same({ "checkpoint1" }, kept())
    assert.equal("directory", file.kind(run .. "/old-1/checkpoint2"))
  end)

  it("named in a trainer.json must have such a name", function()
    go("--keep-last-epochs", "1", "--max-epoch", "1")
    local path = run .. "/checkpoint_last/trainer.json"
    local text = helper.read_file(path)
    assert.matches('"checkpoint1"', text, 1, true)
    helper.write_file(path, (text:gsub('"checkpoint1"', '"../checkpoint1"')))
    local ok, err = pcall(go)
    assert.is_false(ok)
    assert.matches("trainer.json is damaged: progress.kept[1].name is \"../checkpoint1\", expected "
      .. "a checkpoint's name", tostring(err), 1, true)
  end)

  it("can do without checkpoint_last", function()
    go("--no-last-checkpoints", "--keep-last-epochs", "1")
    assert.is_nil(file.kind(run .. "/checkpoint_last"))
    assert.equal("directory", file.kind(run .. "/checkpoint_best"))
    assert.same({ "checkpoint4" }, kept())
  end)
end)

describe("a run", function()
  before_each(function()
    folder = words.temp_dir()
    run = folder .. "/run"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  -- Flags; steps of validations within epochs; steps of those at epochs' ends.
  local VALIDATES = {
    { { "--validate-interval", "2" }, {}, { 16, 32 } },
    { { "--validate-interval-updates", "5", "--max-epoch", "2" }, { 5, 10, 15 }, { 8, 16 } },
    { { "--save-interval-updates", "6", "--max-epoch", "2" }, { 6, 12 }, { 8, 16 } },
    { { "--validate-interval-updates", "5", "--validate-after-updates", "9", "--max-epoch", "2" },
      { 10, 15 }, { 16 } },
    { { "--validate-interval", "9", "--max-update", "11" }, {}, { 11 } },
    { { "--disable-validation", "--save-interval-updates", "3", "--max-epoch", "2" }, {}, {} },
  }

  it("validates when the flags say", function()
    for _, case in ipairs(VALIDATES) do
      local result = go(unpack(case[1]))
      local ends = {}
      for _, line in ipairs(words.lines_of(run .. "/train.log")) do
        if line.event == "epoch" and line.dev then
          ends[#ends + 1] = line.step
        end
      end
      assert.same(case[2], steps("validation"), table.concat(case[1], " "))
      assert.same(case[3], ends, table.concat(case[1], " "))
      assert.equal(#case[3] > 0, result.best ~= nil)
      assert.is_string(helper.read_file(run .. "/results.json"))
      helper.remove_dir(run)
    end
  end)

  it("saves at the end of every --save-interval-th epoch, and at its own end", function()
    local saved = {}
    go("--save-interval", "3", "--validate-interval", "9")
    for _, line in ipairs(words.lines_of(run .. "/train.log")) do
      if line.event == "saved" and line.path:find("checkpoint_last$") then
        saved[#saved + 1] = line.step
      end
    end
    assert.same({ 24, 32 }, saved)
  end)

  it("stops after --stop-time-hours, and then is done until that is raised", function()
    local result = go("--stop-time-hours", "1e-12")
    assert.equal("time", result.why)
    assert.equal(1, result.updates)
    assert.equal(1, result.last.step)
    assert.equal(1, go("--stop-time-hours", "1e-12").updates)
    assert.equal(32, go().updates)
  end)

  it("stops at the end of an epoch whose rate is not above --stop-min-lr", function()
    local flags = { "--stop-min-lr", "0.3", "--lr-scheduler", "fixed", "--lr", "0.5,0.4,0.3,0.2" }
    local result = go(unpack(flags))
    assert.equal("rate", result.why)
    -- The rate of the epoch that ended counts, as in fairseq.
    assert.equal(24, result.updates)
    assert.equal(24, go(unpack(flags)).updates)
  end)

  it("runs as many epochs as --max-update needs with --max-epoch 0", function()
    local result = go("--max-epoch", "0", "--max-update", "37")
    assert.equal(37, result.updates)
    assert.equal("updates", result.why)
  end)

  it("groups batches by the epoch's --update-freq", function()
    local samples = {}
    local result = words.go({ "--no-save", "--update-freq", "4,1,2", "--max-epoch", "4" },
      { after = function(o)
        samples[#samples + 1] = o.micro_batches
      end })
    assert.equal(2 + 8 + 4 + 4, result.updates)
    assert.same({ 4, 4, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2 }, samples)
  end)

  it("goes on with its schedule where it was stopped", function()
    for _, flags in ipairs({
      { "--lr-scheduler", "reduce_lr_on_plateau", "--lr-shrink", "0.5" },
      { "--force-anneal", "2", "--total-num-update", "40", "--warmup-updates", "2" },
      { "--lr-scheduler", "manual", "--update2lr", "{'5': 0.1}", "--epoch2lr", "{'3': 0.3}" },
      { "--lr-scheduler", "cosine", "--lr-period-updates", "7" },
    }) do
      local function with(path)
        local list = { "--save-interval-updates", "3", "--save-dir", path }
        for _, word in ipairs(flags) do
          list[#list + 1] = word
        end
        return list
      end
      words.go(with(folder .. "/whole"))
      words.killed_at(20, with(run))
      words.go(with(run))
      words.same_bytes(folder .. "/whole", run)
      helper.remove_dir(run)
      helper.remove_dir(folder .. "/whole")
    end
  end)
end)
