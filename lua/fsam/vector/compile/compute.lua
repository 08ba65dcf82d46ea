--- Values within a program: what it takes to compute a scalar, a row or a vector, instruction by
-- instruction. Methods of emit.lua's emitter, whose list, known values and registers they fill.
-- Vector values are computed once per pass, children first; two arithmetic instructions become
-- one where the first has no other reader. Operands are { "m", slot } (a bound vector), { "v",
-- number } (a value of this pass), { "u", uniform } or { "s", scalar register }.
local code = require("fsam.vector.instructions")
require("fsam.base.source_line").own()

local OP, NAME = code.OP, code.NAME
local LEAF, QUEUED, CELL = code.LEAF, code.QUEUED, code.CELL
local SCALAR, VECTOR = code.SCALAR, code.VECTOR

local Emitter = {}

-- -- scalars and rows ---------------------------------------------------------------------------

function Emitter:new_register(space)
  local register = self.used[space]
  self.used[space] = register + 1
  return register
end

function Emitter:scalar_code(op, space, kinds, out, a, b, c)
  self.scalar_list[#self.scalar_list + 1] =
    { op = op, space = space, kinds = kinds, out = out, a = a or 0, b = b or 0, c = c or 0, d = 0 }
end

-- The register of a scalar or row, and its space; emits what it takes to compute it.
function Emitter:scalar(ref)
  if ref < 0 then
    return -ref - 1, SCALAR
  end
  local plan = self.plan
  local op, space = plan.op[ref], plan:rank(ref)
  if op == QUEUED then
    return self:scalar(plan.a[ref])
  elseif self.register_of[ref] then
    return self.register_of[ref], space
  end
  local out
  if op == LEAF or op == CELL then
    out = self:new_register(space)
    self:scalar_code(OP.LOAD, space, 0, out, plan.a[ref])
  elseif plan:reduction(ref) then
    out = self:new_register(space)
  else
    local inputs, kinds = {}, 0
    for i, operand in ipairs({ plan.a[ref], plan.b[ref], plan.c[ref] }) do
      if operand ~= 0 then
        local register, operand_space = self:scalar(operand)
        inputs[i] = register
        if operand_space < space then
          kinds = kinds + 2 ^ (i - 1)
        end
      end
    end
    out = self:new_register(space)
    self:scalar_code(op, space, kinds, out, inputs[1], inputs[2], inputs[3])
  end
  self.register_of[ref] = out
  return out, space
end

function Emitter:uniform(ref)
  local register, space = self:scalar(ref)
  local key = register * 2 + space
  if not self.uniform_of[key] then
    self.uniform_of[key] = self:new_register("uniform")
    self:scalar_code(OP.BROADCAST, space, 0, self.uniform_of[key], register)
  end
  return { "u", self.uniform_of[key] }
end

-- -- vectors --------------------------------------------------------------------------------------

-- Appends a vector instruction; returns its value.
function Emitter:vector_code(op, ...)
  self.values = self.values + 1
  local inputs, kinds = { ... }, 0
  for i, input in ipairs(inputs) do
    if input[1] == "u" then
      kinds = kinds + 2 ^ (i - 1)
    end
  end
  self.list[#self.list + 1] = { op = op, inputs = inputs, kinds = kinds, value = self.values }
  return { "v", self.values }
end

-- The record that an operand stands for in this pass: the value behind a set that runs now or
-- later, unless memory has it already.
function Emitter:behind(ref)
  local plan = self.plan
  while ref > 0 and plan.op[ref] == QUEUED do
    local set = plan.set_of[ref]
    if set and set.time < self.time then
      return ref, set.slot
    end
    ref = plan.a[ref]
  end
  if ref > 0 and plan.op[ref] == LEAF then
    return ref, plan.a[ref]
  end
  return ref
end

function Emitter:from_memory(ref, slot)
  local class = self.plan.kind[ref]
  if class == code.ACT then
    return self:vector_code(OP.LOAD_ACT, { "m", slot })
  elseif class == code.BITS then
    return self:vector_code(OP.BITS, { "m", slot })
  end
  return { "m", slot }
end

-- An operand of a vector instruction: a vector or a uniform.
function Emitter:operand(ref)
  local slot
  ref, slot = self:behind(ref)
  if self.plan:rank(ref) < VECTOR then
    return self:uniform(ref)
  end
  local known = self.known[ref]
  if not known then
    known = slot and self:from_memory(ref, slot) or self:compute(ref)
    self.known[ref] = known
  end
  return known
end

-- As `operand`, but always a vector.
function Emitter:vector(ref)
  local value = self:operand(ref)
  return value[1] == "u" and self:vector_code(OP.COPY, value) or value
end

local ARITHMETIC = { [OP.ADD] = true, [OP.SUB] = true, [OP.MUL] = true, [OP.DIV] = true }
local MAGNITUDE, PRODUCT = { [OP.ABS] = true }, { [OP.MUL] = true }
local COMMUTES, INPUTS = code.COMMUTES, code.INPUTS

-- Is DIV by this operand a quotient by a scalar or row (with its rule for 0), not by a number?
function Emitter:divides_by_reduction(ref)
  ref = self:behind(self.plan.b[ref])
  return ref > 0 and self.plan:rank(ref) < VECTOR
end

-- Can the record behind `ref`, one of `ops` (arithmetic), be fused into its only reader, which
-- reads it `times` (1) times?
function Emitter:fusible(ref, ops, times)
  local slot
  ref, slot = self:behind(ref)
  local plan = self.plan
  if ref > 0 and not slot and (ops or ARITHMETIC)[plan.op[ref]] and plan:rank(ref) == VECTOR
      and self.uses[ref] == (times or 1) and not self.known[ref]
      and not (plan.op[ref] == OP.DIV and self:divides_by_reduction(ref)) then
    return ref
  end
end

-- The two operands of an arithmetic record, a uniform last where the order is free; at least one is
-- a vector.
function Emitter:two_operands(ref)
  local op = self.plan.op[ref]
  local a, b = self:operand(self.plan.a[ref]), self:operand(self.plan.b[ref])
  if a[1] == "u" and b[1] == "u" then
    a = self:vector_code(OP.COPY, a)
  end
  if a[1] == "u" and COMMUTES[op] then
    a, b = b, a
  end
  return a, b
end

-- The inputs of a reduction, and its instruction: that of x y with itself multiplies them as well.
function Emitter:reduced(id)
  local plan = self.plan
  local op, a, b = plan:reduction(id), plan.a[id], plan.b[id]
  local product = op == OP.DOT and a == b and self:fusible(a, PRODUCT, 2)
  if product then
    local x, y = plan.a[product], plan.b[product]
    if plan:rank((self:behind(x))) == VECTOR and plan:rank((self:behind(y))) == VECTOR then
      return OP.SUM_SQUARE_PRODUCT, self:vector(x), self:vector(y)
    end
  end
  return op, self:vector(a), op == OP.DOT and self:vector(b) or nil
end

-- x y + z t in one instruction.
function Emitter:fuse_products(ref, left, right)
  local plan = self.plan
  if plan.op[left] ~= OP.MUL or plan.op[right] ~= OP.MUL
      or (plan.op[ref] ~= OP.ADD and plan.op[ref] ~= OP.SUB) then
    return
  end
  local a, b = self:two_operands(left)
  local c, d = self:two_operands(right)
  return self:vector_code(OP["MUL_MUL_" .. NAME[plan.op[ref]]], a, b, c, d)
end

function Emitter:fuse(ref)
  local plan = self.plan
  local op, left, right = plan.op[ref], self:fusible(plan.a[ref]), self:fusible(plan.b[ref])
  if op == OP.DIV and self:divides_by_reduction(ref) or left == right then
    return
  end
  local both = left and right and self:fuse_products(ref, left, right)
  if both then
    return both
  end
  local inner, second = left, NAME[op]
  local outer = plan.b[ref]
  if not left then
    inner, outer = right, plan.a[ref]
    second = (COMMUTES[op] and "" or "R") .. second
  end
  local a, b = self:two_operands(inner)
  return self:vector_code(OP[NAME[plan.op[inner]] .. "_" .. second], a, b, self:operand(outer))
end

-- |x| + y in one instruction.
function Emitter:fuse_magnitude(ref)
  local plan = self.plan
  local magnitude, other = self:fusible(plan.a[ref], MAGNITUDE), plan.b[ref]
  if not magnitude then
    magnitude, other = self:fusible(plan.b[ref], MAGNITUDE), plan.a[ref]
  end
  if magnitude and plan.op[ref] == OP.ADD then
    return self:vector_code(OP.ABS_ADD, self:vector(plan.a[magnitude]), self:operand(other))
  end
end

function Emitter:arithmetic(ref)
  local fused = self:fuse(ref) or self:fuse_magnitude(ref)
  if fused then
    return fused
  end
  local op = self.plan.op[ref]
  local a, b = self:two_operands(ref)
  if op == OP.DIV and self:divides_by_reduction(ref) then
    op = OP.QUOTIENT
  end
  return self:vector_code(op, a, b)
end

-- A mask in memory selects without being spread out first.
function Emitter:keep_bits(ref)
  local mask, slot = self:behind(self.plan.a[ref])
  if slot and self.plan.kind[mask] == code.BITS and not self.known[mask] then
    return self:vector_code(OP.BITS_SELECT, { "m", slot }, self:operand(self.plan.b[ref]))
  end
end

function Emitter:compute(ref)
  local plan = self.plan
  local op = plan.op[ref]
  if ARITHMETIC[op] then
    return self:arithmetic(ref)
  elseif op == OP.UNIFORM or op == OP.NORMAL then
    return self:vector_code(op, { "s", self:scalar(plan.a[ref]) },
      { "s", self:scalar(plan.b[ref]) }, { "s", self:scalar(plan.c[ref]) })
  elseif op == OP.ROUND_STOCHASTIC then
    return self:vector_code(op, self:vector(plan.a[ref]), { "s", self:scalar(plan.b[ref]) },
      { "s", self:scalar(plan.c[ref]) })
  end
  local kept = op == OP.MASK_SELECT and self:keep_bits(ref)
  if kept then
    return kept
  end
  if plan.b[ref] == 0 then
    return self:vector_code(op, self:vector(plan.a[ref]))
  end
  local inputs, all_uniform = {}, true
  for i, operand in ipairs({ plan.a[ref], plan.b[ref], plan.c[ref] }) do
    if i <= INPUTS[op] then
      inputs[i] = self:operand(operand)
      all_uniform = all_uniform and inputs[i][1] == "u"
    end
  end
  if all_uniform then
    inputs[1] = self:vector_code(OP.COPY, inputs[1])
  end
  if op == OP.POW and inputs[1][1] ~= "u" and inputs[2][1] == "u" then
    op = OP.POW_FIXED
  end
  return self:vector_code(op, unpack(inputs))
end

return Emitter
