--- Tensors of a PyTorch file as readers of their bytes, with the interface of formats/safetensors.
--
-- A tensor whose elements follow each other is an entry of safetensors' own kind: a range of the
-- mapping. Others (transposed, sliced) are read run by run. Owns: these, rows of a tensor, and
-- zeros for a tensor that a format leaves out. Leaves to others: checking (storage.lua).
local C = require("fsam.C")
local errors = require("fsam.errors")
local safetensors = require("fsam.formats.safetensors")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

-- Strided entries: as entries in a mapping, but for where their elements are.
local Strided = setmetatable({}, { __index = safetensors.Entry })
Strided.__index = Strided

-- Calls fn(index of the first element, its byte in the file, elements) for each run of neighbours.
local function each_run(entry, fn)
  local shape, stride, rank = entry.shape, entry.stride, #entry.shape
  local run = stride[rank] == 1 and shape[rank] or 1
  local place, index = {}, 0
  for i = 1, rank do
    place[i] = 0
  end
  while index < entry.elements do
    local at = 0
    for i = 1, rank do
      at = at + place[i] * stride[i]
    end
    fn(index, entry.offset + at * entry.width, run)
    index = index + run
    place[rank] = place[rank] + run
    for i = rank, 2, -1 do
      if place[i] >= shape[i] then
        place[i], place[i - 1] = 0, place[i - 1] + 1
      end
    end
  end
end

local function mapping(entry)
  return entry.source.map
    or errors.raise("%s is closed; tensor %s cannot be read", entry.source.path, entry.name)
end

local function expect(entry, count, have, what)
  if count ~= have then
    errors.raise("%s: tensor %s has %d %s, %d are wanted", entry.source.path, entry.name, have,
      what, count)
  end
end

function Strided:read_f32(dest, count)
  expect(self, count, self.elements, "elements")
  local map = mapping(self)
  dest = ffi.cast("float *", dest)
  each_run(self, function(index, at, n)
    check(lib.fsam_file_read_f32(dest + index, map, self.dtype, at, n))
  end)
end

function Strided:read_bytes(dest, bytes)
  expect(self, bytes, self.bytes, "bytes")
  local map = mapping(self)
  dest = ffi.cast("uint8_t *", dest)
  each_run(self, function(index, at, n)
    check(lib.fsam_file_read(dest + index * self.width, map, at, n * self.width))
  end)
end

function Strided:read_tensor(tensor)
  expect(self, tensor:count(), self.elements, "elements")
  local host = ffi.new("float[?]", self.elements)
  self:read_f32(host, self.elements)
  tensor:write(host)
end

function Strided:values()
  local bytes = ffi.new("uint8_t[?]", self.bytes)
  self:read_bytes(bytes, self.bytes)
  return self:values_of(bytes)
end

-- A tensor of zeros, which is in no file.
local Zeros = setmetatable({}, { __index = safetensors.Entry })
Zeros.__index = Zeros

function Zeros:read_f32(dest, count)
  expect(self, count, self.elements, "elements")
  ffi.fill(dest, count * 4)
end

function Zeros:read_bytes(dest, bytes)
  expect(self, bytes, self.bytes, "bytes")
  ffi.fill(dest, bytes)
end

function Zeros:read_tensor(tensor)
  expect(self, tensor:count(), self.elements, "elements")
  tensor:fill(0)
end

function Zeros:values()
  local values = {}
  for i = 1, self.elements do
    values[i] = 0
  end
  return values
end

local function is_dense(tensor)
  local expected = 1
  for i = #tensor.shape, 1, -1 do
    if tensor.shape[i] ~= 1 and tensor.stride[i] ~= expected then
      return false
    end
    expected = expected * tensor.shape[i]
  end
  return true
end

--- The entry of a tensor.
-- @tparam table source path, map, size (bytes of the file)
-- @tparam string name
-- @tparam table tensor of storage.lua, whose storage has its start
-- @treturn table name, dtype, shape, elements, bytes, offset, source, and the readers
-- @raise one line when it would have more bytes than its whole file
function M.new(source, name, tensor)
  local entry = { name = name, source = source, dtype = tensor.dtype, shape = tensor.shape,
    width = tensor.width, elements = tensor.elements, bytes = tensor.elements * tensor.width,
    offset = tensor.storage.start + tensor.offset * tensor.width, tensor = tensor }
  if entry.bytes > source.size then
    errors.raise("%s: tensor %s has %.0f bytes, its whole file %d", source.path, name,
      entry.bytes, source.size)
  elseif tensor.elements == 0 or is_dense(tensor) then
    entry.pointer = lib.fsam_file_data(source.map) + entry.offset
    return setmetatable(entry, safetensors.Entry)
  end
  entry.stride = tensor.stride
  return setmetatable(entry, Strided)
end

--- Some rows of a tensor as an entry of their own.
-- @tparam table entry of `new`
-- @tparam string name
-- @tparam number first from 0
-- @tparam number count
function M.rows(entry, name, first, count)
  local tensor, part = entry.tensor, {}
  for key, value in pairs(tensor) do
    part[key] = value
  end
  part.shape = { count, unpack(tensor.shape, 2) }
  part.elements = tensor.elements / tensor.shape[1] * count
  part.offset = tensor.offset + first * tensor.stride[1]
  return M.new(entry.source, name, part)
end

--- An entry of f32 zeros.
-- @tparam table source path
-- @tparam string name
-- @tparam {number,…} shape
function M.zeros(source, name, shape)
  local elements = 1
  for _, n in ipairs(shape) do
    elements = elements * n
  end
  return setmetatable({ name = name, source = source, dtype = "F32", shape = shape,
    elements = elements, bytes = elements * 4 }, Zeros)
end

return M
