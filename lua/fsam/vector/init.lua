--- The vector language: arithmetic on the whole model, written as ordinary Lua, evaluated lazily.
--
-- Values. A *vector* has one f32 per weight; a *mask* one bit per weight; a *row* one number per
-- parameter (named tensor); a *scalar* is one f64 on the device. Plain Lua numbers mix with all of
-- them; inside a program they are argument slots, so that another lr or rho compiles nothing.
--
--     x + y  x - y  x * y  x / y  x ^ y  -x       IEEE f32 on vectors, f64 on rows and scalars
--     x:abs() x:sqrt() x:sign() x:exp() x:log()   each element
--     x:min(y) x:max(y) x:clamp(low, high)        a NaN in either stays a NaN
--     x:gt(y) x:ge(y) x:lt(y) x:le(y) x:eq(y)     conditions; p * q is "and", p:max(q) "or",
--     p:complement()                              "not"; p + 1 counts a true as 1
--     vector.where(p, x, y)                       x where p holds, else y
--     p * x                                       selects: 0 where p is false, even for NaN
--     x:sum() x:dot(y) x:norm() x:max_abs() x:mean() x:min() x:max()    reductions: scalars
--     x:per("tensor"):norm()  x:per("layer"):dot(y)   reductions: rows, which broadcast back
--     params:each(function(parameter) return number or boolean end)       a row of constants
--     params:normal{ seed =, step =, stream = }  params:uniform{ … }    keyed random vectors
--
-- x ^ 2 is x * x, whole exponents up to 16 multiply, x ^ 0.5 is sqrt; all others are f64 pow
-- rounded once. Dividing by a scalar or row that is 0 gives 0, and so does a quotient of scalars
-- or rows beyond f32's range; vector / vector and vector / plain number are IEEE.
--
-- Reading. An expression reads every vector as it was when the expression was built. Changing:
-- `x:set(expression)` queues and returns the new value as an expression. A queued set may run much
-- later (params:flush, params:commit). Readers of the old value run before it or in its sweep; a
-- reader that comes too late is an error that names both lines. Outside a step, looking at a value
-- (`scalar:read()`, `tostring`, `vector:tensor()`) runs whatever is queued.
--
--     scalar:read()     the number, now         scalar:request()   compute it with the next run
--     vector:tensor()   its memory, settled     vector:parameter(name)   one parameter of it
--     tostring(value)   a line for people       vector:show()      a table of parameters
--
-- Lua cannot express `<`, `==` and `if` on expressions. Where it can be seen, it is an error; use
-- gt, eq, where, or read a scalar.
--
-- Owns: this face. In the room, params.lua is the model's parameters as one vector, with
-- parameters.lua (their order), queue.lua (what waits and runs) and trace.lua (results without a
-- use). expression.lua builds expressions. storage.lua has the named things, leaf.lua their values
-- one after another, mask.lua the methods of masks, cells.lua the places of scalars and rows,
-- instructions.lua the instructions' numbers, show.lua the text for people. compile/ turns what
-- waits into programs.
local arguments = require("fsam.base.arguments")
local expression = require("fsam.vector.expression")
local storage = require("fsam.vector.storage")
require("fsam.base.source_line").own()

local M = {}

--- x where the condition holds, else y.
M.where = expression.where

--- Is this a value of the vector language?
function M.is(x)
  return getmetatable(x) == expression.Node or storage.is(x)
end

--- The methods of expressions as functions: vector.sqrt(x), vector.min(x, y), …
for name, method in pairs(expression.methods) do
  if M[name] == nil then
    M[name] = method
  end
end

local VALUE = arguments.arg("value", arguments.where(function(x)
  return expression.rank(x) ~= nil
end, "a value of the vector language"))
local two = { clamp = 3, where = 3, dot = 2, eq = 2, ge = 2, gt = 2, le = 2, lt = 2, min = 1,
  max = 1, per = 2, set = 2 }
for name in pairs(expression.methods) do
  local list = { inside = true, more = true }
  for i = 1, two[name] or 1 do
    list[i] = VALUE
  end
  arguments.declare("fsam.vector." .. name, list, M[name])
end

arguments.guard("fsam.vector", M, { where = { VALUE, VALUE, VALUE, inside = true },
  is = { arguments.arg("x", arguments.any) } })

return M
