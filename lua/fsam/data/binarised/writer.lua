--- Writes an indexed data set of fairseq's ("mmap"): PREFIX.bin and PREFIX.idx.
--
--     local set = writer.open("CoLA-bin/input0/train", 50264)
--     set:add({ 133, 2037, 2 })
--     set:close()
--
-- Owns: both files, byte for byte as fairseq writes them. Leaves to others: what the numbers mean,
-- and the form (items.lua describes it).
local C = require("fsam.C")
local arguments = require("fsam.base.arguments")
local file = require("fsam.base.file")
local schema = require("fsam.base.schema")

local ffi = C.ffi

local M = {}

-- fairseq takes the narrowest type that has room for the dictionary: the ids are below its size.
local TYPES = {
  { below = 65500, code = 8, array = ffi.typeof("uint16_t[?]"), width = 2 },
  { below = 4294967295, code = 9, array = ffi.typeof("uint32_t[?]"), width = 4 },
  { below = math.huge, code = 5, array = ffi.typeof("int64_t[?]"), width = 8 },
}

local ROOM = 65536 -- numbers that are written at once

local Set = {}
Set.__index = Set

--- Begins a set; the folder exists.
-- @tparam string prefix path of the two files without .idx and .bin
-- @tparam integer size of the dictionary
-- @treturn table with the methods add, close
-- @raise one line with the path when it cannot be written
function M.open(prefix, size)
  local kind
  for _, row in ipairs(TYPES) do
    kind = kind or size < row.below and row
  end
  return setmetatable({ prefix = prefix, kind = kind, room = kind.array(ROOM), used = 0,
    lengths = {}, out = file.writer(prefix .. ".bin") }, Set)
end

local function flush(self)
  self.out:write(self.room, self.used * self.kind.width)
  self.used = 0
end

--- Adds an item.
-- @tparam {integer,…} ids below the dictionary's size
function Set:add(ids)
  for _, id in ipairs(ids) do
    if self.used == ROOM then
      flush(self)
    end
    self.room[self.used] = id
    self.used = self.used + 1
  end
  self.lengths[#self.lengths + 1] = #ids
end

--- Writes what is left, and the index.
-- @raise one line with the path
function Set:close()
  flush(self)
  self.out:close()
  local count = #self.lengths
  local lengths, places = ffi.new("int32_t[?]", count), ffi.new("int64_t[?]", count)
  local at = 0
  for i, length in ipairs(self.lengths) do
    lengths[i - 1], places[i - 1] = length, at
    at = at + length * self.kind.width
  end
  file.write_with(self.prefix .. ".idx", function(out)
    out:write("MMIDIDX\0\0")
    out:write(ffi.new("uint64_t[1]", 1), 8)
    out:write(string.char(self.kind.code))
    out:write(ffi.new("uint64_t[1]", count), 8)
    out:write(lengths, 4 * count)
    out:write(places, 8 * count)
  end)
end

arguments.guard("fsam.data.binarised.writer", M, { open = { arguments.arg("prefix",
  schema.string), arguments.arg("size", schema.integer(1)) } })

return M
