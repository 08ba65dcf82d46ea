--- Expressions: nodes that say what to compute, and the operators and methods that build them. A
-- node is a plain table with the fields op, a, b, c (operands: nodes, numbers or false), params,
-- kind (rank and BOOL), id (scratch of compile/key.lua) and cell (where a scalar's or row's value
-- stands once it was computed, else false).
--
-- Owns: the two metatables that mark values of the language, what an operand may be, how messages
-- name a value, building nodes, and reading scalars and rows. Nothing is computed here. Leaves to
-- others: named things (storage.lua fills in the methods of Storage), running (queue.lua), text for
-- people (show.lua).
local code = require("fsam.vector.instructions")
local errors = require("fsam.errors")
local ffi = require("fsam.C").ffi
local habits = require("fsam.vector.habits")
local registry = require("fsam.base.registry")
local show = require("fsam.vector.show")
local source_line = require("fsam.base.source_line")
local tested = require("fsam.vector.tested")

source_line.own()

local OP, SCALAR, ROW, VECTOR, BOOL = code.OP, code.SCALAR, code.ROW, code.VECTOR, code.BOOL
local fail = source_line.fail
local tensor = ffi.typeof("fsam_tensor")

-- Metatables: of expressions, and of named vectors, masks and scalars.
local Node, Storage = {}, {}
-- Methods of every expression.
local methods = {}

local M = { Node = Node, Storage = Storage, methods = methods }

-- -- operands -------------------------------------------------------------------------------------

local NOUN = { [SCALAR] = "scalar", [ROW] = "row", [VECTOR] = "vector",
  [SCALAR + BOOL] = "condition", [ROW + BOOL] = "row condition", [VECTOR + BOOL] = "condition" }

--- What a value is, in words.
local function describe(x)
  local mt = getmetatable(x)
  if mt == Storage then
    return x.name
  elseif mt == Node then
    return "a " .. NOUN[x.kind]
  elseif x == nil then
    return "nothing (nil)"
  elseif ffi.istype(tensor, x) then
    return ("a tensor (%s); what is not of the whole model does not mix with vectors")
      :format(tostring(x))
  end
  return type(x) == "number" and ("the number %.14g"):format(x) or ("a %s value"):format(type(x))
end
M.describe = describe

--- The rank of a value (code.SCALAR, ROW, VECTOR), or nil when it is no value of the language.
function M.rank(x)
  local mt = getmetatable(x)
  if mt == Storage then
    x = x.now
  elseif mt ~= Node then
    return type(x) == "number" and SCALAR or nil
  end
  return x.kind % BOOL
end

--- An operand as a node or number.
local function operand(x, what)
  local mt = getmetatable(x)
  if mt == Node then
    return x
  elseif mt == Storage then
    return x.now
  elseif type(x) == "number" then
    if x ~= x then
      fail("%s: a NaN as a constant", what)
    end
    return x
  elseif type(x) == "cdata" and tonumber(x) then
    return tonumber(x)
  end
  return fail("%s: expected a vector, mask, scalar or number, got %s", what, describe(x))
end
M.operand = operand

-- -- building -------------------------------------------------------------------------------------

local function new(op, a, b, c, params, kind)
  local node = setmetatable(
    { op = op, a = a, b = b, c = c, params = params, kind = kind, id = 0, cell = false }, Node)
  if params.tracing then
    params.tracing:built(node)
  end
  return node
end
M.new = new

--- Tells the trace, while there is one (params:trace), that this value has found a use.
function M.use(x)
  if type(x) == "table" and x.params.tracing then
    x.params.tracing:use(x)
  end
end

local function same_model(what, a, b)
  if a.params ~= b.params then
    fail("%s: the two values belong to different models, of %d and %d parameters", what,
      a.params.count, b.params.count)
  end
end

local function unary(op, x, what)
  x = operand(x, what)
  return new(op, x, false, false, x.params, x.kind % BOOL)
end

-- Two operands, at least one of which is a node; the result has the larger rank.
local function binary(op, a, b, what, bool)
  a, b = operand(a, what), operand(b, what)
  local params, kind
  if type(a) == "number" then
    params, kind = b.params, b.kind % BOOL
  elseif type(b) == "number" then
    params, kind = a.params, a.kind % BOOL
  else
    same_model(what, a, b)
    params, kind = a.params, math.max(a.kind % BOOL, b.kind % BOOL)
  end
  return new(op, a, b, false, params, bool and kind + BOOL or kind)
end

local function is_bool(x)
  return type(x) == "table" and x.kind >= BOOL
end

-- A condition times anything selects; two conditions give their "and".
local function multiply(a, b)
  a, b = operand(a, "*"), operand(b, "*")
  if is_bool(a) then
    return binary(OP.MASK_SELECT, a, b, "*", is_bool(b))
  elseif is_bool(b) then
    return binary(OP.MASK_SELECT, b, a, "*", false)
  end
  return binary(OP.MUL, a, b, "*")
end

-- `min` and `max` of two; of conditions they are "and" and "or".
local function extreme(op, a, b, what)
  b = operand(b, what)
  return binary(op, a, b, what, is_bool(operand(a, what)) and is_bool(b))
