--- What a value of the vector language is: the metatables that mark it, its rank, how messages call
-- it, and taking it as an operand. Building expressions of values is node.lua's.
local code = require("fsam.vector.instructions")
local ffi = require("fsam.C").ffi
local source_line = require("fsam.base.source_line")

source_line.own()

local SCALAR, ROW, VECTOR, BOOL = code.SCALAR, code.ROW, code.VECTOR, code.BOOL
local fail = source_line.fail
local tensor = ffi.typeof("fsam_tensor")

local Node, Storage = {}, {}

local M = { Node = Node, Storage = Storage }

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
function M.operand(x, what)
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

return M
