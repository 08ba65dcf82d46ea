--- The items of one of fairseq's indexed data sets: PREFIX.idx says where each item lies in
-- PREFIX.bin, which holds their numbers.
--
--     local items = items.open("CoLA-bin/input0/train")
--     items.count               how many there are
--     items:length(i)           numbers of item i, from 1
--     items:copy(list, 1, i)    puts these numbers into a list, from its first place on
--
-- Owns: both forms of the index ("mmap" and, older, "cached"), and the proof that what it says fits
-- the two files. Both stay mapped, so a large set takes no memory of Lua's. Leaves to others: what
-- the numbers mean (init.lua, labels.lua), writing (writer.lua).
--
-- mmap     "MMIDIDX\0\0" | u64 version, 1 | u8 type | u64 items | i32 length of each | i64 place of
--          each in PREFIX.bin, in bytes
-- cached   "TNTIDX\0\0" | u64 version, 1 | u64 type | u64 bytes of a number | u64 items | u64
--          lengths | i64 first length of each item, and their end | i64 first number of each, and
--          their end | i64 lengths. Numbers are stored plus one
local C = require("fsam.C")
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local schema = require("fsam.base.schema")

local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

-- The numbers' types by their code.
local TYPES = { "uint8_t", "int8_t", "int16_t", "int32_t", "int64_t", "double", "double",
  "uint16_t", "uint32_t", "uint64_t" }

local ARRAYS, POINTERS = {}, {}
for _, name in ipairs({ "int32_t", "uint64_t", "int64_t", "double" }) do
  ARRAYS[name] = ffi.typeof(name .. "[?]")
end
for _, name in ipairs(TYPES) do
  POINTERS[name] = ffi.typeof("const " .. name .. " *")
end

local MMAP, CACHED = "MMIDIDX\0\0", "TNTIDX\0\0"
local MMAP_HEAD, CACHED_HEAD = 26, 48

-- -- the index -----------------------------------------------------------------------------------

-- An index that is being read: path, map and size.
local function array(index, ctype, at, count)
  local values = ARRAYS[ctype](count)
  check(lib.fsam_file_read(values, index.map, at, count * ffi.sizeof(ctype)))
  return values
end

local function unsigned(index, at)
  return tonumber(array(index, "uint64_t", at, 1)[0])
end

-- The bytes that a file must have for what its header says, and its header must be whole.
local function check_size(index, head, expected, items)
  if index.size < head then
    errors.raise("%s is cut short: %.0f bytes, its header alone has %d", index.path, index.size,
      head)
  elseif index.size ~= expected then
    errors.raise("%s has %.0f bytes, its header says %.0f (%.0f items); it is cut short or broken",
      index.path, index.size, expected, items)
  end
end

local function check_version(index, at)
  local version = unsigned(index, at)
  if version ~= 1 then
    errors.raise("%s has version %.0f, expected 1", index.path, version)
  end
end

