--- fairseq's indexed sets: both forms of the index, and each item.
local items = require("fsam.data.binarised.items")

local MOST = 1e5 -- numbers that are read

local function u64(...)
  local bytes = {}
  for i, n in ipairs({ ... }) do
    bytes[i] = string.char(n) .. ("\0"):rep(7)
  end
  return table.concat(bytes)
end

-- The codes of whole numbers: bytes of each, least first.
local CODES = { [1] = 1, [2] = 1, [3] = 2, [4] = 4, [5] = 8, [8] = 2 }
local CODE_LIST = { 1, 2, 3, 4, 5, 8 }
local IDS = { 0, 1, 2, 3, 4, 5, 6, 7, 100, 126 }

local function whole(n, width)
  local list = {}
  for i = 1, width do
    list[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(list)
end

-- The files of items of these lengths, in either form of the index.
local function files_of(lengths, code, is_cached, number)
  local width, numbers, at = CODES[code], {}, { [0] = 0 }
  local short, long, starts, all = {}, {}, {}, {}
  for i, length in ipairs(lengths) do
    for _ = 1, length do
      numbers[#numbers + 1] = whole(number(), width)
    end
    short[i], long[i] = whole(length, 4), whole(length, 8)
    starts[i], at[i] = whole(at[i - 1] * width, 8), at[i - 1] + length
    all[i] = whole(at[i], 8)
  end
  local index
  if is_cached then
    local dims = {}
    for i = 0, #lengths do
      dims[i + 1] = u64(i)
    end
    index = "TNTIDX\0\0" .. u64(1, code, width, #lengths, #lengths) .. table.concat(dims) .. u64(0)
      .. table.concat(all) .. table.concat(long)
  else
    index = "MMIDIDX\0\0" .. u64(1) .. string.char(code) .. u64(#lengths) .. table.concat(short)
      .. table.concat(starts)
  end
  return { ["a.idx"] = index, ["a.bin"] = table.concat(numbers) }
end

local function counter()
  local n = 1
  return function()
    n = n + 1
    return n
  end
end

return {
  parts = { { name = "a.idx", kind = "bytes" }, { name = "a.bin", kind = "bytes" } },
  words = { "MMIDIDX\0\0", "TNTIDX\0\0", u64(1), u64(3), ("\255"):rep(8), "\255\255\255\255",
    "\0\0\0\128", ("\0"):rep(7) .. "\128", "\5", "\6", "\10" },
  seeds = function()
    return { files_of({ 3, 2, 1 }, 8, false, counter()),
      files_of({ 3, 2, 1 }, 8, true, counter()), files_of({ 2 }, 1, false, counter()) }
  end,
  build = function(draw)
    local lengths = {}
    for i = 1, draw:upto(8) do
      lengths[i] = draw:upto(6) - (draw:once_in(6) and 1 or 0)
    end
    local is_cached = draw:once_in(2)
    return files_of(lengths, draw:from(CODE_LIST), is_cached, function()
      return draw:from(IDS) + (is_cached and 1 or 0) -- that form stores them plus one
    end)
  end,
  run = function(_, folder)
    local set = items.open(folder .. "/a")
    set:check(50265, "dict.txt")
    local read = 0
    for i = 1, set.count do
      if read + set:length(i) > MOST then
        break
      end
      local list = set:copy({}, 1, i)
      assert(#list == set:length(i), "another length than the index says")
      for _, id in ipairs(list) do
        assert(id >= 0 and id < 50265 and id % 1 == 0, "no id")
      end
      read = read + #list
    end
  end,
}
