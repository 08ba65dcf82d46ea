-- CUDA's selection and mask counts, run by the shim, against the CPU's, bit for bit.
local C = require("fsam.C")
local simt = require("spec.simt.device")
local stage = require("spec.kernels.stage")
local OP = require("fsam.vector.instructions").OP
local ffi, check = C.ffi, C.check

local PARAMETERS = { -- elements, frozen
  { 5000, 0 }, { 100, 0 }, { 70, 1 }, { 64, 0 }, { 9000, 0 }, { 1, 0 },
}

--- A layout of PARAMETERS on a device.
local function layout_on(device)
  local n, total = #PARAMETERS, 0
  local offset, count = ffi.new("int64_t[?]", n), ffi.new("int64_t[?]", n)
  local layer, frozen = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
  for i, parameter in ipairs(PARAMETERS) do
    offset[i - 1], count[i - 1], frozen[i - 1] = total, parameter[1], parameter[2]
    total = total + math.ceil(parameter[1] / 64) * 64
  end
  local out = ffi.new("fsam_layout *[1]")
  check(C.lib.fsam_layout_new(out, device, n, offset, count, layer, frozen, total, 0))
  return ffi.gc(out[0], C.lib.fsam_layout_free), total
end

describe("select on cuda", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  local cpu, gpu, cpu_layout, gpu_layout, total, keys, program

  before_each(function()
    local out = ffi.new("fsam_device *[1]")
    check(C.lib.fsam_device_open(out, "cpu"))
    cpu = ffi.gc(out[0], C.lib.fsam_device_close)
    simt.open(out)
    gpu = ffi.gc(out[0], C.lib.fsam_device_close)
    cpu_layout, total = layout_on(cpu)
    gpu_layout = layout_on(gpu)
    keys = ffi.new("float[?] __attribute__((aligned(64)))", total)
    local code = ffi.new("fsam_instruction[3]",
      { { op = OP.SWEEP }, { op = OP.KEY, space = 2 }, { op = OP.END } })
    local size = ffi.new("fsam_program_size", { bound = 1 })
    local made = ffi.new("fsam_program *[1]")
    check(C.lib.fsam_program_new(made, cpu, code, 3, size))
    program = ffi.gc(made[0], C.lib.fsam_program_free)
  end)

  local function fill(value)
    local random = stage.random("keys")
    for i = 0, total - 1 do
      keys[i] = value(math.abs(random()), i)
    end
  end

  local function mask()
    local words = ffi.new("uint64_t[?]", total / 64)
    ffi.fill(words, total / 8, 0x5a) -- bits of frozen parameters and padding stay
    return words
  end

  local function pool_of(list)
    local pool = ffi.new("uint8_t[?]", #PARAMETERS)
    for _, i in ipairs(list) do
      pool[i - 1] = 1
    end
    return pool
  end

  local function on_cpu(words, pool, k, per_parameter, outside)
    local bound = ffi.new("void *[1]", keys)
    local binding = ffi.new("fsam_binding", { bound = bound })
    return C.lib.fsam_program_select(words, program, cpu_layout, binding, pool, k,
      per_parameter, outside)
  end

  --- Both orders of threads choose the same as the CPU.
  local function same(pool, k, per_parameter, outside)
    local want = mask()
    check(on_cpu(want, pool, k, per_parameter, outside))
    for descending = 0, 1 do
      local got = mask()
      lib.fsam_simt_order(descending)
      lib.fsam_simt_poison(gpu)
      check(lib.fsam_simt_select(got, keys, gpu_layout, pool, k, per_parameter, outside))
      for i = 0, total / 64 - 1 do
        assert(want[i] == got[i], ("word %d differs"):format(i))
      end
    end
    return want
  end

  local function k_of(...)
    return ffi.new("int64_t[6]", { ... })
  end

  local KEYS = {
    ["spread keys"] = function(x)
      return x * x
    end,
    ["keys with many ties"] = function(x)
      return math.floor(x * 4)
    end,
    ["one key for all"] = function()
      return 0.25
    end,
    ["zeros, negative ones too, and infinity"] = function(x, i)
      return x < 0.9 and (i % 2 == 0 and 0 or -0.0) or x < 0.91 and math.huge or x
    end,
  }

  for name, value in pairs(KEYS) do
    it("chooses the same among " .. name, function()
      fill(value)
      for _, k in ipairs({ 0, 1, 64, 700, 4999, 14101, 14165, 20000 }) do
        same(pool_of({ 1, 2, 4, 5, 6 }), k_of(k), 0, 0)
        same(pool_of({ 1, 3, 5 }), k_of(k), 0, 1)
      end
      same(pool_of({ 1, 2, 5, 6 }), k_of(500, 10, 0, 3, 4097, 1), 1, 1)
      same(pool_of({ 1, 2, 3, 4, 5, 6 }), k_of(5000, 0, 7, 64, 1, 2), 1, 0)
    end)
  end

  it("names the first key that is negative or not a number", function()
    fill(KEYS["spread keys"])
    keys[9000], keys[5100], keys[200] = -1, 0 / 0, -1e-30
    for _, k in ipairs({ 5, 20000 }) do
      assert.is_true(on_cpu(mask(), pool_of({ 2, 5 }), k_of(k), 0, 0) < 0)
      local message = ffi.string(C.lib.fsam_error())
      assert.equal(C.lib.FSAM_EINVAL,
        lib.fsam_simt_select(mask(), keys, gpu_layout, pool_of({ 2, 5 }), k_of(k), 0, 0))
      assert.equal(message, ffi.string(C.lib.fsam_error()))
    end
  end)

  it("counts the bits of a mask, and of two", function()
    fill(KEYS["spread keys"])
    local a = same(pool_of({ 1, 2, 4, 5, 6 }), k_of(3000), 0, 0)
    local b = same(pool_of({ 1, 2, 4, 5 }), k_of(4000), 0, 1)
    local want, got = ffi.new("double[6]"), ffi.new("double[6]")
    for _, second in ipairs({ false, b }) do
      check(C.lib.fsam_mask_count(want, cpu_layout, a, second or nil))
      check(C.lib.fsam_mask_count(got, gpu_layout, a, second or nil))
      for i = 0, 5 do
        assert.equal(want[i], got[i])
      end
    end
  end)
end)
