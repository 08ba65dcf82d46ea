--- Replacing a folder: what a crash after any file operation leaves, and what a full disk leaves.
local C = require("fsam.C")
local file = require("fsam.base.file")
local folder = require("fsam.formats.atomic_folder")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local safetensors = require("fsam.formats.safetensors")
local lfs = require("lfs")

local OPERATIONS = { "make_folder", "remove", "rename", "exchange", "sync", "write" }

describe("replacing a folder", function()
  local base, name, real

  before_each(function()
    base = helper.temp_dir()
    if lfs.attributes("/dev/shm") then -- in memory, where it is, since every save syncs
      local faster = "/dev/shm/" .. base:match("[^/]*$")
      if lfs.mkdir(faster) then
        helper.remove_dir(base)
        base = faster
      end
    end
    name = base .. "/checkpoint"
    real = {}
    for _, operation in ipairs(OPERATIONS) do
      real[operation] = file[operation]
    end
  end)

  local function restore()
    for operation, f in pairs(real) do
      file[operation] = f
    end
  end

  after_each(function()
    restore()
    helper.remove_dir(base)
  end)

  -- A version is a folder whose two files agree.
  local function save(version)
    folder.replace(name, function(path)
      file.write(path .. "/model", ("%d"):format(version):rep(1000))
      return ('{"version": %d}'):format(version)
    end)
  end

  local function version_at(path)
    local text = path and helper.read_file(path .. "/trainer.json")
    local version = text and tonumber(text:match('^{"version": (%d)}$'))
    if version and helper.read_file(path .. "/model") == tostring(version):rep(1000) then
      return version
    end
    return nil
  end

  local function entries(path)
    local list = {}
    for entry in lfs.dir(path) do
      list[#list + 1] = entry ~= "." and entry ~= ".." and entry or nil
    end
    table.sort(list)
    return list
  end

  -- Makes the operation number `at` fail, and all from number `death` on, as in a process that is
  -- no more; these two are half done where that is possible. Returns the count so far.
  local function fail_at(at, death, no_exchange)
    local count = { 0 }
    for operation, f in pairs(real) do
      file[operation] = function(path, ...)
        count[1] = count[1] + 1
        if count[1] == at or count[1] == death then
          if operation == "write" then
            f(path, (...):sub(1, #(...) - 1))
          elseif operation == "remove" then
            os.remove(path .. "/model")
          end
          error("fault", 0)
        elseif count[1] > death then
          error("dead", 0)
        end
        if operation == "exchange" and no_exchange then
          return false
        end
        return f(path, ...)
      end
    end
    return count
  end

  -- The states that a save may begin with.
  local starts = {
    ["nothing"] = function() return nil end,
    ["a folder"] = function() save(1) return 1 end,
    ["an empty folder"] = function() assert(lfs.mkdir(name)) return nil end,
    ["a folder beside half a new one"] = function()
      save(1)
      assert(lfs.mkdir(name .. ".new"))
      helper.write_file(name .. ".new/model", "2")
      helper.write_file(name .. ".new/trainer.json.part", "")
      return 1
    end,
    ["only a complete new one"] = function()
      save(1)
      assert(os.rename(name, name .. ".new"))
      return 1
    end,
    ["a stepped aside and a new one"] = function()
      save(0)
      assert(os.rename(name, base .. "/aside"))
      save(1)
      assert(os.rename(name, name .. ".new"))
      assert(os.rename(base .. "/aside", name .. ".old"))
      return 1
    end,
  }

  local function empty_base()
    for _, entry in ipairs(entries(base)) do
      file.remove(base .. "/" .. entry)
    end
  end

  -- Runs a save of version 2 with a fault at every operation in turn, and death so many operations
  -- later; `check` sees what is left.
  local function at_every_fault(later, no_exchange, check)
    for _, start in pairs(starts) do
      local at = 0
      repeat
        at = at + 1
        empty_base()
        local before = start()
        local count = fail_at(at, at + later, no_exchange)
        local ok, err = pcall(save, 2)
        restore()
        if not ok then
          assert.equal("fault", err)
        end
        local done = count[1] < at
        check(before, ok, done)
      until done
      assert.is_true(at > 8)
    end
  end

  for _, no_exchange in ipairs({ false, true }) do
    local how = no_exchange and "by stepping aside" or "by exchange"

    local function check(before, ok, done)
      local left = folder.resolve(name)
      if left or before or ok then
        local version = version_at(left)
        assert.truthy(version)
        assert.is_true(version == 2 or (not ok and version == before))
      end
      assert.is_true(ok or not done)
      save(3) -- the next save finds its way from there
      assert.equal(3, version_at(name))
      assert.same({ "checkpoint" }, entries(base))
    end

    it("leaves a complete folder after a crash at any moment, " .. how, function()
      at_every_fault(0, no_exchange, check)
    end)

    it("leaves one when an operation fails, " .. how, function()
      at_every_fault(math.huge, no_exchange, check)
    end)

    it("leaves one when it crashes after a failure, " .. how, function()
      at_every_fault(1, no_exchange, check)
      at_every_fault(2, no_exchange, check)
    end)
  end

  it("leaves nothing behind, and removes what a save wrote into the old folder", function()
    folder.replace(name, function(path)
      file.write(path .. "/model", "")
      file.write(path .. "/more", "x")
      return ('{"files": %s}'):format(json.encode(folder.written(path)))
    end)
    save(2)
    assert.same({ "checkpoint" }, entries(base))
    assert.same({ "model", "trainer.json" }, entries(name))
    assert.equal(name, folder.resolve(name .. "/"))
  end)

  it("takes a broken folder for none", function()
    assert.is_nil(folder.resolve(name))
    save(1)
    helper.write_file(name .. "/trainer.json", '{"version": ')
    assert.is_nil(folder.resolve(name))
    assert(os.rename(name, base .. "/aside"))
    save(2)
    assert(os.rename(name, name .. ".old"))
    assert(os.rename(base .. "/aside", name))
    assert.equal(name .. ".old", folder.resolve(name))
  end)

  it("does not replace what is not its own", function()
    assert(lfs.mkdir(name))
    helper.write_file(name .. "/letters", "dear")
    local ok, err = pcall(save, 1)
    assert.is_false(ok)
    assert.equal(name .. " is in the way: it has no readable trainer.json, so it is not replaced; "
      .. "move it away", tostring(err))
    assert.same({ "letters" }, entries(name))
    helper.remove_dir(name)
    helper.write_file(name, "a file")
    assert.truthy(tostring(select(2, pcall(save, 1))):find("and this is a file", 1, true))
  end)

  -- What a user put there: a file whose name is no UTF-8, a folder, a link, and a name of ours.
  local function put_guests()
    helper.write_file(name .. "/notes \255.txt", "mine")
    file.make_folder(name .. "/plots")
    helper.write_file(name .. "/plots/a", "mine")
    assert(lfs.link("/nowhere", name .. "/link", true))
    helper.write_file(name .. "/model.orig", "mine")
  end

  local GUESTS = { "link", "model", "model.orig", "notes \255.txt", "plots", "trainer.json" }

  it("keeps what a user put into it, whatever fails at any moment", function()
    for _, no_exchange in ipairs({ false, true }) do
      for _, later in ipairs({ 0, 1, math.huge }) do
        local at = 0
        repeat
          at = at + 1
          empty_base()
          save(1)
          put_guests()
          local count = fail_at(at, at + later, no_exchange)
          pcall(save, 2)
          restore()
          save(3)
          assert.same(GUESTS, entries(name))
          assert.equal(3, version_at(name))
          assert.equal("mine", helper.read_file(name .. "/notes \255.txt"))
          assert.equal("mine", helper.read_file(name .. "/plots/a"))
          assert.same({ "checkpoint" }, entries(base))
        until count[1] < at
        assert.is_true(at > 15)
      end
    end
  end)

  it("removes what its save wrote, and no more, where it is no longer wanted", function()
    local function write(path)
      file.write(path .. "/model", "")
      return ('{"files": %s}'):format(json.encode(folder.written(path)))
    end
    folder.replace(name, write)
    folder.remove(name)
    assert.same({}, entries(base))
    folder.replace(name, write)
    put_guests()
    folder.remove(name)
    assert.same({ "link", "model.orig", "notes \255.txt", "plots" }, entries(name))
    folder.remove(name) -- no save's: nothing is removed
    assert.equal(4, #entries(name))
  end)

  it("is removed whole by a second call, wherever a kill ended the first", function()
    local function write(path)
      file.write(path .. "/model", "")
      return ('{"files": %s}'):format(json.encode(folder.written(path)))
    end
    local at = 0
    repeat
      at = at + 1
      folder.replace(name, write)
      local count = fail_at(at, at)
      local ok = pcall(folder.remove, name)
      for operation, f in pairs(real) do
        file[operation] = f
      end
      assert.is_true(ok or at == 1 or folder.resolve(name) == nil)
      folder.remove(name)
      assert.same({}, entries(base))
    until count[1] < at
    assert.is_true(at > 3)
  end)

  it("makes the folders above it", function()
    name = base .. "/runs/one/checkpoint"
    save(1)
    assert.equal(1, version_at(name))
  end)

  describe("on a full disk", function()
    -- Saves 4 MB to where there is less room; the message, without the path.
    local function save_large(before)
      local floats = C.ffi.new("float[?]", 2 ^ 20)
      local ok, err = pcall(folder.replace, name, function(path)
        before(path)
        safetensors.write(path .. "/model.safetensors",
          { { name = "a", dtype = "F32", shape = { 2 ^ 20 }, data = floats } })
        return '{"version": 2}'
      end)
      assert.is_false(ok)
      return tostring(err)
    end

    it("keeps the old folder and says so in one line", function()
      if not lfs.attributes("/dev/full") then
        pending("no /dev/full")
        return
      end
      save(1)
      assert.equal("cannot write " .. name .. ".new/model.safetensors: No space left on device",
        save_large(function(path)
          assert(lfs.link("/dev/full", path .. "/model.safetensors", true))
        end))
      assert.equal(1, version_at(name))
      assert.same({ "checkpoint" }, entries(base))
    end)

    it("does so on a real one, and saves again once there is room", function()
      if os.execute(("mount -t tmpfs -o size=1m none '%s' 2>&1 >/dev/null"):format(base)) ~= 0 then
        pending("may not mount a small file system")
        return
      end
      local unmount = ("umount '%s'"):format(base)
      finally(function()
        collectgarbage() -- nothing of ours may be open there
        os.execute(unmount)
      end)
      save(1)
      assert.equal("cannot write " .. name .. ".new/model.safetensors: No space left on device",
        save_large(function() end))
      assert.equal(1, version_at(name))
      assert.same({ "checkpoint" }, entries(base))
      save(2)
      assert.equal(2, version_at(name))
    end)
  end)
end)
