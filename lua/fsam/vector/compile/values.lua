--- The vector values of one sweep over memory: what it takes to compute them, instruction by
-- instruction. Values are computed once per sweep, children first; two arithmetic instructions
-- become one where the first has no other reader. Operands are { "m", slot } (a bound vector),
-- { "v", number } (a value of this sweep), { "u", uniform } or { "s", scalar register }.
--
-- Owns: the sweep's list of instructions while it grows, and how records become instructions.
-- Leaves to others: which records a sweep computes (emit.lua), where values live (registers.lua),
-- scalars and rows (scalars.lua).
local code = require("fsam.vector.instructions")
require("fsam.base.source_line").own()

local OP, NAME = code.OP, code.NAME
local LEAF, QUEUED, VECTOR = code.LEAF, code.QUEUED, code.VECTOR

local M = {}

local Values = {}
Values.__index = Values

--- The values of one sweep.
-- @tparam table plan from plan.lua
-- @tparam table scalars of the program, from scalars.lua
-- @tparam number time which sweep, from 0
-- @treturn table its `list` holds the instructions: { op, inputs = operands, kinds, and the number
--   of their `value` or the register `out` }
function M.new(plan, scalars, time)
  return setmetatable({ plan = plan, scalars = scalars, time = time, list = {}, known = {},
    count = 0, uses = {} }, Values)
end

--- Counts, for every record that this sweep computes, how many operands read it. Called once,
-- before the first value is asked for.
-- @tparam table roots records whose values the sweep needs
function Values:count_uses(roots)
  local plan, seen = self.plan, {}
  local function use(ref)
    ref = ref and self:behind(ref)
    if ref and ref > 0 then
      self.uses[ref] = (self.uses[ref] or 0) + 1
    end
  end
  for _, ref in ipairs(roots) do
    use(ref)
    plan:reads(ref, self.time, function() end, seen, function(id)
      use(plan.a[id])
      use(plan.b[id])
      use(plan.c[id])
    end)
  end
end

-- -- operands -------------------------------------------------------------------------------------

