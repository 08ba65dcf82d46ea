--- Where the values of a pass live: in their vector itself, or in one of a few temporaries.
local code = require("fsam.vector.code")

local M = {}

--- Finds the sets whose value can be computed in place: written by its own instruction, because no
-- later instruction of the pass reads what the vector held before. Marks them `homed`.
-- @tparam table list instructions: inputs, value
-- @tparam table sets each with operand, slot, class
-- @treturn table homes[value] = slot
function M.find_homes(list, sets)
  local last_read, written_at, homes = {}, {}, {}
  for at, instruction in ipairs(list) do
    if instruction.value then
      written_at[instruction.value] = at
    end
    for _, input in ipairs(instruction.inputs) do
      if input[1] == "m" then
        last_read[input[2]] = at
      end
    end
  end
  for _, set in ipairs(sets) do
    if set.operand[1] == "m" then
      last_read[set.operand[2]] = math.huge -- stored at the pass's end
    end
  end
  for _, set in ipairs(sets) do
    local value = set.operand[2]
    set.homed = set.class == code.F32 and not homes[value]
      and (last_read[set.slot] or 0) <= written_at[value]
    if set.homed then
      homes[value] = set.slot
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
        free[#free + 1] = register[value] -- nobody reads it
      end
    end
    instruction.out = value and register[value] or instruction.out
  end
  return count
end

return M
