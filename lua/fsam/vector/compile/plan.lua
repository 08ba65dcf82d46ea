--- From a key's records to a plan: which sets and reductions run in which sweep over memory.
--
-- A value's level is how many sweeps must have run before it can be computed; a reduction's is one
-- above its input's. A set runs in the first sweep in which its value can be computed and all
-- readers of the value it overwrites have run or run beside it. A reader of a set's new value takes
-- it from memory in a later sweep, from the register in the same sweep, and computes it anew in an
-- earlier one (its inputs are still in memory then, because the set itself will read them later).
-- Raising times until nothing changes ends, because no time rises above the highest level.
--
-- Owns: the order of the work. Leaves to others: how it is done (emit.lua).
local code = require("fsam.vector.instructions")
require("fsam.base.source_line").own()

local M = {}

local LEAF, QUEUED, CELL = code.LEAF, code.QUEUED, code.CELL
local REDUCES = code.REDUCES

local Plan = {}
Plan.__index = Plan

--- Is this record a reduction? Its instruction and group then.
function Plan:reduction(id)
  local op = self.op[id]
  if op >= 0 then
    local instruction = op % code.GROUP
    if REDUCES[instruction] then
      return instruction, (op - instruction) / code.GROUP
    end
  end
end

--- The rank of an operand: a record, or a number (negative).
function Plan:rank(ref)
  if ref < 0 then
    return code.SCALAR
  end
  local op, kind = self.op[ref], self.kind[ref]
  if op == LEAF or op == QUEUED then
    return kind == code.CELLS and code.SCALAR or code.VECTOR
  end
  return kind % code.BOOL
end

-- Copies the records, replacing every repeated one by its first occurrence.
local function parse(records, count)
  local plan = setmetatable({ op = {}, kind = {}, a = {}, b = {}, c = {}, sets = {}, cell_sets = {},
    outs = {}, reductions = {}, set_of = {}, first_set = {}, count = count }, Plan)
  local same, alias = {}, {}
  local function resolve(ref)
    return ref > 0 and alias[ref] or ref
  end
  for id = 1, count do
    local at = (id - 1) * 5
    local op, kind = records[at], records[at + 1]
    local a, b, c = records[at + 2], records[at + 3], records[at + 4]
    local leaf = op == LEAF or op == CELL
    if not leaf then
      a = resolve(a)
    end
    if op >= 0 then
      b, c = resolve(b), resolve(c)
    end
    local structure = ("%d %d %d %d %d"):format(op, kind, a, b, c)
    alias[id] = id
    if op >= 0 or leaf then
      alias[id] = same[structure] or id
      same[structure] = alias[id]
    end
    plan.op[id], plan.kind[id], plan.a[id], plan.b[id], plan.c[id] = op, kind, a, b, c
    if alias[id] == id then
      plan:classify(id)
    end
  end
  return plan
end

function Plan:classify(id)
  local op, kind, a, b = self.op[id], self.kind[id], self.a[id], self.b[id]
  if op == code.SET and kind == code.CELLS then
    self.cell_sets[#self.cell_sets + 1] = { value = self.a[a], cell = b }
  elseif op == code.SET then
    local set = { leaf = a, value = self.a[a], slot = b, class = kind }
    local before = self.first_set[b]
    while before and before.next do
      before = before.next
    end
    if before then
      before.next = set
    else
      self.first_set[b] = set
    end
    self.set_of[a] = set
    self.sets[#self.sets + 1] = set
  elseif op == code.OUT then
    self.outs[#self.outs + 1] = { value = a, cell = b }
  elseif op == code.KEY then
    self.key = { value = a }
  elseif self:reduction(id) then
    self.reductions[#self.reductions + 1] = { id = id }
  end
end

-- How many sweeps must have run before this value can be computed.
local function find_levels(plan)
  local level = {}
  local function of(ref)
    return ref > 0 and level[ref] or 0
  end
  for id = 1, plan.count do
    local op = plan.op[id]
    if op == LEAF or op == CELL then
      level[id] = 0
    elseif op < 0 then
      level[id] = of(plan.a[id])
    else
      local highest = math.max(of(plan.a[id]), of(plan.b[id]), of(plan.c[id]))
      level[id] = plan:reduction(id) and highest + 1 or highest
    end
  end
  return of
end

--- Calls fn(set) with every set that overwrites what the vector `ref` reads when computed in
-- sweep `time`, and visit(id) for every record that is computed then.
function Plan:reads(ref, time, fn, seen, visit)
  if ref <= 0 or seen[ref] or self:rank(ref) < code.VECTOR then
    return
  end
  seen[ref] = true
  local op = self.op[ref]
  if op == LEAF then
    local set = self.first_set[self.a[ref]]
    if set then
      fn(set)
    end
    return
  elseif op == QUEUED then
    local set = self.set_of[ref]
    if set then
      if set.next then
        fn(set.next)
      end
      if set.time < time then
        return
      end
    end
    return self:reads(self.a[ref], time, fn, seen, visit)
  end
  if visit then
    visit(ref)
  end
  self:reads(self.a[ref], time, fn, seen, visit)
  self:reads(self.b[ref], time, fn, seen, visit)
  self:reads(self.c[ref], time, fn, seen, visit)
end

local function settle_times(plan)
  local changed
  local function raise(time)
    return function(set)
      if set.time < time then
        set.time = time
        changed = true
      end
    end
  end
  repeat
    changed = false
    for _, set in ipairs(plan.sets) do
      plan:reads(set.value, set.time, raise(set.time), {})
      if set.next then
        raise(set.time)(set.next)
      end
    end
    for _, reduction in ipairs(plan.reductions) do
      local seen = {}
      plan:reads(plan.a[reduction.id], reduction.time, raise(reduction.time), seen)
      plan:reads(plan.b[reduction.id], reduction.time, raise(reduction.time), seen)
    end
  until not changed
end

--- Plans what the records describe.
-- @treturn table a plan: the records as arrays op, kind, a, b, c; sets, reductions and perhaps key,
--   each with its `time`; sweeps, the number of sweeps; cell_sets and outs, stored after the last
function M.plan(records, count)
  local plan = parse(records, count)
  local level = find_levels(plan)
  local last = -1
  for _, set in ipairs(plan.sets) do
    set.time = level(set.value)
  end
  for _, reduction in ipairs(plan.reductions) do
    reduction.time = level(reduction.id) - 1
    last = math.max(last, reduction.time)
  end
  settle_times(plan)
  for _, set in ipairs(plan.sets) do
    last = math.max(last, set.time)
  end
  if plan.key then
    plan.key.time = level(plan.key.value)
    last = math.max(last, plan.key.time)
  end
  plan.sweeps = last + 1
  return plan
end

return M
