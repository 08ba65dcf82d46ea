--- What has a name and memory: vectors, the working copy, masks, scalars. A storage knows the value
-- that its memory holds (`memory`) and the value that expressions built now will read (`now`: the
-- last set's, which may still wait). Both are leaves of expressions.
local code = require("fsam.vector.instructions")
local node = require("fsam.vector.expression")
local source_line = require("fsam.base.source_line")
local queue = require("fsam.vector.queue")

source_line.own()

local OP, F32, ACT, BITS, CELLS = code.OP, code.F32, code.ACT, code.BITS, code.CELLS
local Node, Storage, operand, fail = node.Node, node.Storage, node.operand, source_line.fail

local M = {}

local methods = {}
for name, method in pairs(node.methods) do
  methods[name] = method
end
M.methods = methods

local KIND = { [F32] = code.VECTOR, [ACT] = code.VECTOR, [BITS] = code.VECTOR + code.BOOL,
  [CELLS] = code.SCALAR }

local function new_leaf(storage, state, value, line)
  return setmetatable({ op = code.LEAF, a = false, b = false, c = false, model = storage.model,
    kind = KIND[storage.class], id = 0, cell = false, storage = storage, state = state,
    value = value, line = line, replaced_by = false }, Node)
end
M.new_leaf = new_leaf

--- A new named thing.
-- @tparam table model from params.new
-- @tparam string name
-- @tparam number class code.F32, ACT, BITS or CELLS
-- @tparam boolean persistent do sets wait for the end of a step?
-- @tparam cdata raw its tensor (of a scalar: the cell's handle)
-- @tparam cdata data where it begins, as void * or double *
function M.new(model, name, class, persistent, raw, data)
  local self = { model = model, name = name, class = class, persistent = persistent, raw = raw,
    data = data, spare = false, spare_data = false, id = 0, now = false, memory = false }
  self.memory = new_leaf(self, "memory", false, "the start")
  self.now = self.memory
  return setmetatable(self, Storage)
end

--- Is this a named vector, mask or scalar?
function M.is(x)
  return getmetatable(x) == Storage
end

-- The value as this storage will hold it.
local function fitting(self, value, options)
  local class = self.class
  if class == BITS then
    if type(value) == "boolean" then
      return value and 1 or 0
    end
    value = operand(value, "set")
    if type(value) == "number" or value.kind < code.BOOL then
      fail("%s:set: a condition is needed (x:gt(y) …), got %s", self.name, node.describe(value))
    end
    return value
  end
  value = operand(value, "set")
  if class == CELLS and type(value) == "table" and value.kind % code.BOOL ~= code.SCALAR then
    fail("%s:set: a scalar or number is needed, got %s", self.name, node.describe(value))
  elseif class == ACT then
    if options and options.rounding == "stochastic" then
      return node.new(OP.ROUND_STOCHASTIC, value, options.seed, options.step, self.model,
        code.VECTOR)
    end
    return node.new(OP.ROUND, value, false, false, self.model, code.VECTOR)
  end
  return value
end

--- Queues a new value; returns it as an expression.
-- @param value an expression (a scalar, row or number is spread out); of a mask a condition or
--   boolean; of a scalar a scalar or number
-- @tparam[opt] table options of the working copy: { rounding = "stochastic", seed =, step = }
function methods.set(self, value, options)
  if getmetatable(self) ~= Storage then
    fail("set: only named vectors, masks and scalars can be set, not %s", node.describe(self))
  end
  value = fitting(self, value, options)
  if type(value) == "table" and value.model ~= self.model then
    fail("%s:set: the value belongs to another model", self.name)
  end
  node.use(value)
  local leaf = new_leaf(self, "queued", value, source_line.here())
  self.now = leaf
  local waiting = self.model.queue
  waiting[#waiting + 1] = leaf
  return leaf
end

--- Sets every element: a number, of a mask a boolean.
methods.fill = methods.set

--- The memory, with everything that waits done: f32[total], padding included (the working copy and
-- masks: their own forms).
function methods.tensor(self)
  queue.look(self.model, self.name)
  return self.raw
end

--- One parameter's elements, with everything that waits done.
-- @param parameter its name, or an entry of params.parameters
-- @treturn cdata a tensor view of its shape
function methods.parameter(self, parameter)
  queue.look(self.model, self.name)
  return self.model:view(self, parameter)
end

--- A new value that somebody else has written into the memory.
function M.touch(self, line)
  if not rawequal(self.now, self.memory) then
    fail("%s was written by others while its set of %s waited", self.name,
      source_line.text(self.now.line))
  end
  local leaf = new_leaf(self, "queued", false, line or "a model pass")
  queue.settle(leaf)
  self.now = leaf
end

--- Exchanges a mask's memory with its spare (where a selection was written).
function methods.swap_spare(self)
  self.raw, self.spare = self.spare, self.raw
  self.data, self.spare_data = self.spare_data, self.data
end

-- -- reading scalars and rows -------------------------------------------------------------------

local function pool_of(x)
  return x.kind % code.BOOL == code.ROW and x.model.row_cells or x.model.scalar_cells
end

local function lowest(x, what)
  x = operand(x, what)
  if type(x) == "table" and x.kind % code.BOOL == code.VECTOR then
    fail("%s: a scalar is needed, got %s; reduce it first (norm, sum, …)", what, node.describe(x))
  end
  return x
end

-- Where the value already stands, if it was computed or is a named scalar's present one.
local function cell_of(x)
  return x.cell or (x.op == code.LEAF and x.state == "memory" and x.storage.raw)
end

local function request(x)
  x = lowest(x, "request")
  node.use(x)
  if type(x) == "table" and not cell_of(x) then
    local requests = x.model.requests
    requests[#requests + 1] = x
  end
  return x
end

local function read(x)
  x = lowest(x, "read")
  if type(x) == "number" then
    return x
  end
  local model = x.model
  request(x)
  if not model.in_step then
    queue.commit(model)
  elseif not cell_of(x) then
    queue.run(model, false)
  end
  local pool = pool_of(x)
  local host = pool:read(cell_of(x))
  if x.kind % code.BOOL == code.SCALAR then
    return host[0]
  end
  local values = {}
  for i = 1, pool.width do
    values[i] = host[i - 1]
  end
  return values
end

--- The number now (of a row: a table of numbers in the order of params.parameters).
M.read, node.methods.read, methods.read = read, read, read
--- Computes the value together with whatever runs next; returns the expression.
node.methods.request, methods.request = request, request
node.methods.set = methods.set

setmetatable(methods, node.unknown(methods, "a vector"))
Storage.__index = methods
Storage.__newindex = function(self, name)
  fail("%s.%s cannot be set; a vector's value is changed with %s:set(…)", self.name,
    tostring(name), self.name)
end

return M