end

-- A reduction. group 0: of all elements, a scalar; 1: of each parameter, 2: of each layer, a row.
local function reduce(op, group, a, b, what)
  a = operand(a, what)
  local kind = type(a) == "table" and a.kind % BOOL
  if kind ~= VECTOR then
    fail("%s: a vector is needed, got %s", what, describe(a))
  end
  if b then
    b = operand(b, what)
    if type(b) ~= "table" or b.kind % BOOL ~= VECTOR then
      fail("%s: a vector is needed, got %s", what, describe(b))
    end
    same_model(what, a, b)
  end
  return new(op + code.GROUP * group, a, b or false, false, a.params, group == 0 and SCALAR or ROW)
end

local reductions = {
  sum = function(x, group)
    return reduce(OP.SUM, group, x, false, "sum")
  end,
  dot = function(x, group, y)
    return reduce(OP.DOT, group, x, y == nil and fail("dot: two vectors are needed") or y, "dot")
  end,
  norm = function(x, group)
    return unary(OP.SQRT, reduce(OP.DOT, group, x, x, "norm"), "norm")
  end,
  max_abs = function(x, group)
    return reduce(OP.MAX_ABS, group, x, false, "max_abs")
  end,
  mean = function(x, group)
    local sum = reduce(OP.SUM, group, x, false, "mean")
    return binary(OP.DIV, sum, sum.params:element_count(group), "mean")
  end,
  min = function(x, group)
    return reduce(OP.MIN_OF, group, x, false, "min")
  end,
  max = function(x, group)
    return reduce(OP.MAX_OF, group, x, false, "max")
  end,
}

--- What is said where == or ~= compares a vector or scalar with a number.
M.NO_NUMBER = "%s is no number, so Lua's == and ~= never look at its value; read it first: "
  .. "x:read() == y, in a step s:read(x) == y; or x:eq(y), a condition"

-- Refuses a function that compares by == or ~= what a method has returned.
local function refuse_comparison(func, line, name)
  for _, found in ipairs(tested.compared(func)) do
    if found.from == line and found.method == name then
      source_line.fail_at({ func = func, currentline = found.line }, M.NO_NUMBER,
        "what " .. name .. "() returns")
    end
  end
end

-- Who called the method that ended in a call of the function which asks; nil within a step, whose
-- parts were looked at when they were defined.
local function caller_of(value)
  if value.params.queue:is_in_step() then
    return nil
  end
  local caller = debug.getinfo(3, "fl")
  return caller.func and caller.currentline > 0 and caller or nil
end

local function reduced(name, x, y)
  local value = reductions[name](x, 0, y)
  local caller = caller_of(value)
  if caller then
    refuse_comparison(caller.func, caller.currentline, name)
  end
  return value
end

for name in pairs(reductions) do
  methods[name] = function(x, y)
    return reduced(name, x, y)
  end
end

local UNARY = { abs = OP.ABS, sqrt = OP.SQRT, sign = OP.SIGN, exp = OP.EXP, log = OP.LOG,
  floor = OP.FLOOR }
for name, op in pairs(UNARY) do
  methods[name] = function(x)
    return unary(op, x, name)
  end
end

-- A comparison. Outside a step, where no trace looks for conditions without a use, the caller must
-- not test one.
local function compare(op, a, b, name)
  local condition = binary(op, a, b, name, true)
  local caller = caller_of(condition)
  if caller and tested.is_tested(caller.func, caller.currentline, name) then
    fail("a condition is neither true nor false in Lua; read it: x:read() > y, or choose by "
      .. "vector.where(p, a, b)")
  end
  return condition
end

--- Comparisons give conditions.
function methods.gt(x, y) return compare(OP.GT, x, y, "gt") end
function methods.ge(x, y) return compare(OP.GE, x, y, "ge") end
function methods.lt(x, y) return compare(OP.GT, y, x, "lt") end
function methods.le(x, y) return compare(OP.GE, y, x, "le") end
function methods.eq(x, y) return compare(OP.EQ, x, y, "eq") end

--- The smaller of two, element by element; without an argument, the smallest element (a scalar).
function methods.min(x, ...)
  if select("#", ...) == 0 then
    return reduced("min", x)
  end
  return extreme(OP.MIN, x, (...), "min")
end

--- The larger of two, element by element; without an argument, the largest element (a scalar).
function methods.max(x, ...)
  if select("#", ...) == 0 then
    return reduced("max", x)
  end
  return extreme(OP.MAX, x, (...), "max")
end

function methods.clamp(x, low, high)
  return extreme(OP.MIN, extreme(OP.MAX, x, low, "clamp"), high, "clamp")
end

--- Not: a condition that holds where this one does not.
function methods.complement(x)
  x = operand(x, "complement")
  if not is_bool(x) then
    fail("complement: a condition or mask is needed, got %s", describe(x))
  end
  return new(OP.NOT, x, false, false, x.params, x.kind)
end

local Grouped = {}
Grouped.__index = setmetatable({}, {
  __index = function(_, name)
    return fail("per(…) has no %s; it has dot, max, max_abs, mean, min, norm, sum",
      tostring(name))
  end,
})
for name, build in pairs(reductions) do
  Grouped.__index[name] = function(self, y)
    return build(rawget(self, "value"), rawget(self, "group"), y)
  end