--- Appends a vector instruction; returns its value as an operand.
function Values:append(op, ...)
  self.count = self.count + 1
  local inputs, kinds = { ... }, 0
  for i, input in ipairs(inputs) do
    if input[1] == "u" then
      kinds = kinds + 2 ^ (i - 1)
    end
  end
  self.list[#self.list + 1] = { op = op, inputs = inputs, kinds = kinds, value = self.count }
  return { "v", self.count }
end

-- The record that an operand stands for in this sweep: the value behind a set that runs now or
-- later, unless memory has it already.
function Values:behind(ref)
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

function Values:from_memory(ref, slot)
  local class = self.plan.kind[ref]
  if class == code.ACT then
    return self:append(OP.LOAD_ACT, { "m", slot })
  elseif class == code.BITS then
    return self:append(OP.BITS, { "m", slot })
  end
  return { "m", slot }
end

-- An operand of a vector instruction: a vector or a uniform.
function Values:operand(ref)
  local slot
  ref, slot = self:behind(ref)
  if self.plan:rank(ref) < VECTOR then
    return { "u", self.scalars:uniform(ref) }
  end
  local known = self.known[ref]
  if not known then
    known = slot and self:from_memory(ref, slot) or self:compute(ref)
    self.known[ref] = known
  end
  return known
end

-- As `operand`, but always a vector.
function Values:vector(ref)
  local value = self:operand(ref)
  return value[1] == "u" and self:append(OP.COPY, value) or value
end

local ARITHMETIC = { [OP.ADD] = true, [OP.SUB] = true, [OP.MUL] = true, [OP.DIV] = true }
local MAGNITUDE, PRODUCT = { [OP.ABS] = true }, { [OP.MUL] = true }
local COMMUTES, INPUTS = code.COMMUTES, code.INPUTS

-- Is DIV by this operand a quotient by a scalar or row (with its rule for 0), not by a number?
function Values:divides_by_reduction(ref)
  ref = self:behind(self.plan.b[ref])
  return ref > 0 and self.plan:rank(ref) < VECTOR
end

-- Can the record behind `ref`, one of `ops` (arithmetic), be fused into its only reader, which
-- reads it `times` (1) times?
function Values:fusible(ref, ops, times)
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
function Values:two_operands(ref)
  local op = self.plan.op[ref]
  local a, b = self:operand(self.plan.a[ref]), self:operand(self.plan.b[ref])
  if a[1] == "u" and b[1] == "u" then
    a = self:append(OP.COPY, a)
  end
  if a[1] == "u" and COMMUTES[op] then
    a, b = b, a
  end
  return a, b
end

-- The inputs of a reduction, and its instruction: that of x y with itself multiplies them as well.
function Values:reduced(id)
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
function Values:fuse_products(ref, left, right)
  local plan = self.plan
  if plan.op[left] ~= OP.MUL or plan.op[right] ~= OP.MUL
      or (plan.op[ref] ~= OP.ADD and plan.op[ref] ~= OP.SUB) then
    return
  end
  local a, b = self:two_operands(left)
  local c, d = self:two_operands(right)
  return self:append(OP["MUL_MUL_" .. NAME[plan.op[ref]]], a, b, c, d)
end

function Values:fuse(ref)
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
  return self:append(OP[NAME[plan.op[inner]] .. "_" .. second], a, b, self:operand(outer))
end

-- |x| + y in one instruction.
function Values:fuse_magnitude(ref)
  local plan = self.plan
  local magnitude, other = self:fusible(plan.a[ref], MAGNITUDE), plan.b[ref]
  if not magnitude then
    magnitude, other = self:fusible(plan.b[ref], MAGNITUDE), plan.a[ref]
  end
  if magnitude and plan.op[ref] == OP.ADD then
    return self:append(OP.ABS_ADD, self:vector(plan.a[magnitude]), self:operand(other))
  end
end

function Values:arithmetic(ref)
  local fused = self:fuse(ref) or self:fuse_magnitude(ref)
  if fused then
    return fused
  end
  local op = self.plan.op[ref]
  local a, b = self:two_operands(ref)
  if op == OP.DIV and self:divides_by_reduction(ref) then
    op = OP.QUOTIENT
  end
  return self:append(op, a, b)
end

-- A mask in memory selects without being spread out first.
function Values:keep_bits(ref)
  local mask, slot = self:behind(self.plan.a[ref])
  if slot and self.plan.kind[mask] == code.BITS and not self.known[mask] then
    return self:append(OP.BITS_SELECT, { "m", slot }, self:operand(self.plan.b[ref]))
  end
end

function Values:compute(ref)
  local plan = self.plan
  local op = plan.op[ref]
  if ARITHMETIC[op] then
    return self:arithmetic(ref)
  elseif op == OP.UNIFORM or op == OP.NORMAL then
    return self:append(op, { "s", self.scalars:value(plan.a[ref]) },
      { "s", self.scalars:value(plan.b[ref]) }, { "s", self.scalars:value(plan.c[ref]) })
  elseif op == OP.ROUND_STOCHASTIC then
    return self:append(op, self:vector(plan.a[ref]), { "s", self.scalars:value(plan.b[ref]) },
      { "s", self.scalars:value(plan.c[ref]) })
  end
  local kept = op == OP.MASK_SELECT and self:keep_bits(ref)
  if kept then
    return kept
  end
  if plan.b[ref] == 0 then
    return self:append(op, self:vector(plan.a[ref]))
  end
  local inputs, all_uniform = {}, true
  for i, operand in ipairs({ plan.a[ref], plan.b[ref], plan.c[ref] }) do
    if i <= INPUTS[op] then
      inputs[i] = self:operand(operand)
      all_uniform = all_uniform and inputs[i][1] == "u"
    end
  end
  if all_uniform then
    inputs[1] = self:append(OP.COPY, inputs[1])
  end
  if op == OP.POW and inputs[1][1] ~= "u" and inputs[2][1] == "u" then
    op = OP.POW_FIXED
  end
  return self:append(op, unpack(inputs))
end

return M
