-- Products on a GPU: how vendor/cublaslt_cuda.c chooses, keeps and times algorithms, on a stand-in
-- for cuBLASLt (cublaslt.cpp). Of its four algorithms the second is the fastest that runs.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local simt = require("spec.simt.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("products on a GPU", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local device, arena

  before_each(function()
    device, arena = simt.open_lazy("products")
  end)

  after_each(function()
    shim.fsam_simt_first_algorithm(1)
    simt.close(device, arena)
  end)

  -- A tensor [rows, columns] whose first element lies `shift` elements behind an aligned address.
  local function new(dtype, rows, columns, value, shift)
    local whole = Tensor.new(arena, dtype, { rows * columns + 64 }, "whole"):fill(value)
    return whole:view({ rows, columns }, shift or 0, "x")
  end

  -- y [8, 16] = x [8, 32] w [16, 32]^T, and the function that queues it once more.
  local function product(shift)
    local x, w = new("bf16", 8, 32, 0.5, shift), new("bf16", 16, 32, 2)
    local y = new("bf16", 8, 16, 0)
    return y, function()
      return lib.fsam_linear_forward(y, x, w, nil)
    end
  end

  local function text()
    local out = ffi.new("const char *[1]")
    check(lib.fsam_tuning_text(device, out))
    return ffi.string(out[0])
  end

  -- The numbers of the algorithms that are remembered.
  local function chosen()
    local list = {}
    for number in text():gmatch("= (%x+)") do
      list[#list + 1] = tonumber(number, 16)
    end
    return list
  end

  it("are right, and not timed unless asked", function()
    local y, run = product()
    check(run())
    assert.equal(32, y:read()[1])
    assert.equal("", text())
  end)

  it("are timed once where asked, and the fastest is remembered", function()
    check(lib.fsam_tuning_begin(device, nil))
    local y, run = product()
    check(run())
    assert.equal(32, y:read()[128])
    local known = text()
    assert.matches("^cublaslt 130000, Lazy GPU, .*\n16 8 32 32 32 16 1 0 .* = 2 .*\n$", known)
    check(lib.fsam_tuning_begin(device, (known:gsub("= 2 ", "= 3 "))))
    check(run())
    assert.same({ 3 }, chosen()) -- as it was remembered, although slower
    check(lib.fsam_tuning_begin(device, (known:gsub("= 2 ", "= 9 "))))
    check(run()) -- which the library does not know
    assert.same({ 9, 2 }, chosen())
    check(lib.fsam_tuning_begin(device, (known:gsub("Lazy", "Other"))))
    check(run())
    assert.same({ 2 }, chosen())
  end)

  it("leave what they add to as it was while they are timed", function()
    check(lib.fsam_tuning_begin(device, nil))
    local dy, x = new("bf16", 8, 16, 1), new("bf16", 8, 32, 0.5)
    local dw = Tensor.new(arena, "f32", { 16, 32 }, "dw"):fill(7)
    dw.filled = 1
    check(lib.fsam_linear_backward_weight(dw, nil, dy, x))
    assert.equal(11, dw:read()[1])
    assert.same({ 2 }, chosen())
  end)

  it("are not timed while a graph is recorded, but at their next sight", function()
    check(lib.fsam_tuning_begin(device, nil))
    local y, run = product()
    check(lib.fsam__workspace(ffi.new("void *[1]"), device, 33 * 2 ^ 20))
    check(lib.fsam_graph_begin(device))
    assert.equal(lib.FSAM_EINVAL, run())
    assert.equal("graph: cannot time a product while work is being recorded",
      ffi.string(lib.fsam_error()))
    local out = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_end(out, device)) -- the runtime was asked for nothing that it refuses
    lib.fsam_graph_free(out[0])
    assert.same({}, chosen())
    check(run())
    assert.same({ 2 }, chosen())
    y:fill(0)
    check(lib.fsam_graph_begin(device))
    check(run())
    check(lib.fsam_graph_end(out, device))
    check(lib.fsam_graph_run(out[0]))
    lib.fsam_graph_free(out[0])
    assert.equal(32, y:read()[1])
  end)

  it("have an algorithm of their own where addresses are less aligned", function()
    check(lib.fsam_tuning_begin(device, nil))
    for _, shift in ipairs({ 0, 1, 8, 0 }) do -- the last address is as aligned as the first
      local y, run = product(shift)
      check(run())
      assert.equal(32, y:read()[1])
    end
    assert.same({ 2, 2, 2 }, chosen())
  end)

  it("are refused in a line where the first algorithm cannot be run", function()
    shim.fsam_simt_first_algorithm(0)
    local _, run = product()
    assert.equal(lib.FSAM_EINTERNAL, run())
    assert.equal("linear: cuBLASLt cannot multiply this (CUBLAS_STATUS_NOT_SUPPORTED): [8, 32] "
      .. "times [16, 32] transposed, bf16 to bf16", ffi.string(lib.fsam_error()))
    check(lib.fsam_tuning_begin(device, nil)) -- with a choice, another one serves
    check(run())
    assert.same({ 2 }, chosen())
  end)
end)
