-- Arenas and tensors: lifetimes, what a stale tensor says, reading and writing, Philox.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")

local device = devices.open("cpu")

describe("an arena", function()
  it("takes memory back all at once, and counts live and peak bytes", function()
    local arena = devices.arena(device, "spec")
    Tensor.new(arena, "f32", { 100 }, "first")
    local first = devices.usage(arena).live
    Tensor.new(arena, "f32", { 5000, 3 }, "second")
    local both = devices.usage(arena).live
    assert.is_true(both >= first + 60000)
    C.lib.fsam_arena_reset(arena)
    assert.same({ live = 0, peak = both }, devices.usage(arena))
    Tensor.new(arena, "f32", { 100 }, "first")
    assert.same({ live = first, peak = both }, devices.usage(arena))
  end)

  it("gives the same offsets again after a reset, also when it had grown", function()
    local arena = devices.arena(device, "spec")
    local function lay()
      local first = Tensor.new(arena, "f32", { 1000 }, "first")
      local last
      for i = 1, 20 do
        last = Tensor.new(arena, "f32", { 100000 }, "block " .. i)
      end
      return tonumber(C.ffi.cast("intptr_t", last.data) - C.ffi.cast("intptr_t", first.data))
    end
    lay()
    C.lib.fsam_arena_reset(arena)
    local distance = lay()
    C.lib.fsam_arena_reset(arena)
    assert.equal(distance, lay())
  end)

  it("refuses a tensor whose memory was taken back, and names it", function()
    local arena = devices.arena(device, "step")
    local old = Tensor.new(arena, "f32", { 4 }, "hidden states")
    C.lib.fsam_arena_reset(arena)
    local function stale()
      local ok, e = pcall(old.read, old)
      assert.is_false(ok)
      assert.equal("tensor hidden states: its memory was taken back (the step arena was reset)",
        tostring(e))
    end
    stale()
    Tensor.new(arena, "f32", { 4 }, "another in the same place")
    stale()
  end)
end)

describe("a tensor", function()
  local arena = devices.arena(device, "spec")

  it("keeps what is written, rounded to nearest even in bf16", function()
    local values = { 1, -2.5, 0.1, 2 ^ 100, 0, 1 + 2 ^ -8, 1 + 3 * 2 ^ -8 }
    assert.near(values, Tensor.new(arena, "f32", { 7 }, "t"):write(values), 1e-8)
    local half = Tensor.new(arena, "bf16", { 7 }, "t"):write(values):read()
    assert.near({ 1, -2.5, 0.10009765625 }, { half[1], half[2], half[3] }, 0)
    assert.equal(1, half[6]) -- a tie goes to the even neighbour
    assert.equal(1 + 2 ^ -6, half[7])
    local ints = Tensor.new(arena, "i32", { 3 }, "t"):write({ -1, 0, 2147483647 })
    assert.same({ -1, 0, 2147483647 }, ints:read())
  end)

  it("zeroes where it is asked to, also what an earlier tensor has written", function()
    local size = 3 * 2 ^ 18 -- 3 MB: memory of its own
    local ones = Tensor.new(arena, "f32", { size }, "ones"):fill(1)
    assert.equal(0, Tensor.new(arena, "f32", { size }, "new", true):read()[size])
    assert.equal(1, ones:read()[size])
    C.lib.fsam_arena_reset(arena)
    for _ = 1, 2 do
      local zeros = Tensor.new(arena, "f32", { size }, "zeros", true):read()
      assert.equal(0, zeros[1])
      assert.equal(0, zeros[size])
    end
  end)

  it("gives every NaN as one that Lua can hold", function()
    local t = Tensor.new(arena, "f32", { 2 }, "t")
    local bits = C.ffi.cast("uint32_t *", t.data)
    bits[0], bits[1] = 0xffffa000, 0x3f800000
    local values = t:read()
    assert.is_true(values[1] ~= values[1])
    assert.equal(1, values[2])
  end)

  it("has views and column slices of the same memory", function()
    local t = Tensor.new(arena, "f32", { 3, 4 }, "t")
    t:write({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 })
    assert.same({ 5, 6, 7, 8 }, t:view({ 4 }, 4):read())
    local columns = t:columns(1, 2)
    assert.equal(4, tonumber(columns.row_stride))
    assert.has_error(function()
      columns:read() -- rows with gaps
    end)
    assert.has_error(function()
      t:view({ 13 })
    end)
    local ok, message = pcall(columns.view, columns, { 4 }, 0, "flat")
    assert.is_false(ok)
    assert.equal("view flat: t is a column slice; whole rows are needed", tostring(message))
    assert.has_error(function()
      t:columns(3, 2)
    end)
  end)

  it("says what does not fit in one line", function()
    local t = Tensor.new(arena, "f32", { 2, 2 }, "scores")
    local ok, e = pcall(t.write, t, { 1, 2, 3 })
    assert.is_false(ok)
    assert.equal("write: 3 values for scores [2, 2] f32", tostring(e))
    ok, e = pcall(Tensor.new, arena, "f32", { 2 ^ 40, 2 ^ 40 }, "too large")
    assert.is_false(ok)
    assert.matches("^tensor too large: dimension 2 is", tostring(e))
  end)
end)

