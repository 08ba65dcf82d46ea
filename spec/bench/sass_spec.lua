--- How many instructions of a kernel's machine code a warp executes (bench/gpu/sass.lua).
local helper = require("spec.helper")
package.path = helper.root .. "/bench/gpu/?.lua;" .. package.path
local sass = require("sass")

-- Lines as nvdisasm writes them: a label, or an instruction.
local function kernel(lines)
  local text, i = { ".text. tiny_k<int> :" }, 0
  for _, line in ipairs(lines) do
    text[#text + 1] = line:find("^%.L") and line
      or ("        /*%04x*/                   %s ;"):format(16 * #text, line)
  end
  return sass.read(function()
    i = i + 1
    return text[i]
  end)["tiny_k<int>"]
end

local function times(count)
  return function()
    return count
  end
end

describe("counting a warp's instructions", function()
  for name, case in pairs({
    ["a straight line"] = { 3, { "MOV R1, R2", "IADD3 R1, R1, R2, RZ", "EXIT" } },
    ["padding after the end"] = { 1, { "EXIT", ".L_x_0:", "BRA `(.L_x_0)", "NOP" } },
    ["a loop, as often as it runs"] = { 1 + 5 * 2 + 1,
      { "MOV R1, R2", ".L_x_0:", "IADD3 R1, R1, R2, RZ", "@P0 BRA `(.L_x_0)", "EXIT" } },
    ["the shorter of two ways with equal work"] = { 2,
      { "@P0 BRA `(.L_x_0)", "MOV R1, R2", "MOV R1, R2", ".L_x_0:", "EXIT" } },
    ["the way through a product, though longer"] = { 4,
      { "@P0 BRA `(.L_x_0)", "MOV R1, R2", "HMMA.16816.F32.BF16 R4, R4, R8, R4", ".L_x_0:",
        "EXIT" } },
    ["the way of 16 bytes, not the slow one by elements"] = { 4,
      { "@P0 BRA `(.L_x_0)", "LDG.E.U16 R1, [R2]", "LDG.E.U16 R1, [R2]", "BRA `(.L_x_1)",
        ".L_x_0:", "LDG.E.128 R4, [R2]", "MOV R1, R2", ".L_x_1:", "EXIT" } },
    ["no exit that a guard may pass by"] = { 4,
      { "@P0 EXIT", "MOV R1, R2", "LDG.E.128 R4, [R2]", "EXIT" } },
  }) do
    it("takes " .. name, function()
      assert.equal(case[1], (sass.executed(kernel(case[2]), times(5))))
    end)
  end

  it("counts what does the work, and tells loops by it", function()
    local tile = kernel({ ".L_x_0:", "HMMA.16816.F32.BF16 R4, R4, R8, R4", ".L_x_1:",
      "IMAD.WIDE.U32 R2, R3, -0x2daee0ad, RZ", "@P1 BRA `(.L_x_1)", "@P0 BRA `(.L_x_0)", "EXIT" })
    local count, marks = sass.executed(tile, function(loop)
      return loop.marks.product and 3 or 4
    end)
    assert.equal(3 * (1 + 4 * 2 + 1) + 1, count)
    assert.same({ product = 3, philox = 12 }, marks)
  end)
end)
