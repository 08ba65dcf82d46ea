--- Numbers of the instructions (engine/program.def, asked from the library, so that the two lists
-- are one), and of what only Lua knows.
local C = require("fsam.C")
require("fsam.base.source_line").own()

local M = {}

--- Instruction numbers by name: OP.ADD, OP.MUL_ADD, …
M.OP = {}
--- Names by number.
M.NAME = {}

local op = 0
while true do
  local name = C.lib.fsam_program_op(op)
  if name == nil then
    break
  end
  M.NAME[op] = C.ffi.string(name)
  M.OP[M.NAME[op]] = op
  op = op + 1
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
