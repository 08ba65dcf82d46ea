--- The header of a safetensors file: read without trust, and written as the reference writer does.
--
-- Owns: the JSON between the length and the data, and the table of number types. It sees text and
-- sizes only. Leaves to others: files and memory (safetensors/init.lua).
--
-- Source: huggingface/safetensors, safetensors/src/tensor.rs.
local errors = require("fsam.errors")
local json = require("fsam.base.json")

local M = {}

--- Longest header that is read, in bytes (the reference reader's limit).
M.MAX_BYTES = 100000000

-- ORDER: tensors are written with the types at the end of this list first.
local TYPE_LIST = {
  { "BOOL", 1 }, { "U8", 1 }, { "I8", 1 }, { "F8_E5M2", 1 }, { "F8_E4M3", 1 }, { "F8_E8M0", 1 },
  { "I16", 2 }, { "U16", 2 }, { "F16", 2 }, { "BF16", 2 }, { "I32", 4 }, { "U32", 4 },
  { "F32", 4 }, { "C64", 8 }, { "F64", 8 }, { "I64", 8 }, { "U64", 8 },
}

-- Number types by name: `width` in bytes and `rank`, the place in the writer's order.
local TYPES = {}
for rank, pair in ipairs(TYPE_LIST) do
  TYPES[pair[1]] = { width = pair[2], rank = rank }
end

local LARGEST = 2 ^ 53 -- beyond it a double skips integers

local function is_count(value)
  return type(value) == "number" and value >= 0 and value <= LARGEST and value % 1 == 0
end

--- A name from a file, shortened and without control characters, so that it is safe to print.
-- @tparam string name
-- @treturn string
function M.printable(name)
  name = #name > 80 and name:sub(1, 77) .. "..." or name
  return (name:gsub("[%c\127]", "?"))
end

local function fail(path, name, format, ...)
  errors.raise("%s: tensor %s: %s", path, M.printable(name), format:format(...))
end

local function is_object(value)
  return type(value) == "table" and not json.is_array(value) and value ~= json.null
end

local function show(value)
  if value == nil then
    return "missing"
  elseif type(value) == "table" and value ~= json.null then
    return json.is_array(value) and "an array" or "an object"
  end
  return type(value) == "string" and '"' .. M.printable(value) .. '"' or tostring(value)
end

--- A shape as text, for messages: "[2, 3]".
-- @tparam {number,…} shape
-- @treturn string
function M.shape_text(shape)
  local sizes = {}
  for i = 1, math.min(#shape, 8) do
    sizes[i] = ("%.17g"):format(shape[i])
  end
  return "[" .. table.concat(sizes, ", ") .. (#shape > 8 and ", ..." or "") .. "]"
end

--- Number of elements of a shape, or nil when it is no shape or holds more than 2^53.
local function elements_of(shape)
  local count = 1
  for _, size in ipairs(shape) do
    count = is_count(size) and count * size or nil
    if not count or count > LARGEST then
      return nil
    end
  end
  return count
end

--- One member of the header as { name, dtype, shape, elements, offset, bytes }, offset from the
-- start of the data.
local function check_entry(path, name, value, data_bytes)
  if not is_object(value) then
    fail(path, name, "its entry is %s, expected an object", show(value))
  end
  local kind, shape, offsets = TYPES[value.dtype], value.shape, value.data_offsets
  if type(value.dtype) ~= "string" then
    fail(path, name, "dtype is %s, expected F32, BF16 or another of the format's types",
      show(value.dtype))
  end
  if not json.is_array(shape) then
    fail(path, name, "shape is %s, expected an array", show(shape))
  end
  local elements = elements_of(shape)
  if not elements then
    fail(path, name, "shape does not consist of sizes whose product is at most 2^53")
  end
  if not json.is_array(offsets) or #offsets ~= 2 or not is_count(offsets[1])
      or not is_count(offsets[2]) or offsets[1] > offsets[2] then
    fail(path, name, "data_offsets must be two integers, begin and end")
  end
  local first, last = offsets[1], offsets[2]
  -- A type that is not in the list may be newer than the list; a reader that wants it refuses it.
  if kind and elements * kind.width ~= last - first then
    fail(path, name, "%s %s needs %.0f bytes, data_offsets span %d", value.dtype,
      M.shape_text(shape), elements * kind.width, last - first)
  end
  if last > data_bytes then
    fail(path, name, "ends at byte %d of the data, which has %d: the file is truncated", last,
      data_bytes)
  end
  return { name = name, dtype = value.dtype, shape = shape, elements = elements, offset = first,
    bytes = last - first }
end

--- Checks that the tensors follow each other from the first byte of the data to its last.
local function check_coverage(path, list, data_bytes)
  local covered = 0
  for i, entry in ipairs(list) do
    if entry.offset > covered then
      fail(path, entry.name, "begins at byte %d, but the data before it ends at %d: a hole",
        entry.offset, covered)
    elseif entry.offset < covered then
      fail(path, entry.name, "begins at byte %d, inside tensor %s: they overlap", entry.offset,
        M.printable(list[i - 1].name))
    end
    covered = entry.offset + entry.bytes
  end
  if covered ~= data_bytes then
    errors.raise("%s: its tensors end at byte %d of the data, which has %d", path, covered,
      data_bytes)
  end
end

local function check_metadata(path, metadata)
  if not is_object(metadata) then
    errors.raise("%s: __metadata__ is %s, expected an object", path, show(metadata))
  end
  for key, value in pairs(metadata) do
    if type(value) ~= "string" then
      errors.raise("%s: __metadata__.%s is %s, expected a string", path, M.printable(key),
        show(value))
    end
  end
  return metadata
end

--- Reads and checks a header.
-- @tparam string text the JSON, with its padding
-- @tparam number data_bytes bytes that follow it in the file
-- @tparam string path for messages
-- @treturn {table,…} entries in file order: name, dtype, shape, elements, offset, bytes
-- @treturn table metadata, string to string
-- @raise one line for the first defect, which names the file and the tensor
function M.parse(text, data_bytes, path)
  if text:sub(1, 1) ~= "{" then
    errors.raise("%s: the header is not a JSON object: not a safetensors file", path)
  end
  local object = json.decode(text, path .. ": header", true)
  local names, list = {}, {}
  for name in pairs(object) do
    if name ~= "__metadata__" then
      names[#names + 1] = name
    end
  end
  table.sort(names) -- so that of several defects always the same one is reported
  for i, name in ipairs(names) do
    list[i] = check_entry(path, name, object[name], data_bytes)
  end
  table.sort(list, function(a, b)
    if a.offset ~= b.offset then
      return a.offset < b.offset
    elseif a.bytes ~= b.bytes then
      return a.bytes < b.bytes
    end
    return a.name < b.name
  end)
  check_coverage(path, list, data_bytes)
  return list, object.__metadata__ and check_metadata(path, object.__metadata__) or {}
end

local function check_tensor(path, seen, tensor)
  local name, kind = tensor.name, TYPES[tensor.dtype]
  if type(name) ~= "string" or name == "__metadata__" or seen[name] then
    errors.raise("%s: cannot write tensor %s: its name is %s", path, tostring(name),
      type(name) == "string" and seen[name] and "used twice" or "not a tensor's")
  end
  seen[name] = true
  if not kind then
    fail(path, name, "cannot write dtype %s", show(tensor.dtype))
  end
  local elements = elements_of(tensor.shape)
  if not elements then
    fail(path, name, "cannot write shape %s", M.shape_text(tensor.shape))
  end
  return { name = name, dtype = tensor.dtype, shape = tensor.shape, data = tensor.data,
    rank = kind.rank, bytes = elements * kind.width }
end

local function metadata_text(metadata)
  local keys, members = {}, {}
  for key in pairs(metadata) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    members[i] = json.encode(key) .. ":" .. json.encode(metadata[key])
  end
  return '"__metadata__":{' .. table.concat(members, ",") .. "}"
end

--- Makes a header.
-- @tparam {table,…} tensors name, dtype, shape (and data, which the result carries)
-- @tparam table metadata string to string
-- @tparam string path for messages
-- @treturn string the JSON, padded with spaces to a multiple of 8 bytes
-- @treturn {table,…} the tensors in the order of their data, with `bytes`
-- @raise one line when a name is used twice, or a dtype or a shape does not exist
function M.make(tensors, metadata, path)
  local seen, list, parts = {}, {}, {}
  for i, tensor in ipairs(tensors) do
    list[i] = check_tensor(path, seen, tensor)
  end
  table.sort(list, function(a, b)
    if a.rank ~= b.rank then
      return a.rank > b.rank
    end
    return a.name < b.name
  end)
  if next(metadata) ~= nil then
    parts[1] = metadata_text(check_metadata(path, metadata))
  end
  local offset = 0
  for _, tensor in ipairs(list) do
    local dims = {}
    for i, size in ipairs(tensor.shape) do
      dims[i] = ("%d"):format(size)
    end
    parts[#parts + 1] = ('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(
      json.encode(tensor.name), tensor.dtype, table.concat(dims, ","), offset,
      offset + tensor.bytes)
    offset = offset + tensor.bytes
  end
  local text = "{" .. table.concat(parts, ",") .. "}"
  return text .. (" "):rep(-#text % 8), list
end

return M
