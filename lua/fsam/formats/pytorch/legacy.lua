--- PyTorch's format before version 1.6: one stream of pickles, then the raw storages.
--
--     magic number | protocol version | facts about the machine | the object | list of keys
--     for each key: i64 number of elements, the elements
--
-- Owns: this order. Leaves to others: pickles (pickle.lua), storages (storage.lua).
--
-- Source: pytorch, torch/serialization.py, _legacy_load.
local encoding = require("fsam.formats.pytorch.encoding")
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")
local objects = require("fsam.formats.pytorch.objects")

local M = {}

--- The first bytes of such a file: the pickle of the magic number.
M.MAGIC = "\128\2\138\10\108\252\156\70\249\32\106\168\80\25\46"

local PROTOCOL = 1001

-- Gives each storage its place in the file.
local function place(o, keys, storages, at)
  for i = 1, keys.n do
    local storage = storages[keys[i]]
    if not storage then
      errors.raise("%s: no tensor uses storage %s, so its size is not known", o.path,
        objects.show(keys[i]))
    elseif storage.start then
      errors.raise("%s: storage %s is there twice", o.path, objects.show(keys[i]))
    elseif o.limit - at < 8 then
      errors.raise("%s ends before storage %s: it is truncated", o.path, objects.show(keys[i]))
    end
    local count = encoding.unsigned(o.data, at, 8)
    local bytes = count * storage.width
    if count ~= storage.elements then
      errors.raise("%s: storage %s has %.0f elements, its pickle says %.0f", o.path,
        header.printable(keys[i]), count, storage.elements)
    elseif bytes > o.limit - at - 8 then
      errors.raise("%s ends inside storage %s: it is truncated", o.path,
        header.printable(keys[i]))
    end
    storage.start, at = at + 8, at + 8 + bytes
  end
end

--- Reads the stream.
-- @tparam table o as for pickle.read, at the file's first byte
-- @tparam table storages map from key to storage, which reading the object fills
-- @tparam function read pickle.read
-- @return the object
-- @raise one line for the first defect
function M.read(o, storages, read)
  local function next_value()
    local value
    value, o.at = read(o)
    return value
  end
  next_value() -- the magic number, which the caller has seen
  local protocol, machine = next_value(), next_value()
  if protocol ~= PROTOCOL then
    errors.raise("%s: PyTorch's protocol is %s, expected %d", o.path, objects.show(protocol),
      PROTOCOL)
  elseif objects.field(machine, "little_endian") ~= true then
    errors.raise("%s was not written on a little-endian machine", o.path)
  end
  local object, keys = next_value(), next_value()
  if objects.kind(keys) ~= "list" then
    errors.raise("%s: after its object is %s, expected the list of storages", o.path,
      objects.show(keys))
  end
  place(o, keys, storages, o.at)
  return object
end

return M
