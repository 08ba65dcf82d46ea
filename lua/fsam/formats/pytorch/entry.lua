--- Tensors of a PyTorch file as readers of their bytes, with the interface of formats/safetensors.
--
-- A tensor whose elements follow each other is an entry of safetensors' own kind: a range of the
-- mapping. Others (transposed, sliced) are gathered run by run. Owns: these, rows of a tensor, and
-- tensors that are in no file: zeros for one that a format leaves out, and computed ones. Leaves to
-- others: checking (storage.lua).
local C = require("fsam.C")
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")
local safetensors = require("fsam.formats.safetensors")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local BLOCK = 2 ^ 18 -- elements that are gathered before they go on

local function expect(entry, count, have, what)
  if count ~= have then
    errors.raise("%s: tensor %s has %d %s, %d are wanted", entry.source.path,
      header.printable(entry.name), have, what, count)
  end
end

-- -- views of a storage whose elements do not follow each other -----------------------------------

local Strided = setmetatable({}, { __index = safetensors.Entry })
Strided.__index = Strided

-- Calls fn(index of the first element, its byte in the file, elements) for each run of neighbours,
-- of at most BLOCK.
local function each_run(entry, fn)
  local shape, stride, rank = entry.shape, entry.stride, #entry.shape
  local longest = stride[rank] == 1 and BLOCK or 1
  local place, index = {}, 0
  for i = 1, rank do
    place[i] = 0
  end
  while index < entry.elements do
    local at = 0
    for i = 1, rank do
      at = at + place[i] * stride[i]
    end
    local run = math.min(longest, shape[rank] - place[rank])
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

-- Fills blocks of elements of `width` bytes: read(to, map, at, n) fetches a run, and
-- flush(block, first, count) takes what has come together.
local function in_blocks(entry, width, read, flush)
  local map = entry.source.map
  if not map then
    errors.raise("%s is closed; tensor %s cannot be read", entry.source.path,
      header.printable(entry.name))
  end
  local block, first = ffi.new("uint8_t[?]", math.min(BLOCK, entry.elements) * width), 0
  each_run(entry, function(index, at, n)
    if index + n - first > BLOCK then
      flush(block, first, index - first)
      first = index
    end
    check(read(block + (index - first) * width, map, at, n))
  end)
  flush(block, first, entry.elements - first)
  lib.fsam_file_forget(map, entry.offset, entry.tensor.extent * entry.width)
end

-- Blocks of the bytes as they are.
local function blocks(entry, flush)
  local width = entry.width
  in_blocks(entry, width, function(to, map, at, n)
    return lib.fsam_file_read(to, map, at, n * width)
  end, flush)
end

-- Blocks of f32.
local function float_blocks(entry, flush)
  in_blocks(entry, 4, function(to, map, at, n)
    return lib.fsam_file_read_f32(ffi.cast("float *", to), map, entry.dtype, at, n)
  end, function(block, first, n)
    flush(ffi.cast("float *", block), first, n)
  end)
end

function Strided:each_block(fn)
  blocks(self, function(block, _, n)
    fn(block, n * self.width)
  end)
end

function Strided:read_bytes(dest, bytes)
  expect(self, bytes, self.bytes, "bytes")
  dest = ffi.cast("uint8_t *", dest)
  blocks(self, function(block, first, n)
    ffi.copy(dest + first * self.width, block, n * self.width)
  end)
end

function Strided:read_f32(dest, count)
  expect(self, count, self.elements, "elements")
  dest = ffi.cast("float *", dest)
  float_blocks(self, function(block, first, n)
    ffi.copy(dest + first, block, n * 4)
  end)
end

function Strided:read_tensor(tensor)
  expect(self, tensor:count(), self.elements, "elements")
  float_blocks(self, function(block, first, n)
    tensor:view({ n }, first):write(block)
  end)
  return self:not_finite()
end

function Strided:not_finite()
  local found = 0
  if self:is_float() then
    float_blocks(self, function(block, _, n)
      for i = 0, n - 1 do
        found = found + (block[i] - block[i] ~= 0 and 1 or 0) -- of infinities and NaN it is NaN
      end
    end)
  end
  return found
end

function Strided:values()
  local bytes = ffi.new("uint8_t[?]", self.bytes)
  self:read_bytes(bytes, self.bytes)
  return self:values_of(bytes)
end

-- -- tensors that are in no file ------------------------------------------------------------------

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
  return 0
end

function Zeros:each_block(fn)
  fn(ffi.new("uint8_t[?]", self.bytes), self.bytes)
end

function Zeros.not_finite()
  return 0
end

function Zeros:values()
  return self:values_of(ffi.new("uint8_t[?]", self.bytes))
end

--- An entry of f32 zeros, which has all readers. For a few rows: each_block makes them at once.
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

local Computed = {}
Computed.__index = Computed

function Computed:each_block(fn)
  fn(self.memory, self.bytes)
end

--- An entry of computed f32 numbers, of the shape of another entry. It can only be written.
-- @tparam table entry the other
-- @tparam cdata memory float[?], as many as the other has elements
function M.computed(entry, memory)
  return setmetatable({ name = entry.name, source = entry.source, dtype = "F32",
    shape = entry.shape, elements = entry.elements, bytes = entry.elements * 4, memory = memory },
    Computed)
end

-- -- entries of a file ----------------------------------------------------------------------------

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
-- @treturn table name, dtype, shape, elements, bytes, offset, source, and the readers; also
--   pointer, where the elements follow each other
-- @raise one line when it would have more bytes than its whole file
function M.new(source, name, tensor)
  local entry = { name = name, source = source, dtype = tensor.dtype, shape = tensor.shape,
    width = tensor.width, elements = tensor.elements, bytes = tensor.elements * tensor.width,
    offset = tensor.storage.start + tensor.offset * tensor.width, tensor = tensor }
  if entry.bytes > source.size then
    errors.raise("%s: tensor %s has %.0f bytes, its whole file %d", source.path,
      header.printable(name), entry.bytes, source.size)
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
  local width = tensor.elements / tensor.shape[1]
  part.shape, part.elements = { count, unpack(tensor.shape, 2) }, width * count
  part.offset = tensor.offset + first * tensor.stride[1]
  part.extent = part.elements == 0 and 0
    or tensor.extent - (tensor.shape[1] - count) * tensor.stride[1]
  return M.new(entry.source, name, part)
end

return M
