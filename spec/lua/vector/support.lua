--- What the specs of the vector language share: small models with awkward parameters, vectors
-- filled and read element by element, and f32 arithmetic in plain Lua.
local C = require("fsam.C")
local device = require("fsam.base.device")
local params = require("fsam.vector.params")
local ffi = C.ffi

local M = {}

local cell = ffi.new("union { float f; int32_t i; }")

--- A number rounded to f32.
function M.f32(x)
  cell.f = x
  return cell.f
end

--- A number's f32 bits; every NaN gives the same.
function M.bits(x)
  if x ~= x then
    return "nan"
  end
  cell.f = x
  return tonumber(cell.i)
end

--- Parameters whose sizes are no multiple of anything, one longer than a block, one frozen.
function M.specs()
  return {
    { name = "table", kind = "embedding", shape = { 37, 5 } },
    { name = "a.weight", kind = "matrix", layer = 0, shape = { 130, 33 } },
    { name = "frozen", kind = "matrix", layer = 0, shape = { 11, 7 }, frozen = true },
    { name = "a.bias", kind = "bias", layer = 0, shape = { 130 } },
    { name = "b.weight", kind = "matrix", layer = 1, shape = { 64 } },
    { name = "b.norm", kind = "norm", layer = 1, shape = { 1 }, decay = false },
    { name = "out", kind = "head", shape = { 3, 21 } },
  }
end

--- A model on the CPU (or the device that the specs are run on).
function M.model(compute, specs)
  return params.new(device.open("cpu"), specs or M.specs(), { compute = compute or "f32" })
end

--- Writes value(n, parameter) into every real element, n from 1 in the layout's order; frozen ones
-- too.
function M.fill(P, vector, value)
  local data, n = vector.raw:to_host(), 0
  for _, parameter in ipairs(P.parameters) do
    for i = 0, parameter.count - 1 do
      n = n + 1
      data[parameter.offset + i] = value(n, parameter)
    end
  end
  vector.raw:write(data)
  P:touch(vector)
end

--- The elements of the parameters that are not frozen, in order, once everything waiting has run.
function M.read(P, vector)
  local data, list = vector:tensor():to_host(), {}
  for _, parameter in ipairs(P.parameters) do
    for i = 0, parameter.frozen and -1 or parameter.count - 1 do
      list[#list + 1] = data[parameter.offset + i]
    end
  end
  return list
end

--- A mask's bits as a list of booleans, in the same order.
function M.read_bits(P, mask)
  local words, list = mask:tensor():to_host(), {}
  local bit = require("bit")
  for _, parameter in ipairs(P.parameters) do
    for i = 0, parameter.frozen and -1 or parameter.count - 1 do
      local at = parameter.offset + i
      list[#list + 1] = bit.band(bit.rshift(words[math.floor(at / 32)], at % 32), 1) == 1
    end
  end
  return list
end

local AWKWARD = { 0, -0.0, 1, -1, 0.5, 3, -2.75, 1e-45, -1e-39, 1e30, -3e38, 1 / 0, -1 / 0, 0 / 0,
  16777217, 0.1, -0.3, 1e-20 }

--- A repeatable number for place n: mostly ordinary, now and then awkward (zeros, infinities, NaN).
function M.number(n, salt)
  local mixed = (n * 7919 + salt * 104729) % 10007
  if mixed % 5 == 0 then
    return AWKWARD[mixed % #AWKWARD + 1]
  end
  return M.f32((mixed - 5003) / 611)
end

--- The same without infinities and NaN.
function M.finite(n, salt)
  local x = M.number(n, salt)
  return x - x == 0 and math.abs(x) < 1e6 and x or M.f32(n % 13 - 6.5)
end

--- Compares two lists bit by bit; the first difference's description, or nil.
function M.difference(expected, actual)
  for i = 1, math.max(#expected, #actual) do
    if expected[i] == nil or actual[i] == nil or M.bits(expected[i]) ~= M.bits(actual[i]) then
      return ("element %d: expected %s, got %s"):format(i, tostring(expected[i]),
        tostring(actual[i]))
    end
  end
end

--- A model of few elements with the vectors a, b, …: constant, so that numbers can be followed.
function M.constants(values)
  local P = M.model()
  local v = {}
  for name, value in pairs(values) do
    v[name] = P:vector(name)
    M.fill(P, v[name], function() return value end)
  end
  return P, v
end

--- The value of a vector that is the same everywhere.
function M.constant(P, x)
  local list = M.read(P, x)
  for i = 2, #list do
    if list[i] ~= list[1] then
      error(("element %d is %g, the first %g"):format(i, list[i], list[1]))
    end
  end
  return list[1]
end

return M
