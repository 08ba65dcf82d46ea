--- The structure of what is about to run, as a key, and at the same time the program's binding. One
-- walk over the expressions, children first, writes a record of five integers per node; numbers
-- become argument slots, storages bound vectors, computed scalars cells, each numbered in the order
-- of the walk. Equal records mean equal programs: plan.lua plans from the records alone, so a
-- program cannot depend on anything that is not in its key.
--
-- Records: op, kind, a, b, c. An operand is a record's number (from 1), or minus an argument
-- slot's, or 0. LEAF and QUEUED have their storage class as kind; LEAF's a is the bound vector or
-- cell, QUEUED's a its value; SET: a its QUEUED record, b the bound vector or cell; OUT: a, and b
-- its cell; CELL: a its cell.
--
-- Owns: the records and the binding's arrays, until the next walk. Leaves to others: what they are
-- used for (plan.lua, queue.lua).
local C = require("fsam.C")
local code = require("fsam.vector.instructions")
local source_line = require("fsam.base.source_line")

source_line.own()

local ffi = C.ffi
local LEAF, QUEUED, CELL = code.LEAF, code.QUEUED, code.CELL
local CELLS, GROUP, REDUCES = code.CELLS, code.GROUP, code.REDUCES

local M = {}

local binding = ffi.new("fsam_binding")
local ints, doubles = ffi.typeof("int32_t[?]"), ffi.typeof("double[?]")
local pointers, cell_pointers = ffi.typeof("void *[?]"), ffi.typeof("double *[?]")

-- The walk's state; one walk at a time. Node ids above `base` belong to it.
local capacity, base = 0, 0
local records, numbers, bound, cells
local count, number_count, bound_count, cell_count
local reductions -- the nodes of the reductions in this walk
local reader -- the position of the set whose value is being walked over

local function reserve(want)
  capacity = want
  records, numbers = ints(5 * want), doubles(want)
  bound, cells = pointers(want), cell_pointers(want)
  binding.bound, binding.numbers, binding.cells = bound, numbers, cells
end
reserve(512)

-- Arrays grow between walks only: a walk that does not fit begins again with twice the capacity.
local TOO_SMALL = {}

local function record(op, kind, a, b, c)
  local at = count * 5
  count = count + 1
  if count > capacity - 2 then
    error(TOO_SMALL)
  end
  records[at], records[at + 1], records[at + 2] = op, kind, a
  records[at + 3], records[at + 4] = b, c
  return count
end

local function add_number(x)
  number_count = number_count + 1
  if number_count > capacity then
    error(TOO_SMALL)
  end
  numbers[number_count - 1] = x
  return -number_count
end

local function add_cell(pointer)
  cells[cell_count] = pointer
  cell_count = cell_count + 1
  return cell_count - 1
end

local function add_bound(data)
  bound[bound_count] = data
  bound_count = bound_count + 1
  return bound_count - 1
end

-- A storage's place in memory, numbered at its first use in this walk.
local function slot_of(storage)
  if storage.id <= base then
    local slot = storage.class == CELLS and add_cell(storage.data) or add_bound(storage.data)
    storage.id = base + slot + 1
  end
  return storage.id - base - 1
end

local function too_late(leaf)
  local storage = leaf.storage
  if leaf.state == "dropped" then
    source_line.fail_at(source_line.origin(source_line.here()),
      "this uses the value that %s was set to at %s, but that step was discarded",
      storage.name, source_line.text(leaf.line))
  end
  source_line.fail_at(source_line.origin(reader or source_line.here()),
    "this reads %s as it was before %s set it, and "
    .. "that has already run; use it before, or keep what you need in a vector of its own",
    storage.name, source_line.text(leaf.replaced_by))
end

local visit

local function visit_leaf(x)
  local state = x.state
  if state == "memory" then
    return record(LEAF, x.storage.class, slot_of(x.storage), 0, 0)
  elseif state == "queued" then
    return record(QUEUED, x.storage.class, visit(x.value), 0, 0)
  elseif state == "spare" then
    return record(LEAF, x.storage.class, add_bound(x.value), 0, 0)
  end
  return too_late(x)
end

function visit(x)
  if type(x) == "number" then
    return add_number(x)
  elseif not x then
    return 0
  end
  local id = x.id - base
  if id > 0 then
    return id
  end
  local op = x.op
  if op == LEAF then
    id = visit_leaf(x)
  elseif x.cell then
    id = record(CELL, x.kind, add_cell(x.params:cells_of(x.kind):pointer(x.cell)), 0, 0)
  else
    local a, b, c = visit(x.a), visit(x.b), visit(x.c)
    id = record(op, x.kind, a, b, c)
    if REDUCES[op % GROUP] then
      reductions[#reductions + 1] = x
    end
  end
  x.id = base + id
  return id
end

local function walk(sets, outs, key)
  base = base + capacity + 1
  count, number_count, bound_count, cell_count = 0, 0, 0, 0
  reductions, reader = {}, nil
  for i = 1, #sets do
    local leaf = sets[i]
    reader = leaf.line
    local id = visit(leaf)
    record(code.SET, leaf.storage.class, id, slot_of(leaf.storage), 0)
  end
  reader = nil
  for i = 1, #outs do
    visit(outs[i])
  end
  if key then
    record(code.KEY, 0, visit(key), 0, 0)
  end
end

-- The cell that a reduction's or requested value will be kept in.
local function keep(node)
  local pool = node.params:cells_of(node.kind)
  local handle = pool:take()
  record(code.OUT, node.kind, node.id - base, add_cell(pool:pointer(handle)), 0)
  return handle
end

--- Walks over queued sets (their new leaves, in order), requested scalars and rows, and perhaps a
-- selection's key.
-- @treturn string the key
-- @treturn table the nodes whose values the program will keep
-- @treturn table their cells' handles; the caller assigns them when the program has run
function M.walk(sets, outs, key)
  while true do
    local ok, err = pcall(walk, sets, outs, key)
    if ok then
      break
    elseif err ~= TOO_SMALL then
      error(err, 0)
    end
    reserve(capacity * 2)
  end
  local kept, handles = reductions, {}
  if key then
    kept = {} -- a selection's last sweep stores nothing
  end
  for i = 1, #kept do
    handles[i] = keep(kept[i])
  end
  for i = 1, #outs do
    local node = outs[i]
    local known = node.cell
    for k = 1, #kept do
      known = known or rawequal(kept[k], node)
    end
    if not known then
      kept[#kept + 1] = node
      handles[#handles + 1] = keep(node)
    end
  end
  return ffi.string(records, count * 20), kept, handles
end

--- The binding of the last walk: fsam_binding.
function M.binding()
  return binding
end

--- How many bound vectors, numbers and cells the binding has.
function M.binding_sizes()
  return bound_count, number_count, cell_count
end

--- The records and their number, until the next walk.
function M.records()
  return records, count
end

return M
