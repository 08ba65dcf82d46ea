--- From a plan to the linear list of instructions, sweep by sweep. A set's value is written
-- straight to its vector when nothing after it in the sweep still reads the old one, else through
-- a temporary at the end.
--
-- Owns: what each sweep computes and stores, and in which order. Leaves to others: how a single
-- value is computed (values.lua, scalars.lua), where it lives (registers.lua).
local code = require("fsam.vector.instructions")
local registers = require("fsam.vector.compile.registers")
local scalars_of = require("fsam.vector.compile.scalars")
local values_of = require("fsam.vector.compile.values")
require("fsam.base.source_line").own()

local OP = code.OP
local SCALAR, ROW = code.SCALAR, code.ROW

local M = {}

-- -- one sweep ------------------------------------------------------------------------------------

-- Work of a sweep: sets that are not overwritten within it, reductions, the key.
local function find_work(plan, time)
  local sets, reductions, roots = {}, {}, {}
  for _, set in ipairs(plan.sets) do
    if set.time == time and not (set.next and set.next.time == time) then
      sets[#sets + 1] = set
      roots[#roots + 1] = set.value
    end
  end
  for _, reduction in ipairs(plan.reductions) do
    if reduction.time == time then
      reductions[#reductions + 1] = reduction.id
      roots[#roots + 1] = plan.a[reduction.id]
      roots[#roots + 1] = plan.b[reduction.id] ~= 0 and plan.b[reduction.id] or nil
    end
  end
  if plan.key and plan.key.time == time then
    roots[#roots + 1] = plan.key.value
  end
  return sets, reductions, roots
end

local function reduce(plan, scalars, values, id)
  local _, group = plan:reduction(id)
  local op, a, b = values:reduced(id)
  local inputs = { a, b }
  inputs[#inputs + 1] = { "g", group }
  values.list[#values.list + 1] =
    { op = op, inputs = inputs, kinds = 0, out = (scalars:value(id)) }
end

-- Orders a sweep's sets: readers of a vector come before the set that overwrites it, so that this
-- set can be computed in place. Where they form a circle, the order of queueing decides.
local function in_order(plan, time, sets)
  local readers = {} -- readers[set] = sets that read what it overwrites
  for _, set in ipairs(sets) do
    readers[set] = readers[set] or {}
    plan:reads(set.value, time, function(overwriting)
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

-- Computes a set's value. A store to the working copy rounds, so a rounding before it is left out.
local function compute_set(plan, values, set)
  local ref, slot = values:behind(set.value)
  if set.class == code.ACT and ref > 0 and not slot and plan.op[ref] == OP.ROUND
      and values.uses[ref] == 1 then
    set.operand = values:operand(plan.a[ref])
  elseif set.class == code.F32 then
    local value = values:operand(set.value)
    set.operand = value[1] == "v" and value or values:append(OP.COPY, value)
  else
    set.operand = values:operand(set.value)
  end
end

local STORE = { [code.ACT] = OP.STORE_ACT, [code.BITS] = OP.SET_BITS }

-- Appends the stores of sets that are not computed in place.
local function store(list, sets, f32)
  for _, set in ipairs(sets) do
    if not set.homed and (set.class == code.F32) == f32 then
      list[#list + 1] = { op = STORE[set.class] or OP.COPY, inputs = { set.operand },
        kinds = set.operand[1] == "u" and 1 or 0, out = set.slot }
    end
  end
end

-- The instructions of a sweep, and how many temporaries they take.
local function sweep(plan, scalars, time, bound)
  local values = values_of.new(plan, scalars, time)
  local list = values.list
  local sets, reductions, roots = find_work(plan, time)
  values:count_uses(roots)
  for _, id in ipairs(reductions) do
    reduce(plan, scalars, values, id)
  end
  sets = in_order(plan, time, sets)
  for _, set in ipairs(sets) do
    compute_set(plan, values, set)
  end
  local key = plan.key
  local key_value = key and key.time == time and values:vector(key.value)
  local homes = registers.find_homes(list, sets, key_value)
  store(list, sets, false) -- the working copy and masks first: what they read may be overwritten
  store(list, sets, true)
  if key_value then
    list[#list + 1] = { op = OP.KEY, inputs = { key_value }, kinds = 0, out = 0 }
  end
  return list, registers.assign(list, homes, bound)
end

-- -- the program ----------------------------------------------------------------------------------

local function append_all(out, list)
  for _, instruction in ipairs(list) do
    out[#out + 1] = instruction
  end
end

local function mark(op)
  return { op = op, space = 0, kinds = 0, out = 0, a = 0, b = 0, c = 0, d = 0 }
end

-- Scalars and rows to their cells, all values first: they may read what is overwritten.
local function store_cells(plan, scalars)
  for _, list in ipairs({ plan.outs, plan.cell_sets }) do
    for _, cell in ipairs(list) do
      scalars:value(cell.value)
    end
  end
  for _, list in ipairs({ plan.outs, plan.cell_sets }) do
    for _, cell in ipairs(list) do
      scalars:store(cell.value, cell.cell)
    end
  end
end

--- The instructions of a plan.
-- @tparam table plan from plan.lua
-- @tparam number bound bound vectors, numbers, cells: how many the binding has
-- @treturn table instructions: tables with the fields of fsam_instruction
-- @treturn table the fields of fsam_program_size
function M.emit(plan, bound, numbers, cells)
  local scalars, out, most = scalars_of.new(plan, numbers), {}, 0
  for time = 0, plan.sweeps - 1 do
    local list, temps = sweep(plan, scalars, time, bound)
    append_all(out, scalars:take()) -- what the sweep's uniforms are spread from
    out[#out + 1] = mark(OP.SWEEP)
    append_all(out, list)
    out[#out + 1] = mark(OP.END)
    most = math.max(most, temps)
  end
  store_cells(plan, scalars)
  append_all(out, scalars:take())
  local used = scalars.used
  return out, { bound = bound, temps = most, uniforms = used.uniform, numbers = numbers,
    scalars = used[SCALAR], rows = used[ROW], cells = cells }
end

return M
