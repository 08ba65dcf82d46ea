--- The scalars and rows of one program: their registers, and the instructions that compute them
-- between the sweeps. Each record is computed once in a program.
--
-- Owns: the register numbers of scalars, rows and uniforms (a scalar or row, spread to the elements
-- of a sweep). Leaves to others: vectors (values.lua).
local code = require("fsam.vector.instructions")
require("fsam.base.source_line").own()

local OP, SCALAR, ROW = code.OP, code.SCALAR, code.ROW
local LEAF, QUEUED, CELL = code.LEAF, code.QUEUED, code.CELL

local M = {}

local Scalars = {}
Scalars.__index = Scalars

--- The scalars of a plan; numbers have the first scalar registers.
-- @tparam table plan from plan.lua
-- @tparam number numbers how many argument slots there are
function M.new(plan, numbers)
  return setmetatable({ plan = plan, list = {}, register_of = {}, uniform_of = {},
    used = { [SCALAR] = numbers, [ROW] = 0, uniform = 0 } }, Scalars)
end

-- space: SCALAR, ROW or "uniform".
local function new_register(self, space)
  local register = self.used[space]
  self.used[space] = register + 1
  return register
end

-- kinds: bit i is set where input i is a scalar of a row instruction.
local function append(self, op, space, kinds, out, a, b, c)
  self.list[#self.list + 1] =
    { op = op, space = space, kinds = kinds, out = out, a = a or 0, b = b or 0, c = c or 0, d = 0 }
end

-- Appends what it takes to compute an arithmetic record; its register.
local function compute(self, ref, space)
  local plan = self.plan
  local inputs, kinds = {}, 0
  for i, operand in ipairs({ plan.a[ref], plan.b[ref], plan.c[ref] }) do
    if operand ~= 0 then
      local register, operand_space = self:value(operand)
      inputs[i] = register
      if operand_space < space then
        kinds = kinds + 2 ^ (i - 1)
      end
    end
  end
  local out = new_register(self, space)
  append(self, plan.op[ref], space, kinds, out, inputs[1], inputs[2], inputs[3])
  return out
end

--- A scalar or row; appends what it takes to compute it.
-- @tparam number ref a record, or minus a number's slot
-- @treturn number its register
-- @treturn number SCALAR or ROW
function Scalars:value(ref)
  if ref < 0 then
    return -ref - 1, SCALAR
  end
  local plan = self.plan
  local op, space = plan.op[ref], plan:rank(ref)
  if op == QUEUED then
    return self:value(plan.a[ref])
  elseif self.register_of[ref] then
    return self.register_of[ref], space
  end
  local out
  if op == LEAF or op == CELL then
    out = new_register(self, space)
    append(self, OP.LOAD, space, 0, out, plan.a[ref])
  elseif plan:reduction(ref) then
    out = new_register(self, space) -- its sweep writes it
  else
    out = compute(self, ref, space)
  end
  self.register_of[ref] = out
  return out, space
end

--- A scalar or row as an operand of vector instructions: its uniform.
function Scalars:uniform(ref)
  local register, space = self:value(ref)
  local key = register * 2 + space
  if not self.uniform_of[key] then
    self.uniform_of[key] = new_register(self, "uniform")
    append(self, OP.BROADCAST, space, 0, self.uniform_of[key], register)
  end
  return self.uniform_of[key]
end

--- Writes a scalar or row to a cell.
function Scalars:store(ref, cell)
  local register, space = self:value(ref)
  append(self, OP.STORE, space, 0, cell, register)
end

--- Takes the instructions that were appended since the last call.
function Scalars:take()
  local list = self.list
  self.list = {}
  return list
end

return M
