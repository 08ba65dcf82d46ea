--- The queue of one params object: what waits, and running it. Sets wait in the order in which they
-- were made. Those of transient things (the working copy, gradients, scratch) run at the next
-- flush; those of persistent things (weights, moments, masks, named scalars) wait for the end of
-- the step, so that a step can be discarded. Outside a step, looking at a value runs everything.
--
-- Owns: what waits (sets, requested scalars and rows, masks in their second copies), whether a step
-- is open, the compiled programs and what has run. No other file reads or writes these fields.
-- Leaves to others: compiling a program (compile/), the states of a value (leaf.lua).
local C = require("fsam.C")
local compile = require("fsam.vector.compile")
local leaves = require("fsam.vector.leaf")
local source_line = require("fsam.base.source_line")

source_line.own()

local lib, check = C.lib, C.check

local M = {}

local Queue = {}
Queue.__index = Queue

--- An empty queue.
-- @tparam cdata device fsam_device
-- @tparam cdata layout fsam_layout of the parameters
-- @tparam function before called before each program
-- @tparam function wrote_copy called after each program that wrote the working copy
function M.new(device, layout, before, wrote_copy)
  return setmetatable({ device = device, layout = layout, before = before, wrote_copy = wrote_copy,
    waiting = {}, requests = {}, spares = {}, in_step = false, programs = {}, sweeps = 0,
    last_program = false }, Queue)
end

-- -- what waits -----------------------------------------------------------------------------------

--- A set waits from now on.
-- @tparam table leaf the new value, in the state "queued"
function Queue:add(leaf)
  local waiting = self.waiting
  waiting[#waiting + 1] = leaf
end

--- A scalar or row is computed with whatever runs next.
function Queue:request(x)
  local requests = self.requests
  requests[#requests + 1] = x
end

--- A mask's new value stands in its second copy, until the end of the step. Outside a step: now.
-- @tparam table leaf the new value, in the state "spare"
function Queue:add_spare(leaf)
  local spares = self.spares
  for i = 1, #spares do
    if rawequal(spares[i].storage, leaf.storage) then
      leaves.replace(spares[i], leaf.line)
    end
  end
  spares[#spares + 1] = leaf
  if not self.in_step then
    self:commit()
  end
end

--- The sets that wait for the end of the step, the newest of each thing.
-- @treturn {table,…} leaves
function Queue:persistent_sets()
  local list = {}
  for _, leaf in ipairs(self.waiting) do
    if leaf.storage.persistent and rawequal(leaf.storage.now, leaf) then
      list[#list + 1] = leaf
    end
  end
  return list
end

-- Takes the sets that may run out of the queue.
local function take(self, everything)
  local waiting = self.waiting
  if everything then
    self.waiting = {}
    return waiting
  end
  local sets, rest = {}, {}
  for i = 1, #waiting do
    local leaf = waiting[i]
    local list = leaf.storage.persistent and rest or sets
    list[#list + 1] = leaf
  end
  self.waiting = rest
  return sets
end

local function drop(sets)
  for i = 1, #sets do
    leaves.drop(sets[i])
  end
end

-- -- running --------------------------------------------------------------------------------------

local function run_program(self, sets, requests)
  local program, binding, kept, handles =
    compile.program_of(self.programs, self.device, sets, requests)
  self.before()
  check(lib.fsam_program_run(program.handle, self.layout, binding))
  self.last_program = program
  self.sweeps = self.sweeps + program.sweeps
  local copies = false
  for i = 1, #sets do
    local thing = sets[i].storage
    copies = copies or rawequal(thing, thing.params.c)
    leaves.settle(sets[i])
  end
  if copies then
    self.wrote_copy()
  end
  for i = 1, #kept do
    kept[i].cell = handles[i]
  end
end

-- Runs what may run now: transient sets and requests, or everything. When it fails, what it would
-- have run is dropped.
local function run(self, everything)
  local requests = self.requests
  local sets = take(self, everything)
  if #sets == 0 and #requests == 0 then
    return
  end
  self.requests = {}
  local ok, err = pcall(run_program, self, sets, requests)
  if not ok then
    drop(sets)
    error(err, 0)
  end
end

--- Opens a step, after running what still waits: from here on persistent sets wait for `commit`.
function Queue:begin_step()
  if #self.waiting > 0 then
    self:commit()
  end
  self.in_step = true
end

--- Is a step open?
function Queue:is_in_step()
  return self.in_step
end

--- Runs the sets of transient things and computes requested scalars and rows.
function Queue:flush()
  run(self, false)
end

--- Runs everything and ends the step.
function Queue:commit()
  self.in_step = false
  run(self, true)
  local spares = self.spares
  for i = 1, #spares do
    local leaf = spares[i]
    if rawequal(leaf.storage.now, leaf) then
      leaf.storage:swap_spare()
      leaves.settle(leaf)
    elseif leaf.state == "spare" then
      leaves.replace(leaf, leaf.storage.now.line)
    end
  end
  self.spares = {}
end

--- Drops everything that waits and ends the step: no persistent thing has changed.
function Queue:discard()
  drop(self.waiting)
  drop(self.spares)
  self.waiting, self.requests, self.spares, self.in_step = {}, {}, {}, false
end

--- Before memory is looked at: runs everything. Inside a step that is an error.
-- @tparam string what names it in the error
function Queue:look(what)
  if self.in_step then
    source_line.fail("%s is looked at inside a step; only scalars can be read there (s:read)", what)
  end
  self:commit()
end

--- Before a scalar or row is read: outside a step everything runs; inside one the transient sets
-- and requests, unless the value is known already.
function Queue:before_read(known)
  if not self.in_step then
    self:commit()
  elseif not known then
    self:flush()
  end
end

--- The program that computes the values that a selection looks at.
-- @treturn table program
-- @treturn cdata its fsam_binding, until the next program is asked for
function Queue:selection(values)
  self.before()
  return compile.program_of(self.programs, self.device, {}, {}, values)
end

-- -- reports --------------------------------------------------------------------------------------

--- What waits and what has run, for benchmarks and specs.
-- @treturn table { waiting = how many sets wait, sweeps = sweeps over memory so far, programs = the
--   compiled programs by key, last_program = the one that ran last, or false }
function Queue:report()
  return { waiting = #self.waiting, sweeps = self.sweeps, programs = self.programs,
    last_program = self.last_program }
end

return M
