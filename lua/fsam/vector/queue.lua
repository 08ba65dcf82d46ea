--- What waits, and running it. A model's sets wait in one queue, in the order in which they were
-- made. Sets of transient things (the working copy, gradients, scratch) run at the next flush;
-- those of persistent things (weights, moments, masks, named scalars) wait for the end of the
-- step, so that a step can be discarded. Outside a step, looking at anything runs everything.
local C = require("fsam.C")
local key = require("fsam.vector.compile.key")
local source_line = require("fsam.base.source_line")
local program = require("fsam.vector.compile")

source_line.own()

local ffi, lib, check = C.ffi, C.lib, C.check
local binding = ffi.new("fsam_binding")

local M = {}

-- Takes the sets that may run out of the queue.
local function take(model, everything)
  local queue = model.queue
  if everything then
    model.queue = {}
    return queue
  end
  local sets, rest = {}, {}
  for i = 1, #queue do
    local leaf = queue[i]
    local list = leaf.storage.persistent and rest or sets
    list[#list + 1] = leaf
  end
  model.queue = rest
  return sets
end

-- The leaf's value is what memory holds now.
local function settle(leaf)
  local storage = leaf.storage
  local before = storage.memory
  before.state, before.replaced_by, before.value = "gone", leaf.line, false
  leaf.state, leaf.value = "memory", false
  storage.memory = leaf
end
M.settle = settle

--- The compiled program of what key.walk has just recorded, from the model's cache if it is there.
function M.program_of(model, structure)
  local found = model.programs[structure]
  local bound, numbers, cells, bound_count, number_count, cell_count = key.binding()
  if not found then
    local records, count = key.records()
    found = program.compile(model.device, records, count, bound_count, number_count, cell_count)
    model.programs[structure] = found
  end
  binding.bound, binding.numbers, binding.cells = bound, numbers, cells
  return found, binding
end

local function run(model, sets, outs)
  local structure, kept, handles = key.walk(sets, outs)
  local found, bound = M.program_of(model, structure)
  check(lib.fsam_program_run(found.handle, model.layout, bound))
  model.last_program = found
  model.passes = model.passes + found.passes
  for i = 1, #sets do
    settle(sets[i])
  end
  for i = 1, #kept do
    kept[i].cell = handles[i]
  end
end

--- Runs what may run now. When it fails, what it would have run is dropped.
-- @tparam table model from params.new
-- @tparam boolean everything persistent sets too
function M.run(model, everything)
  local requests = model.requests
  local sets = take(model, everything)
  if #sets == 0 and #requests == 0 then
    return
  end
  model.requests = {}
  local ok, err = pcall(run, model, sets, requests)
  if not ok then
    M.drop(sets)
    error(err, 0)
  end
end

--- Forgets sets that have not run.
function M.drop(sets)
  for i = 1, #sets do
    local leaf = sets[i]
    if leaf.state == "queued" or leaf.state == "spare" then
      leaf.state, leaf.value = "dropped", false
    end
    leaf.storage.now = leaf.storage.memory
  end
end

--- Looking at a value: outside a step everything runs; inside one it is an error.
function M.look(model, what)
  if model.in_step then
    source_line.fail("%s is looked at inside a step; only scalars can be read there (s:read)", what)
  end
  M.commit(model)
end

--- Runs everything, and ends the step.
function M.commit(model)
  model.in_step = false
  M.run(model, true)
  for i = 1, #model.spares do
    local leaf = model.spares[i]
    if rawequal(leaf.storage.now, leaf) then
      leaf.storage:swap_spare()
      settle(leaf)
    elseif leaf.state == "spare" then
      leaf.state, leaf.replaced_by, leaf.value = "gone", leaf.storage.now.line, false
    end
  end
  model.spares = {}
end

--- Drops everything that waits, and ends the step.
function M.discard(model)
  M.drop(model.queue)
  M.drop(model.spares)
  model.queue, model.requests, model.spares, model.in_step = {}, {}, {}, false
end

return M
