--- Files that another process changes while they are mapped: each read says so, none ends the
-- program, and what is not ours still does.
local C = require("fsam.C")
local file = require("fsam.base.file")
local helper = require("spec.helper")
local safetensors = require("fsam.formats.safetensors")
local lfs = require("lfs")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local ffi, lib = C.ffi, C.lib
local arena = devices.arena(devices.open("cpu"), "mapping")

local BYTES = 2 ^ 20

describe("a mapped file", function()
  local folder, path

  before_each(function()
    folder = helper.temp_dir()
    path = helper.write_file(folder .. "/data", ("\0\0\128\63"):rep(BYTES / 4)) -- ones
    lfs.touch(path, 1e9, 1e9)
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function map(at)
    local out = ffi.new("fsam_file *[1]")
    C.check(lib.fsam_file_map(out, at or path))
    return ffi.gc(out[0], lib.fsam_file_unmap)
  end

  local CHANGES = {
    ["cut to nothing"] = "truncate -s 0 %s",
    ["cut to half"] = ("truncate -s %d %%s"):format(BYTES / 2),
    ["cut within its last page"] = ("truncate -s %d %%s"):format(BYTES - 10),
    ["longer"] = "echo more >>%s",
    ["written over"] = ("head -c %d /dev/zero >%%s"):format(BYTES),
  }

  -- The ways to read; each takes the mapping and returns what C says.
  local READS = {
    bytes = function(map_)
      return lib.fsam_file_read(ffi.new("char[?]", BYTES), map_, 0, BYTES)
    end,
    numbers = function(map_)
      return lib.fsam_file_read_f32(ffi.new("float[?]", BYTES / 4), map_, "F32", 0, BYTES / 4)
    end,
    ["a count"] = function(map_)
      return lib.fsam_file_not_finite(ffi.new("int64_t[1]"), map_, "F16", 1, 1000)
    end,
    ["a tensor of the same type"] = function(map_)
      local t = Tensor.new(arena, "f32", { BYTES / 4 }, "t")
      return lib.fsam_file_read_tensor(t, map_, "F32", 0)
    end,
    ["a tensor of another type"] = function(map_)
      local t = Tensor.new(arena, "f32", { BYTES / 8 }, "t")
      return lib.fsam_file_read_tensor(t, map_, "F64", 0)
    end,
    ["data by its pointer"] = function(map_)
      local data, sum = lib.fsam_file_data(map_), 0
      for i = 0, BYTES - 1 do
        sum = sum + data[i]
      end
      return sum >= 0 and lib.fsam_file_unchanged(map_)
    end,
  }

  for change, command in pairs(CHANGES) do
    it("that is " .. change .. " says so at every read, and others are as before", function()
      local other = map(helper.write_file(folder .. "/other", "other"))
      for name, read in pairs(READS) do
        local map_ = map()
        assert.equal(0, read(map_), name)
        assert.equal(0, helper.shell(command:format(helper.quote(path))))
        for _ = 1, 2 do
          assert.equal(lib.FSAM_EIO, read(map_), name)
          assert.equal(path .. " changed while it was read; try again once it is complete",
            ffi.string(lib.fsam_error()))
        end
        assert.equal("other", ffi.string(lib.fsam_file_data(other), 5))
        assert.equal(0, lib.fsam_file_unchanged(other))
        helper.write_file(path, ("\0\0\128\63"):rep(BYTES / 4))
        lfs.touch(path, 1e9, 1e9)
      end
    end)
  end

  it("that is replaced or removed is read as it was", function()
    for _, command in ipairs({ "echo new >%s.new && mv %s.new %s", "rm %s # %s %s" }) do
      local map_ = map()
      helper.shell(command:format(path, path, path))
      for name, read in pairs(READS) do
        assert.equal(0, read(map_), name)
      end
      helper.write_file(path, ("\0\0\128\63"):rep(BYTES / 4))
    end
  end)

  it("is named by each reader of ours", function()
    local real = file.map
    finally(function()
      file.map = real
    end)
    file.map = function(at)
      local map_, size = real(at)
      helper.shell("truncate -s 100 " .. helper.quote(at))
      return map_, size
    end
    local tensors = { { name = "a", dtype = "F32", shape = { 20000 },
      data = ffi.new("float[20000]", 1) } }
    for name, read in pairs({
      text = file.read,
      lines = function(at)
        for _ in file.lines(at, 2 ^ 30) do end -- luacheck: ignore 542
      end,
      safetensors = function(at)
        safetensors.write(at, tensors)
        safetensors.open(at):get("a"):values()
      end,
    }) do
      helper.write_file(path, ("line\n"):rep(5000))
      local ok, err = pcall(read, path)
      assert.is_false(ok, name)
      assert.equal(path .. " changed while it was read; try again once it is complete",
        tostring(err), name)
    end
  end)
end)

describe("a bus error that no mapping of ours explains", function()
  it("ends the program as ever, mapped files or none", function()
    local folder = helper.temp_dir()
    local path = helper.write_file(folder .. "/data", ("x"):rep(10000))
    local mapped = ("local map = require('fsam.base.file').map(%q)"):format(path)
    for _, before in ipairs({ "", mapped }) do
      for _, crash in ipairs({
        "io.popen('kill -BUS $PPID'):close()",
        -- A mapping of its own of a file that shrinks.
        ([[local ffi = require('ffi')
          ffi.cdef('void *mmap(void *, size_t, int, int, int, long); int open(const char *, int);')
          local p = ffi.cast('char *', ffi.C.mmap(nil, 10000, 1, 2, ffi.C.open(%q, 0), 0))
          os.execute('truncate -s 0 %s')
          print(p[9000])]]):format(path, path),
      }) do
        helper.write_file(path, ("x"):rep(10000))
        local code, out = helper.fsam_lua({ "-e", before .. " " .. crash .. " print('alive')" })
        assert.is_true(code == 128 + 7 or code == 1, tostring(code)) -- 1: the sanitizer's end
        assert.equal("", out)
      end
    end
    helper.remove_dir(folder)
  end)
end)
