--- Is the outcome of a comparison tested by `if`, `while`, `and`, `or`, `not`? A condition is an
-- object, which Lua takes for true whatever the values say. Lua does not ask the object, so the
-- caller's instructions are looked at: a call of the method whose result the next one tests.
--
-- Owns: this look. Leaves to others: when to look, and what is then said (expression.lua).
local bit = require("bit")
local util = require("jit.util")

local band, rshift = bit.band, bit.rshift
local funcbc = util.funcbc

local function operation(instruction)
  return band(instruction, 0xff)
end

-- The register that an instruction writes, or a test's or `not`'s operand.
local function target(instruction)
  return band(rshift(instruction, 8), 0xff)
end

local function operand(instruction)
  return rshift(instruction, 16)
end

-- The numbers of instructions differ between versions of LuaJIT, so samples tell them. In each, the
-- call is the second instruction, and what tests its result the third.
local CALL, TESTS = nil, {}
for _, sample in ipairs({
  function(f) if f() then return 1 end end,
  function(f) if not f() then return 1 end end,
  function(f) local x = f() or 3 return x end,
  function(f) local x = f() and 3 return x end,
  function(f, x) x = f() or x return x end,
  function(f, x) x = f() and x return x end,
  function(f) return not f() end,
}) do
  local call, test = funcbc(sample, 2), funcbc(sample, 3)
  CALL = operation(call)
  if test and operand(test) == target(call) then
    TESTS[operation(test)] = true
  end
end
local FIELD = operation(funcbc(function(x) return x.field end, 1))

-- The name of the field that a call's function was read from: the last that went into its register.
local function name_of(func, call, register)
  for pc = call - 1, 1, -1 do
    local instruction = funcbc(func, pc)
    if operation(instruction) == FIELD and target(instruction) == register then
      return util.funck(func, -band(operand(instruction), 0xff) - 1)
    end
  end
end

local function look(func, line, name)
  for pc = 1, (util.funcinfo(func).bytecodes or 0) - 2 do
    local call, test = funcbc(func, pc), funcbc(func, pc + 1)
    if operation(call) == CALL and TESTS[operation(test)] and operand(test) == target(call)
        and util.funcinfo(func, pc).currentline == line
        and name_of(func, pc, target(call)) == name then
      return true
    end
  end
  return false
end

local known = setmetatable({}, { __mode = "k" }) -- function → "line name" → answer

--- Does this line of a function test what a method of this name returns?
-- @tparam function func
-- @tparam number line
-- @tparam string name
-- @treturn boolean
return function(func, line, name)
  local answers = known[func] or {}
  known[func] = answers
  local key = line .. name
  if answers[key] == nil then
    answers[key] = look(func, line, name)
  end
  return answers[key]
end
