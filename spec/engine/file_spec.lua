--- engine/host/file.c: mapped reading with its bounds and conversions, the checked writer, paths.
local C = require("fsam.C")
local helper = require("spec.helper")
local Tensor = require("fsam.base.tensor")
local lfs = require("lfs")
local ffi, lib = C.ffi, C.lib

describe("files", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  -- The message of a call that must fail with this code.
  local function refused(code, rc)
    assert.equal(code, rc)
    return ffi.string(lib.fsam_error())
  end

  local function map(bytes)
    local out = ffi.new("fsam_file *[1]")
    assert.equal(0, lib.fsam_file_map(out, helper.write_file(folder .. "/data", bytes)))
    return ffi.gc(out[0], lib.fsam_file_unmap)
  end

  local function open_writer(path)
    local out = ffi.new("fsam_writer *[1]")
    assert.equal(0, lib.fsam_writer_open(out, path, 0))
    return out[0]
  end

  local function floats_of(bytes, dtype, offset, count)
    local out = ffi.new("float[?]", count)
    assert.equal(0, lib.fsam_file_read_f32(out, map(bytes), dtype, offset, count))
    local list, bits = {}, ffi.cast("uint32_t *", out)
    for i = 1, count do -- a NaN must reach LuaJIT without its payload
      list[i] = bit.band(bits[i - 1], 0x7fffffff) > 0x7f800000 and 0 / 0 or out[i - 1]
    end
    return list
  end

  describe("mapping", function()
    it("shows a file's bytes, and an empty file as nothing", function()
      local file = map("some bytes")
      assert.equal(10, tonumber(lib.fsam_file_size(file)))
      assert.equal("some bytes", ffi.string(lib.fsam_file_data(file), 10))
      local empty = map("")
      assert.equal(0, tonumber(lib.fsam_file_size(empty)))
      assert.is_true(lib.fsam_file_data(empty) == nil)
      lib.fsam_file_unmap(nil)
    end)

    it("names the path and the reason when there is no file to read", function()
      local out = ffi.new("fsam_file *[1]")
      local missing = folder .. "/missing"
      assert.equal("cannot open " .. missing .. ": No such file or directory",
        refused(lib.FSAM_EIO, lib.fsam_file_map(out, missing)))
      assert.equal("cannot read " .. folder .. ": it is a folder",
        refused(lib.FSAM_EIO, lib.fsam_file_map(out, folder)))
      assert.equal(0, os.execute("mkfifo '" .. folder .. "/pipe'"))
      assert.equal("cannot read " .. folder .. "/pipe: it is not a regular file",
        refused(lib.FSAM_EIO, lib.fsam_file_map(out, folder .. "/pipe")))
    end)

    it("copies only what is inside of the file", function()
      local file, out = map("0123456789"), ffi.new("char[16]")
      assert.equal(0, lib.fsam_file_read(out, file, 7, 3))
      assert.equal("789", ffi.string(out, 3))
      assert.equal(0, lib.fsam_file_read(out, file, 10, 0))
      local huge = 0x7fffffffffffffffLL
      for _, range in ipairs({ { 8, 3 }, { -1, 2 }, { 0, -1 }, { 11, 0 }, { 5, huge },
        { huge, 1 }, { huge, huge } }) do
        assert.truthy(refused(lib.FSAM_EINVAL, lib.fsam_file_read(out, file, range[1], range[2]))
          :find(folder .. "/data: ", 1, true))
      end
    end)
  end)

  describe("conversion to f32", function()
    it("agrees with the definition of binary16 on all its values", function()
      local halves, expected = ffi.new("uint16_t[65536]"), {}
      for h = 0, 65535 do
        halves[h] = h
        local sign = h >= 32768 and -1 or 1
        local exponent, fraction = math.floor(h / 1024) % 32, h % 1024
        if exponent == 31 then
          expected[h + 1] = fraction == 0 and sign * math.huge or 0 / 0
        elseif exponent == 0 then
          expected[h + 1] = sign * fraction * 2 ^ -24
        else
          expected[h + 1] = sign * (1 + fraction / 1024) * 2 ^ (exponent - 15)
        end
      end
      local got = floats_of(ffi.string(halves, 131072), "F16", 0, 65536)
      local wrong = 0
      for i = 1, 65536 do
        local e, g = expected[i], got[i]
        local same = e == g and 1 / e == 1 / g or (e ~= e and g ~= g)
        wrong = wrong + (same and 0 or 1)
      end
      assert.equal(0, wrong)
    end)

    it("reads BF16, F64 and F32 from any byte offset", function()
      local bf16 = ffi.new("uint16_t[3]", { 0x3fc0, 0xff80, 0x0001 })
      assert.same({ 1.5, -math.huge, 2 ^ -133 },
        floats_of("x" .. ffi.string(bf16, 6), "BF16", 1, 3))
      local f64 = ffi.new("double[4]", { 1 + 2 ^ -24, 1 + 3 * 2 ^ -24, -1e300, 0.5 })
      assert.same({ 1, 1 + 2 ^ -22, -math.huge, 0.5 },
        floats_of("xyz" .. ffi.string(f64, 32), "F64", 3, 4))
      local f32 = ffi.new("float[2]", { 1e-45, -3 })
      assert.same({ tonumber(f32[0]), -3 }, floats_of("x" .. ffi.string(f32, 8), "F32", 1, 2))
    end)

    it("refuses other types and ranges beyond the file", function()
      local file, out = map(("\0"):rep(10)), ffi.new("float[8]")
      assert.truthy(refused(lib.FSAM_EINVAL, lib.fsam_file_read_f32(out, file, "I64", 0, 1))
        :find("type I64", 1, true))
      assert.truthy(refused(lib.FSAM_EINVAL, lib.fsam_file_read_f32(out, file, "F32", 4, 2))
        :find("2 elements of 4 bytes from byte 4 on, but it has 10", 1, true))
      refused(lib.FSAM_EINVAL, lib.fsam_file_read_f32(out, file, "F64", 0, 0x2000000000000000LL))
    end)
  end)

  describe("tensors", function()
    local device, arena

    before_each(function()
      local d, a = ffi.new("fsam_device *[1]"), ffi.new("fsam_arena *[1]")
      C.check(lib.fsam_device_open(d, "cpu"))
      C.check(lib.fsam_arena_new(a, d[0], "spec"))
      device, arena = d[0], a[0]
    end)

    after_each(function()
      lib.fsam_arena_free(arena)
      lib.fsam_device_close(device)
    end)

    it("come back from a file as they were written, in their own type", function()
      local path = folder .. "/tensors"
      local f = Tensor.new(arena, "f32", { 300, 1000 }, "f") -- more than the writer's buffer
      local b = Tensor.new(arena, "bf16", { 3 }, "b"):write({ 1, -2.5, 3 })
      local i = Tensor.new(arena, "i32", { 2, 2 }, "i"):write({ 1, -1, 2 ^ 31 - 1, 0 })
      local host = ffi.new("float[300000]")
      for k = 0, 299999 do
        host[k] = k * 0.37 - 5000
      end
      f:write(host)
      local w = open_writer(path)
      assert.equal(0, lib.fsam_writer_write(w, "abc", 3)) -- nothing is aligned afterwards
      assert.equal(0, lib.fsam_writer_tensor(w, b))
      assert.equal(0, lib.fsam_writer_tensor(w, f))
      assert.equal(0, lib.fsam_writer_tensor(w, i))
      assert.equal(0, lib.fsam_writer_close(w))

      local file = map(helper.read_file(path))
      assert.equal(3 + 6 + 1200000 + 16, tonumber(lib.fsam_file_size(file)))
      local f2 = Tensor.new(arena, "f32", { 300000 }, "f2")
      assert.equal(0, lib.fsam_file_read_tensor(f2, file, "F32", 9))
      assert.equal(ffi.string(host, 1200000), ffi.string(f2.data, 1200000))
      local b2, wide = Tensor.new(arena, "bf16", { 3 }, "b2"), Tensor.new(arena, "f32", { 3 }, "w")
      assert.equal(0, lib.fsam_file_read_tensor(b2, file, "BF16", 3))
      assert.equal(0, lib.fsam_file_read_tensor(wide, file, "BF16", 3))
      assert.same({ 1, -2.5, 3 }, b2:read())
      assert.same({ 1, -2.5, 3 }, wide:read())
      local i2 = Tensor.new(arena, "i32", { 4 }, "i2")
      assert.equal(0, lib.fsam_file_read_tensor(i2, file, "I32", 1200009))
      assert.same(i:read(), i2:read())
    end)

    it("count the numbers that are not finite on their way", function()
      local n, all = 150000, 0 -- more than two pieces, which threads share
      local nan32, nan16 = ffi.new("uint32_t[1]", 0xffc00001), 0x7c01
      local f32 = ffi.new("float[?]", n, 3.4e38)
      f32[0], f32[16383], f32[16384], f32[n - 1] = math.huge, -math.huge, 0 / 0, 0
      ffi.copy(f32 + 20000, nan32, 4)
      local f64 = ffi.new("double[?]", n, 1e300)
      f64[0], f64[n - 1] = 0 / 0, math.huge
      local f16 = ffi.new("uint16_t[?]", n, 0x7bff)
      f16[3], f16[n - 1] = 0xfc00, nan16
      local bf16 = ffi.new("uint16_t[?]", n, 0x7f7f)
      bf16[n - 1] = 0xff80
      local bytes = ffi.string(f32, 4 * n) .. ffi.string(f64, 8 * n) .. ffi.string(f16, 2 * n)
        .. ffi.string(bf16, 2 * n)
      local file = map(bytes)
      local t, i = Tensor.new(arena, "f32", { n }, "t"), Tensor.new(arena, "i32", { n }, "i")
      local b = Tensor.new(arena, "bf16", { n }, "b")
      for _, case in ipairs({ { t, "F32", 0, 4 }, { t, "F64", 4 * n, 2 }, { t, "F16", 12 * n, 2 },
        { t, "BF16", 14 * n, 1 }, { b, "BF16", 14 * n, 1 }, { i, "I32", 0, 0 } }) do
        assert.equal(0, lib.fsam_file_read_tensor(case[1], file, case[2], case[3]))
        all = all + case[4]
        assert.equal(all, tonumber(lib.fsam_file_read_not_finite(file)), case[2])
      end
    end)

    it("convert in pieces as they do in one", function()
      local n = 150000 -- more than two pieces
      local halves = ffi.new("uint16_t[?]", n)
      for k = 0, n - 1 do
        halves[k] = k * 7 % 31744
      end
      local bytes = ffi.string(halves, 2 * n)
      local expected = ffi.new("float[?]", n, floats_of(bytes, "F16", 0, n))
      local t, file = Tensor.new(arena, "f32", { n }, "t"), map(bytes)
      for threads = 1, 3 do
        C.check(lib.fsam_threads_set(threads))
        t:fill(0)
        assert.equal(0, lib.fsam_file_read_tensor(t, file, "F16", 0))
        assert.is_true(ffi.string(expected, 4 * n) == ffi.string(t.data, 4 * n))
      end
      C.check(lib.fsam_threads_set(0))
    end)

    it("are copied in pieces as in one, by any number of threads", function()
      local n = 400000 -- more than the pages for which a copy is shared out
      local from, host = Tensor.new(arena, "f32", { n }, "from"), ffi.new("float[?]", n)
      for k = 0, n - 1 do
        host[k] = k * 0.37 - 5000
      end
      from:write(host)
      local part = from:view({ n - 3 }, 3)
      for threads = 1, 3 do
        C.check(lib.fsam_threads_set(threads))
        local to = Tensor.new(arena, "f32", { n }, "to", true)
        to:view({ n - 3 }, 1):copy(part)
        assert.is_true(ffi.string(to.data, 4 * n)
          == ("\0"):rep(4) .. ffi.string(host + 3, 4 * (n - 3)) .. ("\0"):rep(8))
        local half = Tensor.new(arena, "bf16", { 1000, n / 1000 }, "half")
        half:copy(from)
        local back = Tensor.new(arena, "f32", { n }, "back")
        back:copy(half)
        local widest = 0
        for k = 0, n - 1 do
          local got = ffi.cast("float *", back.data)[k]
          widest = math.max(widest, math.abs(got - host[k]) / math.abs(host[k]))
        end
        assert.is_true(widest > 0 and widest <= 2 ^ -8, tostring(widest))
      end
      C.check(lib.fsam_threads_set(0))
    end)

    it("refuse types that do not fit, files that are too short, and memory taken back", function()
      local t = Tensor.new(arena, "i32", { 4 }, "ids")
      local file = map(("\0"):rep(64))
      assert.truthy(refused(lib.FSAM_EINVAL, lib.fsam_file_read_tensor(t, file, "F32", 0))
        :find("type F32 cannot be read into ids", 1, true))
      refused(lib.FSAM_EINVAL, lib.fsam_file_read_tensor(t, file, "what", 0))
      refused(lib.FSAM_EINVAL, lib.fsam_file_read_tensor(t, file, "I32", 52))
      lib.fsam_arena_reset(arena)
      refused(lib.FSAM_ESTALE, lib.fsam_file_read_tensor(t, file, "I32", 0))
      local w = open_writer(folder .. "/out")
      refused(lib.FSAM_ESTALE, lib.fsam_writer_tensor(w, t))
      lib.fsam_writer_abandon(w)
    end)
  end)

  describe("the writer", function()
    it("keeps the order of small and large pieces", function()
      local w, parts = open_writer(folder .. "/out"), {}
      for i, size in ipairs({ 0, 5, 1048570, 1, 1, 1048577, 3, 2000000, 1048576, 7 }) do
        parts[i] = string.char(64 + i):rep(size)
        assert.equal(0, lib.fsam_writer_write(w, parts[i], size))
      end
      assert.equal(0, lib.fsam_writer_close(w))
      assert.is_true(table.concat(parts) == helper.read_file(folder .. "/out"))
    end)

    it("reports a full disk, at the write that sees it or at closing", function()
      if not lfs.attributes("/dev/full") then
        pending("no /dev/full")
        return
      end
      local message = "cannot write /dev/full: No space left on device"
      local w = open_writer("/dev/full")
      assert.equal(0, lib.fsam_writer_write(w, "abc", 3)) -- in the buffer
      assert.equal(message, refused(lib.FSAM_EIO, lib.fsam_writer_close(w)))
      w = open_writer("/dev/full")
      local large = ("x"):rep(1100000)
      assert.equal(message, refused(lib.FSAM_EIO, lib.fsam_writer_write(w, large, #large)))
      assert.equal("cannot write /dev/full: an earlier write failed",
        refused(lib.FSAM_EIO, lib.fsam_writer_write(w, "abc", 3)))
      refused(lib.FSAM_EIO, lib.fsam_writer_close(w))
      lib.fsam_writer_abandon(nil)
    end)

    it("names the path when it cannot be opened", function()
      local out, path = ffi.new("fsam_writer *[1]"), folder .. "/no/file"
      assert.equal("cannot write " .. path .. ": No such file or directory",
        refused(lib.FSAM_EIO, lib.fsam_writer_open(out, path, 0)))
    end)
  end)

  describe("paths", function()
    it("are renamed, exchanged and synced, or the message names them", function()
      local a, b = helper.write_file(folder .. "/a", "A"), folder .. "/b"
      assert.truthy(refused(lib.FSAM_EIO, lib.fsam_path_rename(a, b, 1))
        :find("cannot exchange " .. a .. " with " .. b .. ": No such file", 1, true))
      assert.equal(0, lib.fsam_path_rename(a, b, 0))
      helper.write_file(a, "new A")
      local rc = lib.fsam_path_rename(a, b, 1)
      if rc ~= lib.FSAM_EINVAL then -- file systems may lack this, and say so
        assert.equal(0, rc)
        assert.equal("A", helper.read_file(a))
        assert.equal("new A", helper.read_file(b))
      end
      assert.equal(0, lib.fsam_path_sync(b))
      assert.equal(0, lib.fsam_path_sync(folder))
      assert.truthy(refused(lib.FSAM_EIO, lib.fsam_path_sync(folder .. "/none"))
        :find(folder .. "/none", 1, true))
    end)

    it("are removed with all that is in them, but not with what links point to", function()
      local tree, outside = folder .. "/tree", folder .. "/outside"
      for _, path in ipairs({ tree, tree .. "/inner", outside }) do
        assert(lfs.mkdir(path))
        helper.write_file(path .. "/file", "x")
      end
      assert(lfs.link(outside, tree .. "/inner/link", true))
      assert.equal(0, lib.fsam_path_remove(tree))
      assert.is_nil(lfs.symlinkattributes(tree))
      assert.equal("x", helper.read_file(outside .. "/file"))
      assert.equal(0, lib.fsam_path_remove(tree))
    end)
  end)
end)
