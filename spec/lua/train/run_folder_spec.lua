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

  -- Fails at an update, as a killed program would: nothing is saved on the way out.
  local function killed_at(step, flags)
    local ok = pcall(words.go, flags, { after = function(o)
      if o.step == step then
        error("killed")
      end
    end })
    assert.is_false(ok)
  end

  it("continues from a saved update and ends with the same bytes", function()
    words.go({ "--save-dir", folder .. "/whole" })
    -- The step it is killed in, and the updates that were saved before.
    for _, case in ipairs({ { 4, 3 }, { 13, 12 }, { 17, 16 }, { 24, 24 }, { 31, 30 } }) do
      killed_at(case[1], { "--save-dir", run, "--save-interval-updates", "3" })
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
    killed_at(20, { "--save-dir", run, "--save-interval-updates", "3" })
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

  describe("that cannot be gone on from", function()
    local checkpoint = require("fsam.train.checkpoint")
    local file = require("fsam.base.file")
    local names = { "model.safetensors", "state.safetensors", "trainer.json" }

    local function content(at)
      local list = {}
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        for _, part in ipairs(names) do
          list[name .. "/" .. part] = helper.read_file(at .. "/" .. name .. "/" .. part)
        end
      end
      list.log, list.results = helper.read_file(at .. "/train.log"),
        helper.read_file(at .. "/results.json")
      return list
    end

    -- The same command again fails with a line that names the place, and changes nothing.
    local function refuses(expected, ...)
      local before = content(run)
      local ok, err = pcall(words.go, { "--save-dir", run, ... })
      assert.is_false(ok)
      assert.matches(expected, tostring(err), 1, true)
      assert.same(before, content(run))
    end

    it("is refused where trainer.json is cut, gone, or no file", function()
      words.go({ "--save-dir", run, "--max-epoch", "1" })
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        local path = run .. "/" .. name .. "/trainer.json"
        local whole = helper.read_file(path)
        for _, length in ipairs({ 0, 1, 1000 }) do
          helper.write_file(path, whole:sub(1, length))
          refuses(path)
          refuses(run .. "/" .. name .. " is not replaced; move it away to begin without it")
        end
        os.remove(path)
        refuses(run .. "/" .. name .. " is in the way: it has no readable trainer.json")
        assert.equal(0, helper.shell("mkfifo " .. helper.quote(path)))
        local ok, err = pcall(words.go, { "--save-dir", run })
        assert.is_false(ok)
        assert.matches("it has no readable trainer.json (a named pipe)", tostring(err), 1, true)
        os.remove(path)
        helper.write_file(path, whole)
        os.rename(run .. "/checkpoint_last", run .. "/kept") -- then the best one counts
      end
    end)

    it("is refused where the system does not answer", function()
      words.go({ "--save-dir", run, "--max-epoch", "1" })
      local read = file.read
      finally(function()
        file.read = read
      end)
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        local path = run .. "/" .. name .. "/trainer.json"
        file.read = function(at)
          if at == path then
            require("fsam.errors").raise("cannot open %s: Input/output error", at)
          end
          return read(at)
        end
        if name == "checkpoint_best" then
          assert(os.rename(run .. "/checkpoint_last", run .. "/kept"))
        end
        refuses("cannot open " .. path .. ": Input/output error")
        file.read = read
      end
      -- A link to itself: neither there nor absent, also for the superuser.
      assert(lfs.link("checkpoint_last", run .. "/checkpoint_last", true))
      refuses("checkpoint_last': Too many levels of symbolic links")
    end)

    it("is refused where a checkpoint's place holds what is not ours", function()
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        file.make_folder(run .. "/" .. name)
        helper.write_file(run .. "/" .. name .. "/thesis.txt", "mine")
        refuses(run .. "/" .. name .. " is in the way")
        assert.equal("mine", helper.read_file(run .. "/" .. name .. "/thesis.txt"))
        helper.remove_dir(run)
      end
    end)

    it("is refused where trainer.json has numbers that cannot be", function()
      words.go({ "--save-dir", run, "--max-epoch", "1" })
      local path = run .. "/checkpoint_last/trainer.json"
      local whole = helper.read_file(path)
      for _, case in ipairs({
        { '"done": 0', '"done": 9', "progress.done is 9, and epoch 2 has 8 updates" },
        { '"done": 0', '"done": -1', "progress.done is not a count" },
        { '"done": 0', '"done": 0.5', "progress.done is not a count" },
        { '"done": 0', '"done": "0"', "progress.done is not a count" },
        { '"done": 0,', "", "progress.done is not a count" },
        { '"epochs_done": 1', '"epochs_done": 2', "epochs_done and progress.epochs_done differ" },
        { '"plan": ', '"plan": 5, "plan_": ', "plan is missing or not an object" },
      }) do
        local changed, count = whole:gsub(case[1], case[2], 1)
        assert.equal(1, count)
        helper.write_file(path, changed)
        local before = words.bytes_of(run, "model.safetensors")
        local ok, err = pcall(words.go, { "--save-dir", run })
        assert.is_false(ok)
        assert.equal(path .. " is damaged: " .. case[3], tostring(err))
        assert.equal(before, words.bytes_of(run, "model.safetensors"))
      end
    end)

    it("is moved aside by --restart, whole and unread", function()
      words.go({ "--save-dir", run, "--max-epoch", "1" })
      helper.write_file(run .. "/notes.txt", "mine")
      helper.write_file(run .. "/checkpoint_best/trainer.json", "{")
      for number = 1, 2 do
        local before = content(run)
        local _, _, _, screen = words.go({ "--save-dir", run, "--restart", "--max-epoch", "1" })
        assert.matches(("what an earlier run left in %s is now in %s/old-%d"):format(run, run,
          number), screen, 1, true)
        assert.same(before, content(run .. "/old-" .. number))
      end
      assert.equal("mine", helper.read_file(run .. "/notes.txt"))
    end)

    it("leaves a log without a checkpoint aside, and begins", function()
      killed_at(3, { "--save-dir", run })
      local log = helper.read_file(run .. "/train.log")
      local result = words.go({ "--save-dir", run, "--max-epoch", "1" })
      assert.equal(8, result.updates)
      assert.equal(log, helper.read_file(run .. "/old-1/train.log"))
      assert.equal(0, words.lines_of(run .. "/train.log")[1].step)
    end)

    it("is found before the first update where nothing can be saved", function()
      local make, updates = file.make_folder, 0
      finally(function()
        file.make_folder = make
      end)
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        file.make_folder = function(path)
          if path == run .. "/" .. name .. ".new" then
            require("fsam.errors").raise("cannot make the folder %s: Permission denied", path)
          end
          return make(path)
        end
        local ok, err = pcall(words.go, { "--save-dir", run }, { after = function()
          updates = updates + 1
        end })
        assert.is_false(ok)
        assert.equal(("cannot make the folder %s/%s.new: Permission denied"):format(run, name),
          tostring(err))
      end
      assert.equal(0, updates)
    end)

    it("is another's that began between our first look and our beginning", function()
      local begin = require("fsam.train.run_folder").open
      local flags = { "--save-dir", run, "--max-epoch", "1" }
      local before
      require("fsam.train.run_folder").open = function(...)
        local opened = begin(...)
        require("fsam.train.run_folder").open = begin
        words.go(flags)
        before = content(run)
        return opened
      end
      finally(function()
        require("fsam.train.run_folder").open = begin
      end)
      local ok, err = pcall(words.go, flags)
      assert.is_false(ok)
      assert.equal("another process began in " .. run .. " meanwhile; give the same command again "
        .. "to continue its run, or another --save-dir", tostring(err))
      assert.same(before, content(run))
    end)

    it("goes on from the best where a kill left no last, and ends with the same bytes", function()
      words.go({ "--save-dir", folder .. "/whole" })
      local save = checkpoint.save_run
      finally(function()
        checkpoint.save_run = save
      end)
      checkpoint.save_run = function(path, ...)
        if path:find("checkpoint_last$") then
          error("killed")
        end
        return save(path, ...)
      end
      assert.is_false((pcall(words.go, { "--save-dir", run })))
      checkpoint.save_run = save
      local _, _, _, screen = words.go({ "--save-dir", run })
      assert.matches("continued after update 8", screen, 1, true)
      assert.matches("the run goes on from " .. run .. "/checkpoint_best", screen, 1, true)
      words.same_bytes(folder .. "/whole", run)
      local function progress(at)
        local path = at .. "/checkpoint_last/trainer.json"
        local p = json.decode(helper.read_file(path), path).progress
        return { p.step, p.since_better, p.epochs_done, p.best, p.last, p.top }
      end
      assert.same(progress(folder .. "/whole"), progress(run))
    end)

    it("judges a run that was killed after its last update, before it was judged", function()
      local flags = { "--save-dir", run, "--max-update", "5", "--save-interval-updates", "5" }
      local save = checkpoint.save_run
      finally(function()
        checkpoint.save_run = save
      end)
      checkpoint.save_run = function(...)
        save(...)
        error("killed")
      end
      assert.is_false((pcall(words.go, flags)))
      checkpoint.save_run = save
      local result = words.go(flags)
      assert.equal(5, result.last.step)
      assert.equal("updates", result.why)
      assert.is_string(helper.read_file(run .. "/checkpoint_best/trainer.json"))
      assert.is_nil((words.go(flags)))
    end)

    it("gets its results where a kill left none, half, or an interrupted run's", function()
      words.go({ "--save-dir", run })
      local path = run .. "/results.json"
      local whole = helper.read_file(path)
      local last = words.bytes_of(run, "model.safetensors")
      for _, left in ipairs({ "", whole:sub(1, 100), (whole:gsub('"finished": true',
        '"finished": false')), (whole:gsub('"updates": 32', '"updates": 8')), false }) do
        os.remove(path)
        if left then
          assert.are_not.equal(whole, left)
          helper.write_file(path, left)
        end
        local result = words.go({ "--save-dir", run })
        assert.equal(32, result.updates)
        local written = json.decode(helper.read_file(path), path)
        assert.same({ true, 32 }, { written.finished, written.updates })
        assert.equal(json.decode(whole, path).best.mcc, written.best.mcc)
        assert.equal(last, words.bytes_of(run, "model.safetensors"))
        assert.is_nil((words.go({ "--save-dir", run })))
      end
    end)

    it("closes the torn last line of train.log", function()
      words.go({ "--save-dir", run, "--max-epoch", "1" })
      local path = run .. "/train.log"
      local log = helper.read_file(path)
      helper.write_file(path, log:sub(1, -21))
      words.go({ "--save-dir", run, "--max-epoch", "2" })
      local now = helper.read_file(path)
      assert.equal(log:sub(1, -21) .. "\n", now:sub(1, #log - 19))
      for line in now:sub(#log - 18):gmatch("[^\n]+") do
        json.decode(line, path)
      end
    end)
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
