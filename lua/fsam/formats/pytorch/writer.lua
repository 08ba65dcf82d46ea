--- Writes .pt files that torch.load reads, with weights_only=True too: PyTorch's zip format around
-- a pickle of dicts, lists, numbers, texts and tensors. The same values give the same bytes.
--
-- Owns: the pickle and the archive's files. Leaves to others: zip (zip_writer.lua), names
-- (fsam.formats.fairseq_writer).
local C = require("fsam.C")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local objects = require("fsam.formats.pytorch.objects")
local zip_writer = require("fsam.formats.pytorch.zip_writer")
local ffi = C.ffi

local M = {}

local CLASSES = { F32 = "Float", F16 = "Half", BF16 = "BFloat16", F64 = "Double", I64 = "Long",
  I32 = "Int", I16 = "Short", I8 = "Char", U8 = "Byte", BOOL = "Bool" }

local function u32(value)
  return ffi.string(ffi.new("uint32_t[1]", value), 4)
end

local function text(value)
  return "X" .. u32(#value) .. value
end

local function number(value)
  if value % 1 == 0 and math.abs(value) < 2 ^ 31 then
    return "J" .. ffi.string(ffi.new("int32_t[1]", value), 4)
  elseif value % 1 == 0 and math.abs(value) <= 2 ^ 53 then
    return "\138\8" .. ffi.string(ffi.new("int64_t[1]", value), 8)
  end
  return "G" .. ffi.string(ffi.new("double[1]", value), 8):reverse()
end

local function counts(list)
  local out = {}
  for i, n in ipairs(list) do
    out[i] = number(n)
  end
  return "(" .. table.concat(out) .. "t"
end

-- A tensor of an entry. Tensors of one entry share its storage.
local function tensor(entry, storages)
  local class, key = CLASSES[entry.dtype], storages.keys[entry]
  if not class then
    errors.raise("%s: tensor %s is %s, which PyTorch's files do not have", storages.path,
      entry.name, entry.dtype)
  elseif not key then
    storages[#storages + 1] = entry
    key = #storages - 1
    storages.keys[entry] = key
  end
  local stride, step = {}, 1
  for i = #entry.shape, 1, -1 do
    stride[i], step = step, step * entry.shape[i]
  end
  return "ctorch._utils\n_rebuild_tensor_v2\n((" .. text("storage") .. "ctorch\n" .. class
    .. "Storage\n" .. text(tostring(key)) .. text("cpu") .. number(entry.elements) .. "tQ"
    .. number(0) .. counts(entry.shape) .. counts(stride)
    .. "\137ccollections\nOrderedDict\n)RtR"
end

-- The pickle of a value: numbers, texts, booleans, json.null, dicts (`ordered`: an OrderedDict) and
-- lists of objects.lua, and tensors as entries (formats/safetensors).
local function encode(value, storages)
  local kind, out = objects.kind(value), {}
  if kind == "none" then
    return "N"
  elseif kind == "boolean" then
    return value and "\136" or "\137"
  elseif kind == "number" then
    return number(value)
  elseif kind == "string" then
    return text(value)
  elseif kind == "dict" then
    for i, key in ipairs(value.keys) do
      out[i] = text(key) .. encode(value.map[key], storages)
    end
    return (value.ordered and "ccollections\nOrderedDict\n)R(" or "}(") .. table.concat(out) .. "u"
  elseif kind == "list" then
    for i = 1, value.n do
      out[i] = encode(value[i], storages)
    end
    return "](" .. table.concat(out) .. "e"
  end
  return tensor(value, storages)
end

--- Writes a file and puts it on the disk.
-- @tparam string path
-- @param value see `encode`
-- @tparam[opt] number limit see zip_writer.write
-- @raise one line with the path when the disk is full or fails
function M.write(path, value, limit)
  local storages, list = { keys = {}, path = path }, {}
  local function add(name, bytes, each_block)
    list[#list + 1] = { name = "archive/" .. name, bytes = bytes, each_block = each_block }
  end
  local function add_text(name, data)
    add(name, #data, function(fn)
      fn(data, #data)
    end)
  end
  add_text("data.pkl", "\128\2" .. encode(value, storages) .. ".")
  add_text("byteorder", "little")
  for i, entry in ipairs(storages) do
    add(("data/%d"):format(i - 1), entry.bytes, function(fn)
      entry:each_block(fn)
    end)
  end
  add_text("version", "3\n")
  file.write_with(path, function(writer)
    zip_writer.write(writer, list, limit)
  end)
end

M.NONE = json.null

return M
