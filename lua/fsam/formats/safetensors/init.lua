--- safetensors files: reading through a mapping, one file or several shards, and writing.
--
-- Owns: the way from a path to tensors by name, and back. A header is checked as a whole before any
-- data is read. Bulk data goes between the mapping, memory and the disk in C and never becomes a
-- Lua value. Leaves to others: the header (safetensors/header.lua), what the names mean
-- (fsam.models).
--
-- Format: u64 length, JSON of that length, data; little-endian.
local C = require("fsam.C")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local foreign = require("fsam.base.foreign")
local header = require("fsam.formats.safetensors.header")
local json = require("fsam.base.json")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local bytes_at, u64_at = ffi.typeof("const uint8_t *"), ffi.typeof("const uint64_t *")
local tensor_type = ffi.typeof("fsam_tensor")

-- The C type of each integer type, for `values`, which reads the other types through f32.
local INTEGERS = {}
for dtype, name in pairs({ BOOL = "uint8_t", U8 = "uint8_t", I8 = "int8_t", U16 = "uint16_t",
  I16 = "int16_t", U32 = "uint32_t", I32 = "int32_t", U64 = "uint64_t", I64 = "int64_t" }) do
  INTEGERS[dtype] = ffi.typeof("const " .. name .. " *")
end

local NEGATIVE_INFINITY = 0xff800000 -- as bits of f32; greater bits are those of a negative NaN

-- Types that fsam_file_read_f32 converts.
local FLOATS = { F32 = true, F16 = true, BF16 = true, F64 = true }

local Entry = {}
Entry.__index = Entry

local function mapping(entry)
  if not entry.source.map then
    errors.raise("%s is closed; tensor %s cannot be read", entry.source.path, entry.name)
  end
  return entry.source.map
end

local PIECE = 2 ^ 21 -- elements

