--- The few names of Python whose calls have a value here: containers, tensors, numpy's numbers.
-- Each is a function of ours over inert tables; no name of a file is ever looked up elsewhere, and
-- a call of any other name is a record of it (objects.lua).
--
-- Owns: this closed list. Leaves to others: what a tensor's numbers must fulfil (storage.lua).
local encoding = require("fsam.formats.pytorch.encoding")
local json = require("fsam.base.json")
local objects = require("fsam.formats.pytorch.objects")
local storage = require("fsam.formats.pytorch.storage")

local M = {}

-- A dict from nothing, from a dict, or from a list of pairs.
local function dict_of(given, vm)
  local dict, kind = objects.dict(), objects.kind(given)
  if kind == "dict" then
    vm:spend(#given.keys)
    for _, key in ipairs(given.keys) do
      objects.set(dict, key, given.map[key])
    end
  elseif kind == "list" then
    vm:spend(given.n)
    for i = 1, given.n do
      local pair = given[i]
      local is = objects.kind(pair)
      if (is ~= "list" and is ~= "tuple") or pair.n ~= 2 then
        vm:fail("a dict of %s, expected pairs", objects.show(pair))
      end
      objects.set(dict, pair[1], pair[2])
    end
  elseif given ~= nil and given ~= json.null then
    vm:fail("a dict of %s", objects.show(given))
  end
  return dict
end

M["collections.OrderedDict"] = function(args, vm)
  return dict_of(args[1], vm)
end

M["builtins.dict"], M["__builtin__.dict"] = M["collections.OrderedDict"],
  M["collections.OrderedDict"]

M["collections.defaultdict"] = function(args, vm)
  return dict_of(args[2], vm)
end

-- A sequence from nothing or from another one.
local function sequence_of(is)
  return function(args, vm)
    local given, list = args[1], {}
    local kind = objects.kind(given)
    if kind == "list" or kind == "tuple" or kind == "set" then
      vm:spend(given.n)
      for i = 1, given.n do
        list[i] = given[i]
      end
    elseif given ~= nil then
      vm:fail("a %s of %s", is, objects.show(given))
    end
    return objects.sequence(is, list)
  end
end

for _, module in ipairs({ "builtins.", "__builtin__." }) do
  M[module .. "list"], M[module .. "tuple"] = sequence_of("list"), sequence_of("tuple")
  M[module .. "set"], M[module .. "frozenset"] = sequence_of("set"), sequence_of("set")
end
M["torch.Size"] = sequence_of("tuple")

-- -- tensors --------------------------------------------------------------------------------------

-- (storage, offset, size, stride, …)
local function tensor(args, vm)
  return storage.tensor(vm, args[1], args[2], args[3], args[4])
end

M["torch._utils._rebuild_tensor"] = tensor
M["torch._utils._rebuild_tensor_v2"] = tensor

-- (storage, offset, size, stride, requires_grad, hooks, dtype, …)
M["torch._utils._rebuild_tensor_v3"] = function(args, vm)
  return storage.tensor(vm, args[1], args[2], args[3], args[4], args[7])
end

-- A parameter is its data; only tensors may be.
local function parameter(args, vm)
  if objects.kind(args[1]) ~= "tensor" then
    vm:fail("a parameter is %s, expected a tensor", objects.show(args[1]))
  end
  return args[1]
end

M["torch._utils._rebuild_parameter"] = parameter
M["torch._utils._rebuild_parameter_with_state"] = parameter
M["torch.nn.parameter.Parameter"] = parameter

-- (function, type, args, state): a tensor with attributes.
M["torch._tensor._rebuild_from_type_v2"] = function(args, vm)
  local name = objects.kind(args[1]) == "class" and args[1].name or ""
  if not name:find("^torch%._utils%._rebuild_") or not M[name]
      or objects.kind(args[3]) ~= "tuple" then
    local object = objects.object("torch._tensor._rebuild_from_type_v2")
    object.args = args
    return object
  end
  return M[name](args[3], vm)
end

-- -- bytes and numpy's numbers --------------------------------------------------------------------

local MOST_ENCODED = 2 ^ 16 -- characters

-- How bytes look in protocol 2: a text of the characters U+0000 to U+00FF.
M["_codecs.encode"] = function(args, vm)
  local text = args[1]
  if type(text) ~= "string" or #text > MOST_ENCODED then
    vm:fail("bytes of %s", type(text) == "string" and "too long a text" or objects.show(text))
  end
  vm:spend(#text / 64)
  return (text:gsub("([\194\195])([\128-\191])", function(high, low)
    return string.char((high:byte() - 194) * 64 + low:byte())
  end))
end

-- numpy's letter of a number and its width → C's type.
local NUMBERS = { i1 = "int8_t", i2 = "int16_t", i4 = "int32_t", u1 = "uint8_t", u2 = "uint16_t",
  u4 = "uint32_t", f4 = "float", b1 = "uint8_t" }

local function number(code, text)
  if code == "f8" then
    return encoding.double(text)
  elseif code == "i8" or code == "u8" then
    return encoding.integer(code == "u8" and text .. "\0" or text)
  end
  return storage.number(NUMBERS[code], text)
end

-- (dtype, bytes); the dtype is an object with the arguments ("f8", False, True).
local function scalar(args)
  local dtype, text = args[1], args[2]
  local code = objects.kind(dtype) == "object" and objects.kind(dtype.args) == "tuple"
    and dtype.args[1]
  if type(code) == "string" and type(text) == "string" and #text == tonumber(code:match("%d+$"))
      and (NUMBERS[code] or code == "f8" or code == "i8" or code == "u8") then
    return number(code, text)
  end
  local object = objects.object("numpy.scalar")
  object.args = args
  return object
end

M["numpy.core.multiarray.scalar"] = scalar
M["numpy._core.multiarray.scalar"] = scalar

return M
