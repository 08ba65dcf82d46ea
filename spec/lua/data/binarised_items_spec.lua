--- The two files of a set of fairseq's binarised data, with both kinds of index.
local ffi = require("ffi")
local helper = require("spec.helper")
local items = require("fsam.data.binarised.items")

local folder

-- The line that fn(...) raises, without the temporary folder.
local function message_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return (tostring(err):gsub(folder:gsub("%p", "%%%0") .. "/", ""))
end

local function bytes(ctype, ...)
  local list = { ... }
  local array = ffi.new(ctype .. "[?]", #list, list)
  return ffi.string(array, ffi.sizeof(array))
end

-- The two files of a set: `index` for "mmap" or "cached", of lists of numbers.
local function mmap_files(lists, code, ctype)
  local data, lengths, places, at = "", "", "", 0
  for _, list in ipairs(lists) do
    local item = #list > 0 and bytes(ctype, unpack(list)) or ""
    data, lengths = data .. item, lengths .. bytes("int32_t", #list)
    places, at = places .. bytes("int64_t", at), at + #item
  end
  return "MMIDIDX\0\0" .. bytes("uint64_t", 1) .. string.char(code)
    .. bytes("uint64_t", #lists) .. lengths .. places, data
end

local function cached_files(lists, code, ctype)
  local data, dims, places, sizes, at = "", bytes("int64_t", 0), bytes("int64_t", 0), "", 0
  for i, list in ipairs(lists) do
    local stored = {}
    for k, id in ipairs(list) do
      stored[k] = id + 1
    end
    at = at + #list
    data, dims = data .. bytes(ctype, unpack(stored)), dims .. bytes("int64_t", i)
    places, sizes = places .. bytes("int64_t", at), sizes .. bytes("int64_t", #list)
  end
  return "TNTIDX\0\0" .. bytes("uint64_t", 1, code, ffi.sizeof(ctype), #lists, #lists) .. dims
    .. places .. sizes, data
end

local function open(index, data)
  helper.write_file(folder .. "/a.idx", index)
  helper.write_file(folder .. "/a.bin", data)
  return items.open(folder .. "/a")
end

local function lists_of(set)
  local lists = {}
  for i = 1, set.count do
    lists[i] = set:copy({}, 1, i)
    assert.equal(#lists[i], set:length(i))
  end
  return lists
end

before_each(function()
  folder = helper.memory_dir()
end)

after_each(function()
  helper.remove_dir(folder)
end)

describe("a set's two files", function()
  local LISTS = { { 0, 17, 2 }, { 126, 2 }, { 2 } }
  local TYPES = { "uint8_t", "int8_t", "int16_t", "int32_t", "int64_t", "double", "double",
    "uint16_t", "uint32_t", "uint64_t" }

  it("are read in both forms and every type", function()
    for code, ctype in ipairs(TYPES) do
      for _, files in ipairs({ mmap_files, cached_files }) do
        local set = open(files(LISTS, code, ctype))
        assert.same(LISTS, lists_of(set))
        set:check(127, "dict.txt")
        assert.equal("a.bin, item 2: got the id 126, expected one of the 126 in dict.txt",
          message_of(set.check, set, 126, "dict.txt"))
      end
    end
    assert.same({}, lists_of(open(mmap_files({}, 8, "uint16_t"))))
    assert.same({ { 0, 17, 2 }, {} }, lists_of(open(mmap_files({ LISTS[1], {} }, 8, "uint16_t"))))
  end)

  it("are refused where a byte is missing or too many", function()
    for _, files in ipairs({ mmap_files, cached_files }) do
      local index, data = files(LISTS, 8, "uint16_t")
      for length = 0, #index - 1 do
        assert.matches("^a%.idx ", message_of(open, index:sub(1, length), data))
      end
      for length = 0, #data - 1 do
        assert.matches("^a%.%w+[ ,]", message_of(open, index, data:sub(1, length)))
      end
      assert.matches("a.idx has %d+ bytes, its header says", message_of(open, index .. "\0", data))
      assert.matches("a.bin has 14 bytes, the items of ", message_of(open, index, data .. "\0\0"))
    end
  end)

  -- Each row replaces bytes of the index from a place on (from 1).
  it("are refused where the index says what cannot be", function()
    local index, data = mmap_files(LISTS, 8, "uint16_t")
    local cached, cached_data = cached_files(LISTS, 8, "uint16_t")
    for _, row in ipairs({
      { 1, "MMIDIDX\0\1", "a.idx is no index of fairseq's" },
      { 10, bytes("uint64_t", 2), "a.idx has version 2, expected 1" },
      { 18, "\0", "a.idx says that its numbers are of type 0, expected 1 to 10" },
      { 18, "\255", "of type 255, expected 1 to 10" },
      { 18, "\4", "item 2: 2 numbers from byte 6 on are not in a.bin, which has 12 bytes" },
      { 19, ("\255"):rep(8), "its header says 2213609288845146" },
      { 19, bytes("uint64_t", 2), "a.idx has 62 bytes, its header says 50 (2 items)" },
      { 27, bytes("int32_t", -1), "a.idx, item 1: -1 numbers from byte 0 on are not in a.bin" },
      { 27, bytes("int32_t", 2 ^ 31 - 1), "a.idx, item 1: 2147483647 numbers from byte 0 on" },
      { 27, bytes("int32_t", 2), "a.bin has 12 bytes, the items of a.idx have 10" },
      { 39, bytes("int64_t", -2), "a.idx, item 1: 3 numbers from byte -2 on" },
      { 39, bytes("int64_t", 1), "a.idx, item 1: 3 numbers from byte 1 on" },
      { 39, bytes("int64_t", 2 ^ 62), "a.idx, item 1: 3 numbers from byte 46116860184273" },
      { 9, bytes("uint64_t", 0), "a.idx has version 0, expected 1", true },
      { 17, bytes("uint64_t", 99), "of type 99, expected 1 to 10", true },
      { 25, bytes("uint64_t", 4), "a.idx says that a number has 4 bytes, expected 2", true },
      { 33, ("\255"):rep(8), "a.idx has 136 bytes, its header says", true },
      { 57, bytes("int64_t", 2), "a.idx, item 1: it is no list of numbers", true },
      { 89, bytes("int64_t", 9), "a.idx, item 1: it is no list of numbers", true },
      { 113, bytes("int64_t", 9), "a.idx, item 1: it is no list of numbers", true },
    }) do
      local from = row[4] and cached or index
      local broken = from:sub(1, row[1] - 1) .. row[2] .. from:sub(row[1] + #row[2])
      assert.matches(row[3], message_of(open, broken, row[4] and cached_data or data), 1, true)
    end
  end)

  it("are refused where a number is no id", function()
    for code, numbers in pairs({ [3] = { -1 }, [6] = { 0.5 }, [7] = { 0 / 0 }, [9] = { 2 ^ 32 - 1 },
        [10] = { 2 ^ 63 }, [5] = { -2 ^ 62 } }) do
      local set = open(mmap_files({ numbers }, code, TYPES[code]))
      assert.matches("a.bin, item 1: got the id ", message_of(set.check, set, 9, "dict.txt"), 1,
        true)
    end
  end)
end)
