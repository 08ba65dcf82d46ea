--- What Lua itself does with an expression, without asking it, so that a function's instructions
-- are looked at instead.
--
-- `if`, `while`, `and`, `or`, `not` test the outcome of a comparison: a condition is an object,
-- which Lua takes for true whatever the values say. `==` and `~=` compare an expression with a
-- number: it is never equal.
--
-- Owns: these looks. Leaves to others: when to look, and what is then said (expression.lua,
-- fsam.define).
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

local M = {}

--- Does this line of a function test what a method of this name returns?
-- @tparam function func
-- @tparam number line
-- @tparam string name
-- @treturn boolean
function M.is_tested(func, line, name)
  local answers = known[func] or {}
  known[func] = answers
  local key = line .. name
  if answers[key] == nil then
    answers[key] = look(func, line, name)
  end
  return answers[key]
end

-- -- == and ~= ------------------------------------------------------------------------------------

-- How Lua compares: operation → does its other operand stand in a register?
local COMPARES = {}
for _, sample in ipairs({
  { function(x) if x == 0 then return 1 end end, false },
  { function(x) if x ~= 0 then return 1 end end, false },
  { function(x, y) if x == y then return 1 end end, true },
  { function(x, y) if x ~= y then return 1 end end, true },
}) do
  COMPARES[operation(funcbc(sample[1], 1))] = sample[2]
end
local JUMP = operation(funcbc(function(x) if x == 0 then return 1 end end, 2))

-- Where a register's value at an instruction comes from: the instruction, and the name of the
-- method that it calls, or of the first argument's field that it reads. Nothing where it is
-- something else. Branches are not followed: what is not seen is not said.
local function origin(func, at, register)
  for pc = at - 1, 1, -1 do
    local instruction = funcbc(func, pc)
    local op = operation(instruction)
    if target(instruction) == register and COMPARES[op] == nil and op ~= JUMP then
      if op == CALL then
        return pc, name_of(func, pc, register), nil
      elseif op == FIELD and rshift(instruction, 24) == 0 then
        return pc, nil, util.funck(func, -band(operand(instruction), 0xff) - 1)
      end
      return nil
    end
  end
end

local function compared_in(func, found)
  local info = util.funcinfo(func)
  local function note(at, register)
    local from, method, field = origin(func, at, register)
    if method or field then
      found[#found + 1] = { method = method, field = field,
        from = util.funcinfo(func, from).currentline, line = util.funcinfo(func, at).currentline }
    end
  end
  for pc = 1, (info.bytecodes or 0) - 1 do
    local instruction = funcbc(func, pc)
    local both = COMPARES[operation(instruction)]
    if both ~= nil then
      note(pc, target(instruction))
    end
    if both then
      note(pc, operand(instruction))
    end
  end
end

local compared = setmetatable({}, { __mode = "k" }) -- function → list

--- What a function compares by == and ~=, as far as its instructions say.
-- @tparam function func or the prototype of one
-- @treturn table a list of { method = the name of the method whose result is compared, or field =
--   that of the first argument's field; from = the line of the call; line = of the comparison }
function M.compared(func)
  if not compared[func] then
    compared[func] = {}
    compared_in(func, compared[func])
  end
  return compared[func]
end

--- The functions within a function, as far as it makes them.
-- @tparam function func or the prototype of one
-- @treturn table a list of prototypes
function M.inner(func)
  local list = {}
  for i = -1, -(util.funcinfo(func).gcconsts or 0), -1 do
    local constant = util.funck(func, i)
    if type(constant) == "proto" then
      list[#list + 1] = constant
    end
  end
  return list
end

return M
