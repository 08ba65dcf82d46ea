-- CUDA kernels on a GPU, against the CPU's: the cases of every kernel's own spec, in f32 and bf16,
-- with gradients written and added to, twice with equal bits, guard words around every buffer. Runs
-- only where FSAM_TEST_DEVICE is cuda (scripts/gpu-check sets it).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local cudnn_dropout = require("spec.kernels.cudnn_dropout")
local helper = require("spec.helper")
local stage = require("spec.kernels.stage")
local twins = require("spec.kernels.twins")
local ffi, lib, check = C.ffi, C.lib, C.check

local function open(out)
  check(lib.fsam_device_open(out, "cuda"))
end

local function nothing() end

-- Why no GPU can be opened with FSAM_ATTENTION=cudnn, or nil.
local function without_cudnn()
  local code, out, err = helper.fsam_lua({ env = "FSAM_ATTENTION=cudnn", "-e",
    "require('fsam').device.open('cuda')" })
  return code ~= 0 and (out .. err) or nil
end

describe("gpu", function()
  if helper.device ~= "cuda" then
    pending("FSAM_TEST_DEVICE is not cuda")
    return
  end
  local runs = { open = open, first = nothing, second = nothing, between = nothing }

  twins.declare(it, runs)
  local absent = without_cudnn()
  if absent then
    pending("attention by cuDNN: " .. absent)
  else
    it("draws attention's dropout by cuDNN, the same backward as forward", function()
      cudnn_dropout.check(open)
    end)
    twins.declare_cudnn(it, setmetatable({
      used = function() -- only cuDNN's attention opens its library, and a refusal is an error
        return helper.read_file("/proc/self/maps"):find("libcudnn", 1, true) ~= nil
      end,
    }, { __index = runs }))
  end

  it("reports faults in data when a result is read", function()
    assert.equal("embedding: ids names a row that the word table does not have",
      twins.fault(open, "embedding", function(s)
        twins.spoil(s, "ids", 2, -1)
      end))
    assert.equal("cross_entropy: labels names a class that the logits do not have",
      twins.fault(open, "cross_entropy", function(s)
        twins.spoil(s, "labels", 1, -3)
      end))
  end)

  it("copies more than its pinned memory holds, both ways", function()
    local arena = devices.arena(devices.open("cuda"), "copies")
    local count = 5 * 1024 * 1024 + 3
    local host = ffi.new("int32_t[?]", count)
    for i = 0, count - 1 do
      host[i] = i * 7 - 11
    end
    local t = Tensor.new(arena, "i32", { count }, "large"):write(host)
    local back = t:to_host()
    local later = t:later()
    t:fill(1)
    local then_ = later:to_host()
    for i = 0, count - 1 do
      assert(back[i] == host[i] and then_[i] == host[i], "differs")
    end
  end)

  it("says what was asked and what is left when memory is missing", function()
    local arena = devices.arena(devices.open("cuda"), "too large")
    local ok, err = pcall(Tensor.new, arena, "f32", { 2 ^ 40 }, "huge")
    assert.is_false(ok)
    assert.matches("^too large arena: no memory for huge %(4398046.5 MB; 0.0 MB are in use; the "
      .. "GPU has [%d.]+ of [%d.]+ GB left%)$", tostring(err))
  end)

  it("chooses among algorithms by timing, and remembers", function()
    local device = devices.open("cuda")
    local arena = devices.arena(device, "tuning")
    local text = ffi.new("const char *[1]")
    check(lib.fsam_tuning_begin(device, nil))
    local function multiply()
      local x = Tensor.new(arena, "f32", { 40, 96 }, "x"):fill(0.5)
      local w = Tensor.new(arena, "f32", { 64, 96 }, "w"):fill(2)
      local y = Tensor.new(arena, "f32", { 40, 64 }, "y")
      check(lib.fsam_linear_forward(y, x, w, nil))
      return y:read()[1]
    end
    assert.equal(96, multiply())
    check(lib.fsam_tuning_text(device, text))
    local known = ffi.string(text[0])
    assert.matches("^cublaslt %d+, .*\n64 40 96 .* = %x+ .*\n$", known)
    check(lib.fsam_tuning_begin(device, known))
    assert.equal(96, multiply())
    check(lib.fsam_tuning_text(device, text))
    assert.equal(known, ffi.string(text[0]))
  end)

  it("chooses between its attention and cuDNN's by timing, and remembers", function()
    if absent then
      pending(absent)
      return
    end
    local case = twins.cases_of("attention").make("", 1, 64, { 70, 33 })
    local s, text = stage.new(case, "bf16", open), ffi.new("const char *[1]")
    check(lib.fsam_tuning_begin(s.device[0], nil))
    for _ = 1, 2 do
      check(case.forward(s.t, s.batch, case))
      check(lib.fsam_tuning_text(s.device[0], text))
      local choice, more = ffi.string(text[0])
        :match("\nattention forward 1 64 2 96 = ([^\n]+)\n(.*)")
      assert.is_true(choice == "own" or choice:find("^cudnn %d+$") ~= nil)
      assert.equal("", more)
    end
    s:close()
  end)
end)