local function type_of(index, code)
  local name = TYPES[code]
  if not name then
    errors.raise("%s says that its numbers are of type %.0f, expected 1 to %d", index.path, code,
      #TYPES)
  end
  return name, ffi.sizeof(name)
end

-- Each reader gives { count, type, width, shift; first, lengths }: the place of an item's first
-- number in PREFIX.bin, in numbers, and its length; both arrays count from 0.
local function read_mmap(index)
  check_size(index, MMAP_HEAD, index.size, 0)
  check_version(index, 9)
  local code = lib.fsam_file_data(index.map)[17]
  local name, width = type_of(index, code)
  local count = unsigned(index, 18)
  check_size(index, MMAP_HEAD, MMAP_HEAD + 12 * count, count)
  local lengths = array(index, "int32_t", MMAP_HEAD, count)
  local places = array(index, "int64_t", MMAP_HEAD + 4 * count, count)
  local first = ARRAYS.double(count)
  for i = 0, count - 1 do
    first[i] = tonumber(places[i]) / width
  end
  return { count = count, type = name, width = width, shift = 0, first = first, lengths = lengths }
end

local function read_cached(index)
  check_size(index, CACHED_HEAD, index.size, 0)
  check_version(index, 8)
  local name, width = type_of(index, unsigned(index, 16))
  if unsigned(index, 24) ~= width then
    errors.raise("%s says that a number has %.0f bytes, expected %d for its type", index.path,
      unsigned(index, 24), width)
  end
  local count, dimensions = unsigned(index, 32), unsigned(index, 40)
  local places_at = CACHED_HEAD + 8 * (count + 1)
  check_size(index, CACHED_HEAD, CACHED_HEAD + 16 * (count + 1) + 8 * dimensions, count)
  local of_item = array(index, "int64_t", CACHED_HEAD, count + 1)
  local places = array(index, "int64_t", places_at, count + 1)
  local sizes = array(index, "int64_t", places_at + 8 * (count + 1), dimensions)
  local first, lengths = ARRAYS.double(count), ARRAYS.double(count)
  for i = 0, count - 1 do
    local length = tonumber(places[i + 1]) - tonumber(places[i])
    if dimensions ~= count or tonumber(of_item[i]) ~= i or tonumber(of_item[i + 1]) ~= i + 1
        or tonumber(sizes[i]) ~= length then
      errors.raise("%s, item %d: it is no list of numbers, or its length differs from its place",
        index.path, i + 1)
    end
    first[i], lengths[i] = tonumber(places[i]), length
  end
  return { count = count, type = name, width = width, shift = 1, first = first, lengths = lengths }
end

local function read_index(path)
  local map, size = file.map(path)
  local index = { path = path, map = map, size = size }
  local head = ffi.string(lib.fsam_file_data(map), math.min(size, #MMAP))
  if head == MMAP then
    return read_mmap(index)
  elseif head:sub(1, #CACHED) == CACHED then
    return read_cached(index)
  end
  errors.raise("%s is no index of fairseq's: it begins with %s, expected MMIDIDX or TNTIDX", path,
    schema.show(head))
end

-- -- the items -----------------------------------------------------------------------------------

local Items = {}
Items.__index = Items

-- Every item lies in PREFIX.bin, and the file has as many numbers as the items together.
local function check_places(items, path, bin_path, bin_size)
  local first, lengths, numbers = items.first, items.lengths, bin_size / items.width
  local sum = 0
  for i = 0, items.count - 1 do
    local from, length = first[i], lengths[i]
    if not (length >= 0 and from >= 0 and from % 1 == 0 and from + length <= numbers) then
      errors.raise("%s, item %d: %.0f numbers from byte %.0f on are not in %s, which has %.0f "
        .. "bytes", path, i + 1, length, from * items.width, bin_path, bin_size)
    end
    sum = sum + length
  end
  if sum ~= numbers then
    errors.raise("%s has %.0f bytes, the items of %s have %.0f; the two do not belong together",
      bin_path, bin_size, path, sum * items.width)
  end
end

--- Opens both files of a set.
-- @tparam string prefix path of the two files without .idx and .bin
-- @treturn table items, see the head of this file
-- @raise one line that names the file, when one is missing, is not of this form, or the two do not
--   fit each other
function M.open(prefix)
  local path, bin_path = prefix .. ".idx", prefix .. ".bin"
  local items = read_index(path)
  local map, size = file.map(bin_path)
  check_places(items, path, bin_path, size)
  items.map, items.path = map, bin_path
  items.numbers = ffi.cast(POINTERS[items.type], lib.fsam_file_data(map))
  return setmetatable(items, Items)
end

--- Checks that all numbers are ids below a limit.
-- @tparam number limit
-- @tparam string names whose ids they are, for the message
-- @raise one line that names file and item
function Items:check(limit, names)
  local numbers, shift = self.numbers, self.shift
  for i = 1, self.count do
    local from = self.first[i - 1]
    for k = from, from + self.lengths[i - 1] - 1 do
      local id = tonumber(numbers[k]) - shift
      if not (id >= 0 and id < limit and id % 1 == 0) then
        errors.raise("%s, item %d: got the id %.17g, expected one of the %d in %s", self.path, i,
          id, limit, names)
      end
    end
  end
end

--- How many numbers an item has.
-- @tparam integer i from 1
-- @treturn integer
function Items:length(i)
  return tonumber(self.lengths[i - 1])
end

--- Puts an item's numbers into a list.
-- @tparam table list
-- @tparam integer at the place of the first, from 1
-- @tparam integer i the item, from 1
-- @treturn table the same list
function Items:copy(list, at, i)
  local numbers, shift = self.numbers + self.first[i - 1], self.shift
  for k = 0, self.lengths[i - 1] - 1 do
    list[at + k] = tonumber(numbers[k]) - shift
  end
  return list
end

arguments.guard("fsam.data.binarised.items", M, { open = { arguments.arg("prefix",
  schema.string) } })

return M
