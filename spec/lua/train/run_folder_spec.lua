--- Run folders over stand-ins (words.lua): continuing, finishing, refusing; failed saves.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")
local words = require("spec.lua.train.words")

describe("a run folder", function()
  local folder, run

  before_each(function()
    folder = words.temp_dir()
    run = folder .. "/run"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  it("continues from a saved update and ends with the same bytes", function()
    words.go({ "--save-dir", folder .. "/whole" })
    -- The step it is killed in, and the updates that were saved before.
    for _, case in ipairs({ { 4, 3 }, { 13, 12 }, { 17, 16 }, { 24, 24 }, { 31, 30 } }) do
      words.killed_at(case[1], { "--save-dir", run, "--save-interval-updates", "3" })
      local result, _, _, screen = words.go({ "--save-dir", run })
      assert.matches(("run      %s, continued after update %d of 32\n"):format(run,
        case[2]), screen, 1, true)
      assert.equal(32, result.updates)
      words.same_bytes(folder .. "/whole", run)
      helper.remove_dir(run)
    end
  end)

  it("keeps best, patience and the averages of the epoch over an interruption", function()
    local whole = words.go({ "--save-dir", folder .. "/whole" })
    words.killed_at(20, { "--save-dir", run, "--save-interval-updates", "3" })
    local continued = words.go({ "--save-dir", run })
    assert.same(whole.best, continued.best)
    local function epochs(path)
      local list = {}
      for _, line in ipairs(words.lines_of(path .. "/train.log")) do
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
        local list = { unpack(planned) }
        for _, word in ipairs({ ... }) do
          list[#list + 1] = word
        end
        return list
      end
      words.go(with("--save-dir", folder .. "/whole"))
      words.go(with("--save-dir", run, "--max-update", "11"))
      words.go(with("--save-dir", run, "--max-epoch", "3"))
      words.go(with("--save-dir", run))
      words.same_bytes(folder .. "/whole", run)
    end)

  it("that is finished says so and stops", function()
    words.go({ "--save-dir", run })
    local result, opened = words.go({ "--save-dir", run })
    assert.is_nil(result)
    assert.equal(run .. " is finished (4 epochs); raise --max-epoch or --max-update to go on, or "
      .. "give --restart to begin anew", opened.finished)
  end)

  it("begins anew with --restart", function()
    words.go({ "--save-dir", run })
    local result, _, _, screen = words.go({ "--save-dir", run, "--restart", "--seed", "2" })
    assert.equal(32, result.updates)
    assert.is_nil(screen:find("continued", 1, true))
    assert.matches("is now in " .. run .. "/old-1", screen, 1, true)
    local first = words.lines_of(run .. "/train.log")[1]
    assert.equal(0, first.step)
  end)

  it("refuses other mathematics, listing old and new", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    assert.has_error(function()
      words.go({ "--save-dir", run, "--lr", "0.25", "--update-freq", "2", "--threads", "1" })
    end, "the run in " .. run .. " was started with --lr 0.5 (now 0.25), --update-freq 1 (now 2); "
      .. "give the same flags, another --save-dir, or --restart to begin anew")
  end)

  it("goes on from a version that did not know a flag, which then has its default", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    local path = run .. "/checkpoint_last/trainer.json"
    local text, count = helper.read_file(path):gsub('"update_freq": *"1",?', "")
    assert.equal(1, count)
    helper.write_file(path, text)
    assert.has_error(function()
      words.go({ "--save-dir", run, "--update-freq", "2" })
    end, "the run in " .. run .. " was started with --update-freq not given (now 2); give the same "
      .. "flags, another --save-dir, or --restart to begin anew")
    local _, _, _, screen = words.go({ "--save-dir", run, "--max-epoch", "2" })
    assert.matches("continued after update 8", screen, 1, true)
  end)

  -- earlier_run was written by version 0.1.0 of November 2026, which wrote down every flag, also
  -- those that nothing read, and no origins: eleven updates of this command.
  it("that an earlier version wrote continues and ends with the same bytes", function()
    local function go(save_dir)
      return words.go({ "--total-num-update", "100", "--warmup-updates", "6", "--save-dir",
        save_dir })
    end
    go(folder .. "/whole")
    assert.equal(0, helper.shell("cp -r spec/lua/train/earlier_run " .. helper.quote(run)))
    local _, _, _, screen = go(run)
    assert.matches("continued after update 11 of 32", screen, 1, true)
    words.same_bytes(folder .. "/whole", run)
  end)

  it("keeps where the values come from that are no defaults", function()
    words.go({ "--save-dir", run, "--max-epoch", "1", "--preset", "hf", "--momentum", "0.5",
      "--alpha", "0.3" })
    local path = run .. "/checkpoint_last/trainer.json"
    local trainer = json.decode(helper.read_file(path), path)
    assert.same({ batch_size = "command line", head_init = "preset hf", lr = "command line",
      momentum = "command line", no_decay = "preset hf", optimizer = "command line",
      pooler_dropout = "preset hf", preset = "command line" }, trainer.origin)
    assert.equal("bias,LayerNorm", trainer.options.no_decay)
    assert.is_nil(trainer.options.alpha) -- nothing read it
  end)

  it("continues whatever flags say that nothing reads", function()
    words.go({ "--save-dir", run, "--max-epoch", "1", "--rho", "0.3" })
    local _, _, _, screen = words.go({ "--save-dir", run, "--max-epoch", "2", "--rho", "0.1" })
    assert.matches("continued after update 8", screen, 1, true)
  end)

  it("refuses other data", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    local ok, err = pcall(words.go, { "--save-dir", run }, { samples = 59 })
    assert.is_false(ok)
    assert.matches("was started on other data (60 training and 20 development samples, now 59 and "
      .. "20", tostring(err), 1, true)
  end)

  it("is a fresh one under runs/ without --save-dir", function()
    local here = lfs.currentdir()
    lfs.chdir(folder)
    local ok, err = pcall(function()
      for number = 1, 3 do
        local _, opened = words.go({ "--max-epoch", "1" })
        assert.equal("runs/numbers-" .. number, opened.folder)
        assert.is_string(helper.read_file(opened.folder .. "/results.json"))
      end
    end)
    lfs.chdir(here)
    assert(ok, err)
  end)

  it("is one process's", function()
    lfs.mkdir(run)
    -- Another process holds the lock until its input ends.
    local other = assert(io.popen(("%s -e %s"):format(
      helper.quote(helper.build_dir() .. "/fsam-lua"), helper.quote(
        ("local lock = require('fsam.base.file').lock(%q) io.open(%q, 'w'):close() io.read()")
          :format(run .. "/.lock", folder .. "/held"))), "w"))
    local waited = 0
    while not lfs.attributes(folder .. "/held") and waited < 1000 do
      os.execute("sleep 0.01")
      waited = waited + 1
    end
    assert.has_error(function()
      words.go({ "--save-dir", run })
    end, "another process is training in " .. run .. "; wait for it, or give another --save-dir")
    other:close()
    assert.equal(32, words.go({ "--save-dir", run }).updates)
  end)

  it("is not a file", function()
    helper.write_file(run, "")
    assert.has_error(function()
      words.go({ "--save-dir", run })
    end, "--save-dir " .. run .. " is a file, expected a folder")
  end)

  it("that cannot be written costs no checkpoint", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    local before = words.bytes_of(run, "model.safetensors")
    local save = words.tokenizer.save
    words.tokenizer.save = function()
      require("fsam.errors").raise("cannot write vocab.txt: no space")
    end
    local ok, err = pcall(words.go, { "--save-dir", run })
    words.tokenizer.save = save
    assert.is_false(ok)
    assert.equal("cannot write vocab.txt: no space; the checkpoint before it is intact: " .. run
      .. "/checkpoint_best", tostring(err))
    assert.equal(before, words.bytes_of(run, "model.safetensors"))
  end)
end)
