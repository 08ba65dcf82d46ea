--- What a run folder never loses: a checkpoint that cannot be read or is not ours is an error,
-- --restart moves aside, and what a kill left half done is completed. Over stand-ins (words.lua).

local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")
local run_folder = require("fsam.train.run_folder")
local words = require("spec.lua.train.words")

describe("a run folder that cannot simply be gone on from", function()
  local folder, run

  before_each(function()
    folder = words.temp_dir()
    run = folder .. "/run"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local PARTS = { "model.safetensors", "state.safetensors", "trainer.json" }

  local function content(at)
    local list = {}
    for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
      for _, part in ipairs(PARTS) do
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
          errors.raise("cannot open %s: Input/output error", at)
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

  it("is refused where what a save would clear is not ours", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    for _, name in ipairs({ "checkpoint_last.new", "checkpoint_best.old" }) do
      local path = run .. "/" .. name
      for _, made in ipairs({ "mkdir %s && echo mine >%s/thesis.txt", "echo mine >%s # %s",
        "ln -s /nowhere %s # %s" }) do
        assert.equal(0, (helper.shell(made:format(path, path))))
        refuses(path .. " is in the way: no save of ours has left it, so it is not removed; move "
          .. "it away")
        assert.is_not_nil(lfs.symlinkattributes(path, "mode"))
        helper.remove_dir(path)
      end
    end
  end)

  it("goes on from a complete new checkpoint once the broken one is moved away", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    local last = run .. "/checkpoint_last"
    helper.shell(("cp -r %s %s.new && echo '{' >%s/trainer.json"):format(last, last, last))
    refuses(last .. " is not replaced; move it away to begin without it; then the complete "
      .. last .. ".new takes its place")
    assert(os.rename(last, run .. "/broken"))
    local _, _, _, screen = words.go({ "--save-dir", run, "--max-epoch", "2" })
    assert.matches("continued after update 8", screen, 1, true)
    assert.is_nil(lfs.attributes(last .. ".new"))
  end)

  it("is refused where trainer.json has numbers that cannot be", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    local path = run .. "/checkpoint_last/trainer.json"
    local whole = helper.read_file(path)
    local count = ", expected an integer from 0 to 9007199254740992"
    for _, case in ipairs({
      { '"done": 0', '"done": 9', "progress.done is 9, and epoch 2 has 8 updates" },
      { '"done": 0', '"done": -1', "progress.done is -1" .. count },
      { '"done": 0', '"done": 0.5', "progress.done is 0.5" .. count },
      { '"done": 0', '"done": "0"', 'progress.done is "0"' .. count },
      { '"done": 0,', "", "progress.done is missing" .. count },
      { '"epochs_done": 1', '"epochs_done": 2', "epochs_done and progress.epochs_done differ" },
      { '"plan": ', '"plan": 5, "plan_": ', "plan is 5, expected a table" },
      { '"lr": "0.5"', '"lr": ["0.5"]', "options.lr is a list, expected a text" },
      { '"meter": ', '"meter": 5, "meter_": ', "progress.meter is 5, expected a table of names" },
      { '"values": {', '"values": { "a": "b", ',
        'progress.best.values.a is "b", expected a number' },
      { '"fingerprint": "', '"fingerprint": 5, "x": "', "data.fingerprint is 5, expected a text" },
    }) do
      local changed, times = whole:gsub(case[1], case[2], 1)
      assert.equal(1, times)
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
    words.killed_at(3, { "--save-dir", run })
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
          errors.raise("cannot make the folder %s: Permission denied", path)
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
    local open = run_folder.open
    local flags = { "--save-dir", run, "--max-epoch", "1" }
    local before
    run_folder.open = function(...)
      local opened = open(...)
      run_folder.open = open
      words.go(flags)
      before = content(run)
      return opened
    end
    finally(function()
      run_folder.open = open
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

  -- Writes a 4-byte pattern over the last number of a file.
  local function poison(path, bits)
    local whole = helper.read_file(path)
    helper.write_file(path, whole:sub(1, -5) .. bits)
    return whole
  end

  it("is refused where a checkpoint has numbers that are not finite", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    for _, case in ipairs({ { "state", "vector.momentum", "\0\0\192\127" },
      { "state", "vector.momentum", "\0\0\128\255" }, { "model", "w", "\1\0\128\127" } }) do
      local path = ("%s/checkpoint_last/%s.safetensors"):format(run, case[1])
      local whole = poison(path, case[3])
      refuses(("%s: 1 numbers of tensor %s are infinite or not numbers; a run cannot go on from "
        .. "them, so give --restart, or move this checkpoint away"):format(path, case[2]))
      helper.write_file(path, whole)
    end
  end)

  it("keeps its finite checkpoint where a save would write others", function()
    for _, bad in ipairs({ 0 / 0, math.huge, -math.huge }) do
      for _, what in ipairs({ "w", "momentum" }) do
        words.go({ "--save-dir", run, "--max-epoch", "1" })
        local before = content(run)
        local ok, err = pcall(words.go, { "--save-dir", run, "--save-interval-updates", "2" },
          { after = function(_, model)
            model[what][3] = bad
          end })
        assert.is_false(ok)
        assert.matches("tensor [%w.]+ is not saved: %d+ of its numbers are infinite or not "
          .. "numbers; the checkpoint before it is intact: " .. run:gsub("%p", "%%%0")
          .. "/checkpoint_", tostring(err))
        for name, bytes in pairs(content(run)) do
          assert.is_true(name == "log" or bytes == before[name], name)
        end
        helper.remove_dir(run)
      end
    end
  end)

  it("keeps what a user put into a checkpoint's folder", function()
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
      helper.write_file(run .. "/" .. name .. "/notes.txt", "mine")
    end
    for _, epochs in ipairs({ "2", "4" }) do
      words.go({ "--save-dir", run, "--max-epoch", epochs, "--save-interval-updates", "3" })
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        assert.equal("mine", helper.read_file(run .. "/" .. name .. "/notes.txt"))
      end
    end
    words.go({ "--save-dir", run, "--max-epoch", "1", "--restart" })
    assert.equal("mine", helper.read_file(run .. "/old-1/checkpoint_last/notes.txt"))
    assert.is_nil(helper.read_file(run .. "/checkpoint_last/notes.txt"))
  end)

  it("never writes its log through a link", function()
    local mine = helper.write_file(folder .. "/mine.log", "mine")
    words.go({ "--save-dir", run, "--max-epoch", "1" })
    os.remove(run .. "/train.log")
    assert(lfs.link(mine, run .. "/train.log", true))
    local _, _, _, screen = words.go({ "--save-dir", run, "--max-epoch", "2" })
    assert.matches("no train.log: cannot write " .. run .. "/train.log: it is a link", screen, 1,
      true)
    assert.equal("mine", helper.read_file(mine))
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
