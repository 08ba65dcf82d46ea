--- From a plan to the linear list of instructions, pass by pass. A set's value is written
-- straight to its vector when nothing after it in the pass still reads the old one, else through
-- a temporary at the end. How single values are computed: compute.lua.
local code = require("fsam.vector.instructions")
local compute = require("fsam.vector.compile.compute")
local registers = require("fsam.vector.compile.registers")
require("fsam.base.source_line").own()

local OP = code.OP
local SCALAR, ROW = code.SCALAR, code.ROW

local M = {}
local Emitter = setmetatable({}, { __index = compute })
Emitter.__index = Emitter

-- Counts, for every record computed in this pass, how many operands read it.
function Emitter:count_uses(roots)
  local plan, seen = self.plan, {}
  self.uses = {}
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

-- Work of this pass: sets that are not overwritten within it, reductions, the key.
function Emitter:roots()
  local plan, sets, reductions, roots = self.plan, {}, {}, {}
  for _, set in ipairs(plan.sets) do
    if set.time == self.time and not (set.next and set.next.time == self.time) then
      sets[#sets + 1] = set
      roots[#roots + 1] = set.value
    end
  end
  for _, reduction in ipairs(plan.reductions) do
    if reduction.time == self.time then
      reductions[#reductions + 1] = reduction.id
      roots[#roots + 1] = plan.a[reduction.id]
      roots[#roots + 1] = plan.b[reduction.id] ~= 0 and plan.b[reduction.id] or nil
    end
  end
  if plan.key and plan.key.time == self.time then
    roots[#roots + 1] = plan.key.value
  end
  return sets, reductions, roots
end

-- Computes a set's value. What the working copy rounds anyway is stored unrounded.
function Emitter:set_value(set)
  local plan = self.plan
  local ref, slot = self:behind(set.value)
  if set.class == code.ACT and ref > 0 and not slot and plan.op[ref] == OP.ROUND
      and self.uses[ref] == 1 then
    set.operand = self:operand(plan.a[ref])
  elseif set.class == code.F32 then
    local value = self:operand(set.value)
    set.operand = value[1] == "v" and value or self:vector_code(OP.COPY, value)
  else
    set.operand = self:operand(set.value)
  end
end

function Emitter:reduce(id)
  local _, group = self.plan:reduction(id)
  local op, a, b = self:reduced(id)
  local inputs = { a, b }
  inputs[#inputs + 1] = { "g", group }
  self.list[#self.list + 1] = { op = op, inputs = inputs, kinds = 0, out = (self:scalar(id)) }
end

local STORE = { [code.ACT] = OP.STORE_ACT, [code.BITS] = OP.SET_BITS }

-- Readers of a vector before the set that overwrites it, so that it can be computed in place; where
-- they go round in a circle, as they were queued.
function Emitter:order(sets)
  local readers = {} -- readers[set] = sets that read what it overwrites
  for _, set in ipairs(sets) do
    readers[set] = readers[set] or {}
    self.plan:reads(set.value, self.time, function(overwriting)
      readers[overwriting] = readers[overwriting] or {}
      readers[overwriting][set] = overwriting ~= set or nil
    end, {})
  end
  local ordered, left = {}, { unpack(sets) }
  while #left > 0 do
    local pick = 1
    for i = #left, 1, -1 do
      pick = next(readers[left[i]]) == nil and i or pick
    end
    local set = table.remove(left, pick)
    ordered[#ordered + 1] = set
    for _, others in pairs(readers) do
      others[set] = nil
    end
  end
  return ordered
end

-- Appends the stores of sets that are not computed in place.
function Emitter:store(sets, f32)
  for _, set in ipairs(sets) do
    if not set.homed and (set.class == code.F32) == f32 then
      self.list[#self.list + 1] = { op = STORE[set.class] or OP.COPY, inputs = { set.operand },
        kinds = set.operand[1] == "u" and 1 or 0, out = set.slot }
    end
  end
end

function Emitter:pass(time)
  self.time, self.list, self.known, self.values = time, {}, {}, 0
  local sets, reductions, roots = self:roots()
  self:count_uses(roots)
  for _, id in ipairs(reductions) do
    self:reduce(id)
  end
  sets = self:order(sets)
  for _, set in ipairs(sets) do
    self:set_value(set)
  end
  local key = self.plan.key
  local key_value = key and key.time == time and self:vector(key.value)
  local homes = registers.find_homes(self.list, sets, key_value)
  self:store(sets, false) -- the working copy and masks first: what they read may be overwritten
  self:store(sets, true)
  if key_value then
    self.list[#self.list + 1] = { op = OP.KEY, inputs = { key_value }, kinds = 0, out = 0 }
  end
  local temps = registers.assign(self.list, homes, self.bound)
  self.temps = math.max(self.temps, temps)
end

-- Moves the pass in hand to the program.
function Emitter:close(with_vectors)
  local out = self.out
  for _, instruction in ipairs(self.scalar_list) do
    out[#out + 1] = instruction
  end
  self.scalar_list = {}
  if with_vectors then
    out[#out + 1] = { op = OP.SWEEP, space = 0, kinds = 0, out = 0, a = 0, b = 0, c = 0, d = 0 }
    for _, instruction in ipairs(self.list) do
      out[#out + 1] = instruction
    end
    out[#out + 1] = { op = OP.END, space = 0, kinds = 0, out = 0, a = 0, b = 0, c = 0, d = 0 }
  end
end

-- Scalars and rows to their cells, all values first: they may read what is overwritten.
function Emitter:store_cells()
  local plan = self.plan
  for _, list in ipairs({ plan.outs, plan.cell_sets }) do
    for _, store in ipairs(list) do
      self:scalar(store.value)
    end
  end
  for _, list in ipairs({ plan.outs, plan.cell_sets }) do
    for _, store in ipairs(list) do
      local register, space = self:scalar(store.value)
      self:scalar_code(OP.STORE, space, 0, store.cell, register)
    end
  end
end

--- The instructions of a plan.
-- @tparam table plan from schedule.plan
-- @tparam number bound bound vectors, numbers, cells: how many the binding has
-- @treturn table instructions: tables with the fields of fsam_instruction
-- @treturn table the fields of fsam_program_size
function M.emit(plan, bound, numbers, cells)
  local self = setmetatable({ plan = plan, bound = bound, out = {}, scalar_list = {}, temps = 0,
    used = { [SCALAR] = numbers, [ROW] = 0, uniform = 0 }, register_of = {}, uniform_of = {} },
    Emitter)
  for time = 0, plan.passes - 1 do
    self:pass(time)
    self:close(true)
  end
  self:store_cells()
  self:close(false)
  return self.out, { bound = bound, temps = self.temps, uniforms = self.used.uniform,
    numbers = numbers, scalars = self.used[SCALAR], rows = self.used[ROW], cells = cells }
end

return M
