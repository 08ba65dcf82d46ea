--- Named things, which have memory: vectors, the working copy, masks, scalars. A storage knows the
-- value that its memory holds (`memory`) and the value that expressions built now will read (`now`:
-- the last set's, which may still wait). Both are leaves of expressions.
--
-- Owns: making named things, fitting a value to one, queueing a set, and looking at memory. Leaves
-- to others: the methods of masks (mask.lua), running (queue.lua).
local arguments = require("fsam.base.arguments")
local code = require("fsam.vector.instructions")
local expression = require("fsam.vector.expression")
local leaves = require("fsam.vector.leaf")
local mask = require("fsam.vector.mask")
local show = require("fsam.vector.show")
local source_line = require("fsam.base.source_line")

source_line.own()

local ACT, BITS, CELLS = code.ACT, code.BITS, code.CELLS
local Storage, operand, fail = expression.Storage, expression.operand, source_line.fail

local M = {}

local methods = {}
for name, method in pairs(expression.methods) do
  methods[name] = method
end

--- A new named thing.
-- @tparam table params the params object that it belongs to
-- @tparam string name
-- @tparam number class code.F32, ACT, BITS or CELLS
-- @tparam boolean persistent do sets wait for the end of a step?
-- @tparam cdata raw its tensor (of a scalar: the cell's handle)
-- @tparam cdata data where it begins, as void * or double *
function M.new(params, name, class, persistent, raw, data)
  local self = { params = params, name = name, class = class, persistent = persistent, raw = raw,
    data = data, spare = false, spare_data = false, id = 0, now = false, memory = false }
  self.memory = leaves.new(self, "memory", false, "the start")
  self.now = self.memory
  return setmetatable(self, Storage)
end

--- Is this a named vector, mask or scalar?
function M.is(x)
  return getmetatable(x) == Storage
end

-- -- setting --------------------------------------------------------------------------------------

-- The value as this storage will hold it.
local function fitting(self, value, options)
  local class = self.class
  if class == BITS then
    if type(value) == "boolean" then
      return value and 1 or 0
    end
    value = operand(value, "set")
    if type(value) == "number" or value.kind < code.BOOL then
      fail("%s:set: a condition is needed (x:gt(y) …), got %s", self.name,
        expression.describe(value))
    end
    return value
  end
  value = operand(value, "set")
  if class == CELLS and type(value) == "table" and value.kind % code.BOOL ~= code.SCALAR then
    fail("%s:set: a scalar or number is needed, got %s", self.name, expression.describe(value))
  elseif class == ACT then
    if options and options.rounding == "stochastic" then
      local op = code.OP.ROUND_STOCHASTIC
      return expression.new(op, value, options.seed, options.step, self.params, code.VECTOR)
    end
    return expression.new(code.OP.ROUND, value, false, false, self.params, code.VECTOR)
  end
  return value
end

--- Queues a new value; returns it as an expression.
-- @param value an expression (a scalar, row or number is spread out); of a mask a condition or
--   boolean; of a scalar a scalar or number
-- @tparam[opt] table options of the working copy: { rounding = "stochastic", seed =, step = }
function methods.set(self, value, options)
  if getmetatable(self) ~= Storage then
    return expression.methods.set(self) -- x.set(y) for x:set(y)
  end
  value = fitting(self, value, options)
  if type(value) == "table" and value.params ~= self.params then
    fail("%s:set: the value belongs to another model", self.name)
  end
  expression.use(value)
  if self.class == CELLS then
    methods.request(value) -- now: a pass may overwrite what it reduces before the set itself runs
  end
  local leaf = leaves.new(self, "queued", value, source_line.here())
  self.now = leaf
  self.params.queue:add(leaf)
  return leaf
end

--- Sets every element: a number, of a mask a boolean.
methods.fill = methods.set

-- -- memory ---------------------------------------------------------------------------------------

--- The memory, after all that waits has run: f32[total] with padding. The working copy is bf16[act]
-- and behind it f32[total - act] (or f32[total]); a mask is i32[total / 32]. Where ranks hold
-- shares (share.lua), what they have gathered: a copy, good until the next pass or look.
function methods.tensor(self)
  self.params.queue:look(self.name)
  return self.params:whole(self)
end

--- One parameter's elements, after all that waits has run.
-- @param parameter its name, or an entry of params.parameters
-- @treturn cdata a tensor view of its shape
function methods.parameter(self, parameter)
  self.params.queue:look(self.name)
  return self.params:view(self, parameter)
end

--- The memory was written outside the language, so it holds a new value.
-- @tparam[opt] string line what wrote it, for messages; default: a model pass
-- @raise while a set of this thing waits
function M.touch(self, line)
  if not rawequal(self.now, self.memory) then
    fail("%s was written by others while its set of %s waited", self.name,
      source_line.text(self.now.line))
  end
  local leaf = leaves.new(self, "queued", false, line or "a model pass")
  leaves.settle(leaf)
  self.now = leaf
end

--- Exchanges a mask's memory with its second copy (where a selection was written).
function methods.swap_spare(self)
  self.raw, self.spare = self.spare, self.raw
  self.data, self.spare_data = self.spare_data, self.data
end

-- -- masks, and text for people -------------------------------------------------------------------

methods.top, methods.count, methods.density = mask.top, mask.count, mask.density
methods.overlap, methods.change = mask.overlap, mask.change
methods.show = show.parameters
Storage.__tostring = show.storage

--- Reads a scalar or row; returns a number unchanged.
M.read = expression.methods.read

setmetatable(methods, expression.unknown(methods, "a vector"))
Storage.__index = methods
Storage.__newindex = function(self, name)
  fail("%s.%s cannot be set; a vector's value is changed with %s:set(…)", self.name,
    tostring(name), self.name)
end

--- The shape of a vector that a pass may leave a gradient in (fsam.base.schema).
M.is_target = arguments.where(function(x)
  return M.is(x) and x.class == code.F32
end, "a vector of the model, such as params.g")

return M