describe("Philox4x32-10", function()
  it("gives the known answers of its authors' test vectors", function()
    local out = C.ffi.new("uint32_t[4]")
    local ones = 0xffffffff
    for _, case in ipairs({
      { { 0, 0, 0, 0, 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
      { { ones, ones, ones, ones, ones, ones },
        { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
      { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0 },
        { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    }) do
      C.lib.fsam_philox(out, unpack(case[1]))
      for i, word in ipairs(case[2]) do
        assert.equal(word, out[i - 1])
      end
    end
  end)

  it("fills tensors with values that depend on seed, stream and place alone", function()
    local arena = devices.arena(device, "spec")
    local function fill(n, seed, normal)
      local t = Tensor.new(arena, "f32", { n }, "t")
      C.check(C.lib.fsam_tensor_random(t, normal, 0, 1, seed, 3))
      return t:read()
    end
    local long, short = fill(20000, 1, 1), fill(10, 1, 1)
    for i = 1, 10 do
      assert.equal(long[i], short[i])
    end
    assert.is_not.same(short, fill(10, 2, 1))
    local mean, square = 0, 0
    for _, x in ipairs(long) do
      mean, square = mean + x / #long, square + x * x / #long
    end
    assert.near(0, mean, 0.03)
    assert.near(1, square, 0.05)
    for _, x in ipairs(fill(1000, 1, 0)) do
      assert.is_true(x > 0 and x < 1)
    end
  end)
end)

describe("a device", function()
  it("that is not there is refused in one line, and auto falls back to the CPU", function()
    local out = C.ffi.new("fsam_device *[1]")
    assert.equal(C.lib.FSAM_EINVAL, C.lib.fsam_device_open(out, "tpu"))
    assert.equal("device tpu is unknown (cpu, cuda, auto)", C.ffi.string(C.lib.fsam_error()))
    C.check(C.lib.fsam_device_open(out, "auto"))
    assert.is_true(#C.ffi.string(C.lib.fsam_device_name(out[0])) > 0)
    C.lib.fsam_device_close(out[0])
  end)

  it("takes a number of threads, and 0 for all cores", function()
    local all = devices.threads(0)
    assert.is_true(all >= 1)
    assert.equal(1, devices.threads(1))
    assert.has_error(function()
      devices.threads(-1)
    end)
    devices.threads(0)
  end)
end)

describe("a read in two halves", function()
  local arena = devices.arena(device, "readback")

  it("gives the values as they were when it began, as often as asked", function()
    local t = Tensor.new(arena, "f32", { 2, 2 }, "t"):write({ 1, 2, 3, 0 / 0 })
    local later = t:later()
    t:fill(7)
    local host, count = later:to_host()
    assert.equal(4, count)
    assert.same({ 1, 2, 3 }, { host[0], host[1], host[2] })
    assert.is_true(host[3] ~= host[3])
    assert.equal(host, (later:to_host()))
    assert.same({ 2, 2 }, later:dims())
    assert.same({ 7, 7, 7, 7 }, t:read())
  end)

  it("refuses bf16, another count, and to be ended twice", function()
    local read = C.ffi.new("fsam_readback *[1]")
    local function message(rc)
      assert.is_true(rc < 0)
      return C.ffi.string(C.lib.fsam_error())
    end
    assert.equal("readback: half is bf16, expected f32 or i32",
      message(C.lib.fsam_readback_begin(read, Tensor.new(arena, "bf16", { 1 }, "half"))))
    local t, host = Tensor.new(arena, "i32", { 2 }, "pair"):write({ 4, 5 }), C.ffi.new("int32_t[2]")
    C.check(C.lib.fsam_readback_begin(read, t))
    assert.equal("readback: 1 values of pair, which has 2 elements",
      message(C.lib.fsam_readback_end(read[0], host, 1)))
    C.check(C.lib.fsam_readback_end(read[0], host, 2))
    assert.same({ 4, 5 }, { host[0], host[1] })
    assert.equal("readback: pair has been taken already",
      message(C.lib.fsam_readback_end(read[0], host, 2)))
    C.lib.fsam_readback_free(read[0])
  end)
end)
