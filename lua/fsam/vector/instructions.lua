--- The instructions of vector programs, as the library lists them (engine/program.def). Owns: the
-- numbers that only Lua needs, of records, kinds, storage classes and groups.
local C = require("fsam.C")
require("fsam.base.source_line").own()

local M = {}

--- Instruction numbers by name: OP.ADD, OP.MUL_ADD, …
M.OP = {}
--- By number: an instruction's name; how many values of its space it reads; does it reduce a
-- vector; may its first two inputs change places without changing a bit?
M.NAME, M.INPUTS, M.REDUCES, M.COMMUTES = {}, {}, {}, {}

local REDUCTION = C.lib.FSAM_OP_REDUCTION

local number, op = 0, C.lib.fsam_program_op(0)
while op ~= nil do
  local name, operands = C.ffi.string(op.name), C.ffi.string(op.operands)
  M.OP[name], M.NAME[number] = number, name
  M.INPUTS[number] = select(2, operands:sub(2):gsub("v", ""))
  M.REDUCES[number] = op.op_class == REDUCTION
  M.COMMUTES[number] = op.commutes ~= 0
  number = number + 1
  op = C.lib.fsam_program_op(number)
end

-- Nodes and key records that are no instructions.
M.LEAF = -1   -- the value that a storage has in memory
M.QUEUED = -2 -- the value that a queued set will give
M.CELL = -3   -- a scalar or row that was computed, or given by the host
M.SET = -4    -- a root: run this set
M.OUT = -5    -- a root: keep this scalar or row
M.KEY = -6    -- a root: what a selection looks at

-- A node's kind: its rank, plus BOOL for a condition.
M.SCALAR, M.ROW, M.VECTOR, M.BOOL = 0, 1, 2, 4

-- Storage classes.
M.F32, M.ACT, M.BITS, M.CELLS = 1, 2, 3, 4

-- A reduction's op is its instruction plus GROUP times 0 (all), 1 (each parameter), 2 (each layer).
M.GROUP = 256

return M
