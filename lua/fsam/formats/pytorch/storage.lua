--- Storages and tensors as a pickle describes them: PyTorch's number types, views of a storage by
-- offset, shape and stride.
--
--     storage   is, key (a text), dtype, width (bytes), elements; the container sets `start`, the
--               byte of the file where its elements begin
--     tensor    is, storage, dtype, width, offset, shape, stride (in elements), elements, extent
--               (how many elements of the storage it spans from offset on)
--
-- Owns: checking both. Leaves to others: where the bytes are (zip.lua, legacy.lua), reading them
-- (entry.lua).
local C = require("fsam.C")
local header = require("fsam.formats.safetensors.header")
local json = require("fsam.base.json")
local objects = require("fsam.formats.pytorch.objects")
local ffi = C.ffi

local M = {}

-- PyTorch's storage classes and dtypes: name here, width in bytes. Names that safetensors lacks are
-- those that nothing here reads.
local CLASSES = {
  Float = { "F32", 4 }, Half = { "F16", 2 }, BFloat16 = { "BF16", 2 }, Double = { "F64", 8 },
  Long = { "I64", 8 }, Int = { "I32", 4 }, Short = { "I16", 2 }, Char = { "I8", 1 },
  Byte = { "U8", 1 }, Bool = { "BOOL", 1 }, ComplexFloat = { "C64", 8 },
  ComplexDouble = { "C128", 16 }, QInt8 = { "QINT8", 1 }, QUInt8 = { "QUINT8", 1 },
  QInt32 = { "QINT32", 4 }, Untyped = { "U8", 1 },
}

local DTYPES = {
  float8_e4m3fn = { "F8_E4M3", 1 }, float8_e5m2 = { "F8_E5M2", 1 }, uint16 = { "U16", 2 },
  uint32 = { "U32", 4 }, uint64 = { "U64", 8 },
}

local MOST_DIMENSIONS = 64 -- PyTorch's own limit
local LARGEST = 2 ^ 53

local function is_count(value)
  return type(value) == "number" and value >= 0 and value <= LARGEST and value % 1 == 0
end

--- A number from its bytes, in the machine's order.
-- @tparam string ctype
-- @tparam string text as many bytes as that type has
-- @treturn number
function M.number(ctype, text)
  local value = ffi.new(ctype .. "[1]")
  ffi.copy(value, text, #text)
  local number = tonumber(value[0])
  return number ~= number and 0 / 0 or number
end

-- (key, first element, elements) of a view of a storage, as the legacy format writes it, or None.
local function view(vm, given, elements)
  if given == nil or given == json.null then
    return 0, elements
  elseif objects.kind(given) ~= "tuple" or given.n ~= 3 or not is_count(given[2])
      or not is_count(given[3]) or given[2] + given[3] > elements then
    vm:fail("a view of a storage of %.0f elements is not within it", elements)
  end
  return given[2], given[3]
end

--- A function that reads persistent ids: ("storage", class, key, place, elements[, view]). All
-- storages of one key share a table, so that tied tensors stay tied.
-- @tparam table storages map from key to storage, which this fills
-- @treturn function (id, machine) → storage, or for a view a table with `of` and `first`
-- @raise through the machine, one line about an id that is none
function M.reader(storages)
  return function(id, vm)
    if objects.kind(id) ~= "tuple" or id[1] ~= "storage" then
      local text = objects.kind(id) == "tuple" and id[1] or id
      if text == "module" then -- source code of a class, which the legacy format may keep
        return id[2] == nil and vm:fail("a module without a class") or id[2]
      end
      vm:fail("%s stands for data, expected a storage", objects.show(text))
    end
    local class = objects.kind(id[2]) == "class" and id[2].name:match("^torch%.(.+)Storage$")
    local kind = class and CLASSES[class:gsub("^storage%.", ""):gsub("^cuda%.", "")]
    if not kind then
      vm:fail("a storage of %s, which is no number type of PyTorch", objects.show(id[2]))
    elseif type(id[3]) ~= "string" or not is_count(id[5]) then
      vm:fail("a storage has %s for its key and %s for its size", objects.show(id[3]),
        objects.show(id[5]))
    end
    local known = storages[id[3]]
    if not known then
      known = { is = "storage", key = id[3], dtype = kind[1], width = kind[2], elements = id[5] }
      storages[id[3]] = known
    elseif known.dtype ~= kind[1] or known.elements ~= id[5] then
      vm:fail("storage %s is %.0f elements of %s and %.0f of %s", header.printable(id[3]),
        known.elements, known.dtype, id[5], kind[1])
    end
    local first, elements = view(vm, id[6], id[5])
    if first == 0 and elements == id[5] then
      return known
    end
    return { is = "storage", of = known, first = first, dtype = known.dtype, width = known.width,
      elements = elements }
  end
end

-- A tuple of sizes or strides as a list.
local function counts(vm, given, what)
  local kind = objects.kind(given)
  if (kind ~= "tuple" and kind ~= "list") or given.n > MOST_DIMENSIONS then
    vm:fail("the %s of a tensor is %s", what, objects.show(given))
  end
  local list = {}
  for i = 1, given.n do
    if not is_count(given[i]) then
      vm:fail("the %s of a tensor has %s", what, objects.show(given[i]))
    end
    list[i] = given[i]
  end
  return list
end

-- The dtype and width of a tensor over untyped bytes.
local function typed(vm, dtype, from)
  local name = objects.kind(dtype) == "class" and dtype.name:match("^torch%.(.*)$")
  local kind = name and DTYPES[name]
  if not kind then
    vm:fail("a tensor of %s, which is not supported", objects.show(dtype))
  elseif from.dtype ~= "U8" then
    vm:fail("a tensor of %s over elements of %s", name, from.dtype)
  end
  return kind[1], kind[2]
end

--- A tensor over a storage.
-- @tparam table vm the machine, for messages
-- @param from a storage
-- @param offset its first element
-- @param size a tuple
-- @param stride a tuple
-- @param[opt] dtype the class of a type that storages do not have
-- @treturn table see the head of this file
-- @raise through the machine, one line when it is not within its storage
function M.tensor(vm, from, offset, size, stride, dtype)
  if objects.kind(from) ~= "storage" then
    vm:fail("a tensor of %s, expected a storage", objects.show(from))
  elseif not is_count(offset) then
    vm:fail("a tensor begins at %s", objects.show(offset))
  end
  local shape, strides = counts(vm, size, "size"), counts(vm, stride, "stride")
  if #shape ~= #strides then
    vm:fail("a tensor has %d sizes and %d strides", #shape, #strides)
  end
  local kind, width = from.dtype, from.width
  local there = from.elements
  if dtype then
    kind, width = typed(vm, dtype, from)
    there = math.floor(there / width)
  end
  local elements, extent = 1, 1
  for i, n in ipairs(shape) do
    elements = elements * n
    extent = extent + (n - 1) * strides[i]
  end
  extent = elements == 0 and 0 or extent
  if elements > LARGEST or offset + extent > there then
    vm:fail("a tensor %s from element %.0f on is not within its storage of %.0f",
      header.shape_text(shape), offset, there)
  end
  return { is = "tensor", storage = from.of or from, dtype = kind, width = width,
    offset = offset + (from.first or 0) * from.width / width, shape = shape, stride = strides,
    elements = elements, extent = extent }
end

return M