end

--- Reductions of each parameter ("tensor") or layer ("layer"); their results broadcast back.
function methods.per(x, group)
  local groups = { tensor = 1, layer = 2 }
  if not groups[group] then
    fail("per: expected \"tensor\" or \"layer\", got %s", tostring(group))
  end
  return setmetatable({ value = operand(x, "per"), group = groups[group] }, Grouped)
end

--- x where the condition holds, else y. A plain boolean chooses at once.
function M.where(condition, x, y)
  if type(condition) == "boolean" then
    return condition and x or y
  end
  condition, x, y = operand(condition, "where"), operand(x, "where"), operand(y, "where")
  if type(condition) == "number" then
    return condition ~= 0 and x or y
  end
  local kind, bool = condition.kind % BOOL, is_bool(x) and is_bool(y)
  for _, value in ipairs({ x, y }) do
    if type(value) == "table" then
      same_model("where", condition, value)
      kind = math.max(kind, value.kind % BOOL)
    end
  end
  return new(OP.SELECT, condition, x, y, condition.params, bool and kind + BOOL or kind)
end

local function refuse(symbol, instead)
  return function()
    fail("%s cannot be an expression in Lua; use %s", symbol, instead)
  end
end

for _, mt in ipairs({ Node, Storage }) do
  mt.__add = function(a, b) return binary(OP.ADD, a, b, "+") end
  mt.__sub = function(a, b) return binary(OP.SUB, a, b, "-") end
  mt.__mul = multiply
  mt.__div = function(a, b) return binary(OP.DIV, a, b, "/") end
  mt.__pow = function(a, b) return binary(OP.POW, a, b, "^") end
  mt.__unm = function(a) return unary(OP.NEG, a, "-") end
  mt.__mod = refuse("%", "arithmetic without it")
  mt.__eq = refuse("==", "x:eq(y), or read a scalar")
  mt.__lt = refuse("<", "x:lt(y) or x:gt(y), or read a scalar")
  mt.__le = refuse("<=", "x:le(y) or x:ge(y), or read a scalar")
  mt.__len = refuse("#", "vector:parameter(name)")
  mt.__concat = function(a, b) return tostring(a) .. tostring(b) end
end

-- -- reading scalars and rows ---------------------------------------------------------------------

-- A scalar, row or number.
local function below_vector(x, what)
  x = operand(x, what)
  if type(x) == "table" and x.kind % BOOL == VECTOR then
    fail("%s: a scalar is needed, got %s; reduce it first (norm, sum, …)", what, describe(x))
  end
  return x
end

-- Where the value already stands, if it was computed or is a named scalar's present one.
local function cell_of(x)
  return x.cell or (x.op == code.LEAF and x.state == "memory" and x.storage.raw)
end

--- Computes the value of a scalar or row together with whatever runs next; returns it.
function methods.request(x)
  x = below_vector(x, "request")
  M.use(x)
  if type(x) == "table" and not cell_of(x) then
    x.params.queue:request(x)
  end
  return x
end

--- The number now (of a row: a table of numbers in the order of params.parameters).
function methods.read(x)
  x = below_vector(x, "read")
  if type(x) == "number" then
    return x
  end
  methods.request(x)
  x.params.queue:before_read(cell_of(x))
  local cells = x.params:cells_of(x.kind)
  local host = cells:read(cell_of(x))
  if x.kind % BOOL == SCALAR then
    return host[0]
  end
  local values = {}
  for i = 1, cells.width do
    values[i] = host[i - 1]
  end
  return values
end

--- Only named things can be set: vector.set(x, value) is x:set(value).
function methods.set(x, ...)
  if getmetatable(x) == Storage then
    return x:set(...)
  end
  return fail("set: only named vectors, masks and scalars can be set, not %s", describe(x))
end

-- -- what an expression refuses, and how it prints ------------------------------------------------

--- The fallback of a table of methods: an error with the nearest name.
function M.unknown(known, noun)
  return {
    __index = function(_, name)
      if type(name) == "number" then
        return fail("%s has no element %s; v:parameter(name):read() gives a parameter's numbers",
          noun, tostring(name))
      elseif habits.methods[name] then
        return fail("%s has no %s; write %s", noun, name, habits.methods[name])
      end
      local names = registry.sorted(known)
      local near = errors.nearest(name, names)
      return fail("%s has no %s%s", noun, tostring(name), near and
        ("; did you mean %s?"):format(near) or (" (it has %s)"):format(table.concat(names, ", ")))
    end,
  }
end

setmetatable(methods, M.unknown(methods, "an expression"))
Node.__index = methods
Node.__newindex = function(_, name)
  fail("%s cannot be set on an expression; only named vectors can, with v:set(…)", tostring(name))
end

function Node.__tostring(x)
  M.use(x)
  return show.expression(x)
end

--- What the REPL prints of an expression: rows whole, all else in a line.
function Node.__show(x)
  M.use(x)
  return show.whole(x)
end

return M
