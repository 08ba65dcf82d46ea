--- PyTorch's .pt and .bin files, the zip format and the older stream, read through a mapping.
--
-- Owns: recognising the two, and the way from a path to the object in it and its tensors by name.
-- Nothing in a file is executed (pickle.lua), and weights stay in the mapping until they are
-- copied to where they are used. Leaves to others: what the names mean (fairseq.lua, fsam.models).
local C = require("fsam.C")
local entries = require("fsam.formats.pytorch.entry")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local globals = require("fsam.formats.pytorch.globals")
local foreign = require("fsam.base.foreign")
local header = require("fsam.formats.safetensors.header")
local legacy = require("fsam.formats.pytorch.legacy")
local objects = require("fsam.formats.pytorch.objects")
local pickle = require("fsam.formats.pytorch.pickle")
local registry = require("fsam.base.registry")
local safetensors = require("fsam.formats.safetensors")
local storage = require("fsam.formats.pytorch.storage")
local zip = require("fsam.formats.pytorch.zip")
local ffi, lib = C.ffi, C.lib

local M = {}

local TAR_MAGIC_AT = 257

-- The folder of the archive that PyTorch writes into: that of its first entry.
local function top_folder(path, names, list)
  local top = names[1] and names[1]:match("^([^/]*)/") or ""
  if not list[top .. "/data.pkl"] then
    errors.raise("%s is a zip file, but none of PyTorch's: it has no data.pkl", path)
  elseif list[top .. "/constants.pkl"] then
    errors.raise("%s is a TorchScript program; save the model's state_dict() instead", path)
  end
  return top
end

local function read_zip(o, storages)
  local names, list = zip.read(o.path, o.data, o.limit)
  local top = top_folder(o.path, names, list)
  local size = o.limit
  local function start(name)
    return zip.start(o.path, o.data, size, name, list[name])
  end
  local order = list[top .. "/byteorder"]
  if order and ffi.string(o.data + start(top .. "/byteorder"), math.min(order.size, 8)) ~= "little"
  then
    errors.raise("%s was not written on a little-endian machine", o.path)
  end
  o.at = start(top .. "/data.pkl")
  o.limit = o.at + list[top .. "/data.pkl"].size
  local object = pickle.read(o)
  for _, key in ipairs(registry.sorted(storages)) do -- of several defects always the same is said
    local kept, name = storages[key], ("%s/data/%s"):format(top, key)
    if not list[name] then
      errors.raise("%s: storage %s is not in the archive", o.path, header.printable(key))
    elseif list[name].size < kept.elements * kept.width then
      errors.raise("%s: storage %s has %.0f bytes, its pickle needs %.0f", o.path,
        header.printable(key), list[name].size, kept.elements * kept.width)
    end
    kept.start = start(name)
  end
  return object
end

local function read_object(path, data, size)
  local storages = {}
  local o = { path = path, data = data, at = 0, limit = size, globals = globals,
    persistent = storage.reader(storages) }
  if size >= 4 and ffi.string(data, 4) == "PK\3\4" then
    return read_zip(o, storages), storages
  elseif size >= #legacy.MAGIC and ffi.string(data, #legacy.MAGIC) == legacy.MAGIC then
    return legacy.read(o, storages, pickle.read), storages
  elseif size > TAR_MAGIC_AT + 5 and ffi.string(data + TAR_MAGIC_AT, 5) == "ustar" then
    errors.raise("%s is a tar file, as PyTorch wrote before version 0.2; load it there and save it "
      .. "with a newer one", path)
  end
  return errors.raise("%s %s", path, foreign.hint(ffi.string(data, math.min(size,
    foreign.ENOUGH)), true) or "is no file of PyTorch's torch.save")
end

-- Where a file keeps its tensors: the object itself, or the member of one of these names. A tensor
-- alone has the name "tensor".
local MEMBERS = { "model", "state_dict", "model_state_dict" }

local function has_tensors(dict)
  for _, key in ipairs(objects.kind(dict) == "dict" and dict.keys or {}) do
    if objects.kind(dict.map[key]) == "tensor" then
      return true
    end
  end
  return false
end

local function state_of(path, object)
  if objects.kind(object) == "tensor" then
    return objects.members("tensor", object)
  end
  for _, name in ipairs(MEMBERS) do
    local member = objects.field(object, name)
    if has_tensors(member) then
      return member
    end
  end
  if not has_tensors(object) then
    errors.raise("%s holds %s without tensors by name, expected a model's state_dict()", path,
      objects.show(object))
  end
  return object
end

--- Opens a file.
-- @tparam string path
-- @treturn table tensors, with the fields and methods of safetensors.open's result; `object` is the
--   whole value (objects.lua), whose tensors need not all be among the named
-- @raise one line for the first defect, which names the file
function M.open(path)
  local map, size = file.map(path)
  local object, storages = read_object(path, lib.fsam_file_data(map), size)
  for _, key in ipairs(registry.sorted(storages)) do
    if not storages[key].start then
      errors.raise("%s: storage %s is not in the file", path, header.printable(key))
    end
  end
  local self = setmetatable({ path = path, map = map, size = size, names = {}, entries = {},
    metadata = {}, object = object }, safetensors.Source)
  self.parts = { self }
  local state = state_of(path, object)
  for _, name in ipairs(state.keys) do
    local tensor = state.map[name]
    if type(name) == "string" and objects.kind(tensor) == "tensor" then
      self.names[#self.names + 1] = name
      self.entries[name] = entries.new(self, name, tensor)
    end
  end
  return self
end

return M
