-- The engine's side of vector programs: the list of instructions and what it refuses.
local C = require("fsam.C")
local code = require("fsam.vector.instructions")
local device = require("fsam.base.device")
local ffi, OP = C.ffi, code.OP

local function refused(...)
  local list = { ... }
  local array, made = ffi.new("fsam_instruction[?]", #list, list), ffi.new("fsam_program *[1]")
  local size = ffi.new("fsam_program_size", { bound = 2, scalars = 2, rows = 1, cells = 1 })
  local rc = C.lib.fsam_program_new(made, device.open("cpu"), array, #list, size)
  if rc >= 0 then
    C.lib.fsam_program_free(made[0])
    return nil
  end
  return ffi.string(C.lib.fsam_error())
end

describe("an instruction's row", function()
  it("says what it computes", function()
    local op = C.lib.fsam_program_op(OP.MUL_ADD)
    assert.equal("MUL_ADD", ffi.string(op.name))
    assert.equal("vvvv", ffi.string(op.operands))
    assert.equal("(a * b) + c", ffi.string(op.text))
    assert.equal(C.lib.FSAM_OP_ELEMENTWISE, op.op_class)
    assert.is_true(C.lib.fsam_program_op(-1) == nil)
    assert.is_true(C.lib.fsam_program_op(#code.NAME + 1) == nil)
  end)

  it("is what Lua knows of it", function()
    local inputs, reduces, commutes = {}, {}, {}
    for number = 0, #code.NAME do
      local name = code.NAME[number]
      inputs[name] = code.INPUTS[number]
      reduces[#reduces + 1] = code.REDUCES[number] and name or nil
      commutes[#commutes + 1] = code.COMMUTES[number] and name or nil
    end
    assert.same({ "SUM", "DOT", "SUM_SQUARE_PRODUCT", "MAX_ABS", "MIN_OF", "MAX_OF" }, reduces)
    assert.same({ "ADD", "MUL", "EQ" }, commutes)
    assert.same({ 1, 2, 3, 4, 2, 0 }, { inputs.ABS, inputs.MASK_SELECT, inputs.SELECT,
      inputs.MUL_MUL_ADD, inputs.DOT, inputs.UNIFORM })
  end)
end)

describe("a program is refused", function()
  it("when an instruction is not one of its space", function()
    assert.equal("program: instruction 0 (QUOTIENT) is not one of space 0",
      refused({ op = OP.QUOTIENT, space = 0 }))
    assert.equal("program: instruction 1 (SUM) is not one of space 1",
      refused({ op = OP.COPY }, { op = OP.SUM, space = 1 }))
    assert.equal("program: instruction 1 (LOAD) is not one of space 2",
      refused({ op = OP.SWEEP }, { op = OP.LOAD, space = 2 }, { op = OP.END }))
  end)

  it("when an operand is beyond its registers", function()
    assert.equal("program: instruction 1 (ADD): operand 2 is 2, expected 0 to 1",
      refused({ op = OP.SWEEP }, { op = OP.ADD, space = 2, b = 2 }, { op = OP.END }))
    assert.equal("program: instruction 1 (SUM): operand 2 is 3, expected 0 to 2",
      refused({ op = OP.SWEEP }, { op = OP.SUM, space = 2, b = 3 }, { op = OP.END }))
  end)

  it("when a sweep does not end, or an instruction stands outside of its part", function()
    assert.equal("program: the last sweep has no END", refused({ op = OP.SWEEP }))
    assert.equal("program: instruction 0 (END) is out of place", refused({ op = OP.END }))
    assert.equal("program: instruction 0 (ABS) is in the wrong part",
      refused({ op = OP.ABS, space = 2 }))
    assert.is_nil(refused({ op = OP.ABS }, { op = OP.SWEEP }, { op = OP.ABS, space = 2 },
      { op = OP.END }))
  end)
end)

describe("a layout's shares", function()
  -- Parameters of these sizes, the second of them frozen; what share `rank` of `ranks` begins with.
  local function share(counts, rank, ranks)
    local n, total = #counts, 0
    local offset, count = ffi.new("int64_t[?]", n), ffi.new("int64_t[?]", n)
    local layer, frozen = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
    for i, size in ipairs(counts) do
      offset[i - 1], count[i - 1], frozen[i - 1] = total, size, i == 2 and 1 or 0
      total = total + math.ceil(size / 64) * 64
    end
    local out, starts = ffi.new("fsam_layout *[1]"), ffi.new("int64_t[?]", ranks + 1)
    C.check(C.lib.fsam_layout_new(out, device.open("cpu"), n, offset, count, layer, frozen, total,
      0))
    local layout, list = ffi.gc(out[0], C.lib.fsam_layout_free), {}
    C.check(C.lib.fsam_layout_share(layout, rank, ranks, starts))
    for r = 0, ranks do
      list[r + 1] = tonumber(starts[r])
    end
    assert.is_true(C.lib.fsam_layout_share(layout, rank, ranks, starts) < 0) -- it has one
    return list
  end

  it("are whole blocks, one range after another, of about equal size", function()
    -- Blocks begin at 0, 4096, 8192 and, behind the frozen parameter, 13056.
    assert.same({ 0, 13056, 16448 }, share({ 10000, 3000, 3392 }, 0, 2))
    assert.same({ 0, 8192, 13056, 16448 }, share({ 10000, 3000, 3392 }, 2, 3))
    assert.same({ 0, 40960, 81920 }, share({ 81920 - 128, 64, 64 }, 1, 2))
  end)

  it("are refused where there are too few blocks, or no such rank", function()
    assert.has_error(function() share({ 4000, 10 }, 0, 2) end,
      "--shard-state: the model is too small for 2 shares; leave it out")
    assert.has_error(function() share({ 9000 }, 3, 3) end, "layout: share 3 of 3")
  end)
end)
