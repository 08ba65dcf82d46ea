--- Where the values of a sweep live: in their vector itself, or in one of a few temporaries.
--
-- Owns: these places. It works on a sweep's sets and its finished list of instructions
-- (values.lua).
local code = require("fsam.vector.instructions")
require("fsam.base.source_line").own()

local OP = code.OP

local M = {}

-- Instructions that can write the working copy themselves.
local STORING = { [OP.ADD] = OP.ADD_STORE_ACT, [OP.MUL_ADD] = OP.MUL_ADD_STORE_ACT }

-- Where a list's values are written, and how often they are read, by instructions, by sets or as
-- the key; the last instruction that reads each bound vector.
local function survey(list, sets, key)
  local written_at, readers, last_read = {}, {}, {}
  local function read(operand, at)
    if operand[1] == "m" then
      last_read[operand[2]] = at
    elseif operand[1] == "v" then
      readers[operand[2]] = (readers[operand[2]] or 0) + 1
    end
  end
  for at, instruction in ipairs(list) do
    if instruction.value then
      written_at[instruction.value] = at
    end
    for _, input in ipairs(instruction.inputs) do
      read(input, at)
    end
  end
  for _, set in ipairs(sets) do
    read(set.operand, math.huge) -- stored at the sweep's end
  end
  if key then
    read(key, math.huge)
  end
  return written_at, readers, last_read
end

--- Finds the sets whose value's own instruction can write them, because no later instruction of the
-- sweep reads what the vector held before: values computed in place, or rounded to the working copy
-- when nothing else reads them. Marks these sets `homed`.
-- @tparam table list instructions: inputs, value
-- @tparam table sets each with operand, slot, class
-- @tparam ?table key the operand that a selection looks at
-- @treturn table homes[value] = slot
function M.find_homes(list, sets, key)
  local written_at, readers, last_read = survey(list, sets, key)
  local homes = {}
  for _, set in ipairs(sets) do
    local value = set.operand[2]
    local at = set.operand[1] == "v" and written_at[value]
    set.homed = false
    if at and (last_read[set.slot] or 0) <= at then
      local instruction = list[at]
      if set.class == code.F32 and not homes[value] then
        homes[value] = set.slot
        set.homed = true
      elseif set.class == code.ACT and readers[value] == 1 and STORING[instruction.op] then
        instruction.op, instruction.value = STORING[instruction.op], nil
        instruction.out = set.slot
        set.homed = true
      end
    end
  end
  return homes
end

local FIELDS = { "a", "b", "c", "d" }

--- Replaces operands by register numbers: fills space, out, a, b, c, d of every instruction. A
-- temporary is used again after its value's last reader, which may be the instruction that writes
-- it.
-- @tparam table list instructions
-- @tparam table homes from find_homes
-- @tparam number bound the first temporary's number
-- @treturn number how many temporaries it takes
function M.assign(list, homes, bound)
  local last_use = {}
  for at, instruction in ipairs(list) do
    for _, input in ipairs(instruction.inputs) do
      if input[1] == "v" then
        last_use[input[2]] = at
      end
    end
  end
  local register, free, count = {}, {}, 0
  for at, instruction in ipairs(list) do
    instruction.space = code.VECTOR
    for i, field in ipairs(FIELDS) do
      local input = instruction.inputs[i]
      instruction[field] = input and input[2] or 0
      if input and input[1] == "v" then
        local value = input[2]
        instruction[field] = register[value]
        if last_use[value] == at and not homes[value] then
          last_use[value] = nil
          free[#free + 1] = register[value]
        end
      end
    end
    local value = instruction.value
    if value and homes[value] then
      register[value] = homes[value]
    elseif value then
      if #free == 0 then
        free[1] = bound + count
        count = count + 1
      end
      register[value] = table.remove(free)
      if not last_use[value] then
        free[#free + 1] = register[value] -- nothing reads it
      end
    end
    instruction.out = value and register[value] or instruction.out
  end
  return count
end

return M