--- Calls a function for one piece of the elements after another. What is read of a mapping counts
-- as memory of this process, so each piece is given back before the next.
-- @tparam function fn (map, the piece's first byte in the file, its first element, its elements)
-- @raise when the file is closed
function Entry:each_piece(fn)
  local map, width = mapping(self), self.bytes / self.elements
  for first = 0, self.elements - 1, PIECE do
    local count = math.min(PIECE, self.elements - first)
    fn(map, self.offset + first * width, first, count)
    lib.fsam_file_forget(map, self.offset + first * width, count * width)
  end
end

--- Calls fn(pointer, bytes) for one piece of the stored bytes after another.
function Entry:each_block(fn)
  local data, width = lib.fsam_file_data(mapping(self)), self.bytes / self.elements
  self:each_piece(function(map, at, _, n)
    fn(data + at, n * width)
    check(lib.fsam_file_unchanged(map))
  end)
end

--- Does the type convert to f32: F32, F16, BF16, F64?
-- @treturn boolean
function Entry:is_float()
  return FLOATS[self.dtype] == true
end

--- Converts all elements to f32.
-- @tparam cdata dest float memory for at least `count` elements
-- @tparam number count the number of elements that the caller expects
-- @raise one line when the tensor has another number, or its type does not convert
function Entry:read_f32(dest, count)
  if count ~= self.elements then
    errors.raise("%s: tensor %s has %d elements, %d are wanted", self.source.path, self.name,
      self.elements, count)
  end
  dest = ffi.cast("float *", dest)
  self:each_piece(function(map, at, first, n)
    check(lib.fsam_file_read_f32(dest + first, map, self.dtype, at, n))
  end)
end

--- Fills a tensor: f32 from F32, F16, BF16 or F64; bf16 from BF16; i32 from I32.
-- @tparam cdata tensor fsam_tensor with as many elements, on any device
-- @treturn number how many of its numbers are infinite or NaN; 0 where they are integers
-- @raise one line when the counts differ, the types do not fit, or the file changes meanwhile
function Entry:read_tensor(tensor)
  if tensor:count() ~= self.elements then
    errors.raise("%s: tensor %s has %d elements, %s wants %d", self.source.path, self.name,
      self.elements, tostring(tensor), tensor:count())
  end
  local before = lib.fsam_file_read_not_finite(mapping(self))
  self:each_piece(function(map, at, first, n)
    local part = n < self.elements and tensor:view({ n }, first) or tensor
    check(lib.fsam_file_read_tensor(part, map, self.dtype, at))
  end)
  return tonumber(lib.fsam_file_read_not_finite(mapping(self)) - before)
end

--- Copies the stored bytes.
-- @tparam cdata dest memory for at least `bytes` bytes
-- @tparam number bytes the number of bytes that the caller expects
-- @raise one line when the tensor has another number
function Entry:read_bytes(dest, bytes)
  if bytes ~= self.bytes then
    errors.raise("%s: tensor %s has %d bytes, %d are wanted", self.source.path, self.name,
      self.bytes, bytes)
  end
  dest = ffi.cast("uint8_t *", dest)
  local width = bytes / self.elements
  self:each_piece(function(map, at, first, n)
    check(lib.fsam_file_read(dest + first * width, map, at, n * width))
  end)
end

--- How many of its numbers are infinite or NaN; 0 where they are integers.
-- @treturn number
function Entry:not_finite()
  local out, found = ffi.new("int64_t[1]"), 0
  self:each_piece(function(map, at, _, n)
    check(lib.fsam_file_not_finite(out, map, self.dtype, at, n))
    found = found + tonumber(out[0])
  end)
  return found
end

--- All values as a flat Lua table, row by row; for small tensors. BOOL becomes 0 and 1, integers
-- beyond 2^53 lose digits.
-- @treturn {number,…}
-- @raise one line when the type is neither an integer nor one that converts to f32
function Entry:values()
  local map = mapping(self)
  local values = self:values_of(lib.fsam_file_data(map) + self.offset)
  check(lib.fsam_file_unchanged(map))
  return values
end

--- The same, for integers from bytes that hold them one after the other.
function Entry:values_of(bytes)
  local values, integer = {}, INTEGERS[self.dtype]
  if integer then
    local data = ffi.cast(integer, bytes)
    for i = 1, self.elements do
      values[i] = tonumber(data[i - 1])
    end
    return values
  end
  local data = ffi.new("float[?]", self.elements)
  local bits = ffi.cast("const uint32_t *", data)
  self:read_f32(data, self.elements)
  for i = 1, self.elements do
    -- LuaJIT takes a negative NaN with a payload for one of its own tagged values and crashes.
    values[i] = bits[i - 1] > NEGATIVE_INFINITY and 0 / 0 or data[i - 1]
  end
  return values
end

local Source = {}
Source.__index = Source

-- For other formats whose tensors are ranges of a mapping.
M.Entry, M.Source = Entry, Source

--- The entry of a name: name, dtype, shape, elements, bytes, offset (from the start of its file),
-- pointer (const uint8_t *, valid while the entry is referenced and its file open), source (its
-- file), and the readers above.
-- @tparam string name
-- @treturn ?table nil when there is no such tensor
function Source:find(name)
  return self.entries[name]
end

--- As `find`, but raises when there is no such tensor.
function Source:get(name)
  return self.entries[name]
    or errors.raise("%s has no tensor %s", self.path, header.printable(name))
end

--- Unmaps the files now rather than at a collection. Entries cannot be read afterwards.
function Source:close()
  for _, part in ipairs(self.parts) do
    if part.map then
      lib.fsam_file_unmap(ffi.gc(part.map, nil))
      part.map = nil
    end
  end
end

local function header_length(path, data, size)
  if size < 8 then
    errors.raise("%s has %d bytes: too short for a safetensors file", path, size)
  end
  local length = ffi.cast(u64_at, data)[0] -- may exceed 2^53, so not converted
  if length > header.MAX_BYTES then
    local hint = foreign.hint(ffi.string(data, math.min(size, foreign.ENOUGH)), true)
    if hint then
      errors.raise("%s %s", path, hint)
    end
    errors.raise("%s: the header's length is %s, more than %d: not a safetensors file", path,
      tostring(length):gsub("ULL$", ""), header.MAX_BYTES)
  elseif length > size - 8 then
    errors.raise("%s: the header has %d bytes, the file only %d more: it is truncated", path,
      tonumber(length), size - 8)
  end
  return tonumber(length)
end

--- Opens one file.
-- @tparam string path
-- @treturn Source path, names (in file order), metadata (string to string), find, get, close
-- @raise one line for the first defect, which names the file and the tensor
function M.open(path)
  local map, size = file.map(path)
  local data = ffi.cast(bytes_at, lib.fsam_file_data(map))
  local length = header_length(path, data, size)
  local start = 8 + length
  local text = ffi.string(data + 8, length)
  check(lib.fsam_file_unchanged(map))
  local list, metadata = header.parse(text, size - start, path)
  local self = setmetatable({ path = path, map = map, names = {}, entries = {},
    metadata = metadata }, Source)
  self.parts = { self }
  for i, entry in ipairs(list) do
    entry.offset = entry.offset + start
    entry.pointer = data + entry.offset
    entry.source = self
    self.names[i] = entry.name
    self.entries[entry.name] = setmetatable(entry, Entry)
  end
  return self
end

--- The shards that an index names, sorted. Only files in the index's own folder are accepted.
local function shard_files(path, weight_map)
  local files, seen = {}, {}
  for name, shard in pairs(weight_map) do
    if type(shard) ~= "string" or shard == "" or shard:find("[/%z]") then
      errors.raise("%s: the file of %s is not a plain file name", path, header.printable(name))
    end
    if not seen[shard] then
      seen[shard] = true
      files[#files + 1] = shard
    end
  end
  table.sort(files)
  return files
end

local function add_shard(self, part)
  for _, name in ipairs(part.names) do
    local other = self.entries[name]
    if other then
      errors.raise("%s: tensor %s is in %s and in %s", self.path, header.printable(name),
        other.source.path, part.path)
    end
    self.entries[name] = part.entries[name]
    self.names[#self.names + 1] = name
  end
  self.parts[#self.parts + 1] = part
end

--- Opens the shards of an index (`model.safetensors.index.json`) as one source.
-- @tparam string path of the index
-- @tparam[opt=open] function open_shard opens one
-- @treturn Source as `open`; names go shard by shard, metadata is the index's
-- @raise one line when a shard is missing or broken, when it lacks a tensor that the index places
--   in it, or when two shards hold the same tensor
function M.open_index(path, open_shard)
  local index = json.decode(file.read(path), path)
  local weight_map = type(index) == "table" and index.weight_map
  if type(weight_map) ~= "table" or next(weight_map) == nil or json.is_array(weight_map) then
    errors.raise("%s has no weight_map: not an index of shards", path)
  end
  local self = setmetatable({ path = path, names = {}, entries = {}, parts = {},
    metadata = type(index.metadata) == "table" and index.metadata or {} }, Source)
  local folder = file.parent(path) .. "/"
  for _, shard in ipairs(shard_files(path, weight_map)) do
    if not file.kind(folder .. shard) then
      errors.raise("%s names %s, which does not exist", path, folder .. shard)
    end
    add_shard(self, (open_shard or M.open)(folder .. shard))
  end
  for name, shard in pairs(weight_map) do
    local entry = self.entries[name]
    if not entry or entry.source.path ~= folder .. shard then
      errors.raise("%s: tensor %s is not in %s", path, header.printable(name), shard)
    end
  end
  return self
end

local function write_tensor(path, writer, tensor)
  local data, before, broken = tensor.data, writer.written, writer:not_finite()
  if type(data) == "function" then
    data(writer)
  elseif ffi.istype(tensor_type, data) then
    writer:tensor(data)
  else
    writer:write(data, tensor.bytes)
  end
  if writer.written - before ~= tensor.bytes then
    errors.raise("%s: tensor %s wrote %d bytes, its dtype and shape need %d", path, tensor.name,
      writer.written - before, tensor.bytes)
  end
  broken = writer:not_finite() - broken
  if broken > 0 then
    errors.raise("%s: tensor %s is not saved: %d of its numbers are infinite or not numbers", path,
      tensor.name, broken)
  end
end

--- Writes a file and puts it on the disk. Its bytes depend on the tensors and the metadata alone:
-- the largest types come first, then names decide, as in the reference writer. When it fails, the
-- part that was written stays.
-- @tparam string path
-- @tparam {table,…} tensors name, dtype ("F32", …), shape, data: a pointer to host memory, an
--   fsam_tensor of that type, or a function that is called with the Writer of base/file.lua and
--   writes the bytes
-- @tparam[opt] table metadata string to string; default { format = "pt" }
-- @raise one line with the path when the disk is full or fails; with the tensor when its data does
--   not have the bytes of its dtype and shape, or when a number of an fsam_tensor is not finite
function M.write(path, tensors, metadata)
  local text, ordered = header.make(tensors, metadata or { format = "pt" }, path)
  file.write_with(path, function(writer)
    writer:write(ffi.new("uint64_t[1]", #text), 8)
    writer:write(text)
    for _, tensor in ipairs(ordered) do
      write_tensor(path, writer, tensor)
    end
  end)
end

return M
