--- Expressions: nodes that say what to compute, and the operators and methods that build them.
-- Nothing is computed here. A node is a plain table with the fields op, a, b, c (operands: nodes,
-- numbers or false), model, kind (rank and BOOL), id (scratch of key.lua) and cell (where a
-- scalar's or row's value stands once it was computed, else false).
local code = require("fsam.vector.instructions")
local errors = require("fsam.errors")
local source_line = require("fsam.base.source_line")
local kinds = require("fsam.vector.value")

source_line.own()

local OP, SCALAR, ROW, VECTOR, BOOL = code.OP, code.SCALAR, code.ROW, code.VECTOR, code.BOOL
local fail, operand, describe = source_line.fail, kinds.operand, kinds.describe
local Node, Storage = kinds.Node, kinds.Storage

local M = { operand = operand, describe = describe, rank = kinds.rank }

local methods = {}

--- The metatables: of expressions, and of named vectors, masks and scalars (storage.lua adds to
-- it).
M.Node, M.Storage = Node, Storage
--- Methods of every expression.
M.methods = methods

local function new(op, a, b, c, model, kind)
  local node = setmetatable(
    { op = op, a = a, b = b, c = c, model = model, kind = kind, id = 0, cell = false }, Node)
  if model.tracing then
    model.tracing:built(node)
  end
  return node
end
M.new = new

--- For params:trace: this value has found a use.
function M.use(x)
  if type(x) == "table" and x.model.tracing then
    x.model.tracing:use(x)
  end
end

local function same_model(what, a, b)
  if a.model ~= b.model then
    fail("%s: the two values belong to different models, of %d and %d parameters", what,
      a.model.count, b.model.count)
  end
end

local function unary(op, x, what)
  x = operand(x, what)
  return new(op, x, false, false, x.model, x.kind % BOOL)
end

-- Two operands, at least one of which is a node; the result has the larger rank.
local function binary(op, a, b, what, bool)
  a, b = operand(a, what), operand(b, what)
  local model, kind
  if type(a) == "number" then
    model, kind = b.model, b.kind % BOOL
  elseif type(b) == "number" then
    model, kind = a.model, a.kind % BOOL
  else
    same_model(what, a, b)
    model, kind = a.model, math.max(a.kind % BOOL, b.kind % BOOL)
  end
  return new(op, a, b, false, model, bool and kind + BOOL or kind)
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

-- One rank below a vector per group: 0 a scalar, 1 and 2 rows.
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
  return new(op + code.GROUP * group, a, b or false, false, a.model, group == 0 and SCALAR or ROW)
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
    return binary(OP.DIV, sum, sum.model:element_count(group), "mean")
  end,
  min = function(x, group)
    return reduce(OP.MIN_OF, group, x, false, "min")
  end,
  max = function(x, group)
    return reduce(OP.MAX_OF, group, x, false, "max")
  end,
}

for name, build in pairs(reductions) do
  methods[name] = function(x, y)
    return build(x, 0, y)
  end
end

local UNARY = { abs = OP.ABS, sqrt = OP.SQRT, sign = OP.SIGN, exp = OP.EXP, log = OP.LOG,
  floor = OP.FLOOR }
for name, op in pairs(UNARY) do
  methods[name] = function(x)
    return unary(op, x, name)
  end
end

--- Comparisons give conditions.
function methods.gt(x, y) return binary(OP.GT, x, y, "gt", true) end
function methods.ge(x, y) return binary(OP.GE, x, y, "ge", true) end
function methods.lt(x, y) return binary(OP.GT, y, x, "lt", true) end
function methods.le(x, y) return binary(OP.GE, y, x, "le", true) end
function methods.eq(x, y) return binary(OP.EQ, x, y, "eq", true) end

--- The smaller of two, element by element; without an argument, the smallest element (a scalar).
function methods.min(x, ...)
  if select("#", ...) == 0 then
    return reductions.min(x, 0)
  end
  return extreme(OP.MIN, x, (...), "min")
end

--- The larger of two, element by element; without an argument, the largest element (a scalar).
function methods.max(x, ...)
  if select("#", ...) == 0 then
    return reductions.max(x, 0)
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
  return new(OP.NOT, x, false, false, x.model, x.kind)
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
  return new(OP.SELECT, condition, x, y, condition.model, bool and kind + BOOL or kind)
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

--- The fallback of a table of methods: an error with the nearest name.
function M.unknown(known, noun)
  return {
    __index = function(_, name)
      local names = {}
      for other in pairs(known) do
        names[#names + 1] = other
      end
      table.sort(names)
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

return M
