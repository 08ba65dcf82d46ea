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

-- Three items of 3, 2 and 1 numbers: an index of 16-bit ones in each form, and the numbers.
local MMAP = "MMIDIDX\0\0" .. u64(1) .. "\8" .. u64(3) .. "\3\0\0\0\2\0\0\0\1\0\0\0"
  .. u64(0, 6, 10)
local CACHED = "TNTIDX\0\0" .. u64(1, 8, 2, 3, 3) .. u64(0, 1, 2, 3) .. u64(0, 3, 5, 6)
  .. u64(3, 2, 1)
local NUMBERS = "\5\0\6\0\2\0\7\0\2\0\2\0"

return {
  parts = { { name = "a.idx", kind = "bytes" }, { name = "a.bin", kind = "bytes" } },
  words = { "MMIDIDX\0\0", "TNTIDX\0\0", u64(1), u64(3), ("\255"):rep(8), "\255\255\255\255",
    "\0\0\0\128", ("\0"):rep(7) .. "\128", "\5", "\6", "\10" },
  seeds = function()
    return { { ["a.idx"] = MMAP, ["a.bin"] = NUMBERS },
      { ["a.idx"] = CACHED, ["a.bin"] = NUMBERS },
      { ["a.idx"] = "MMIDIDX\0\0" .. u64(1) .. "\1" .. u64(1) .. "\2\0\0\0" .. u64(0),
        ["a.bin"] = "\9\2" } }
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
