-- Several ranks in one process: members are coroutines, and their collectives meet here. A member
-- that calls one waits until all have; then each gets the sum, added in the order of ranks.
local C = require("fsam.C")
local ranks = require("fsam.ranks")

local M = {}

-- Both collectives as one: members give the same kind of thing, and each gets its own back, summed.
local function meet(kind, given)
  return coroutine.yield({ kind = kind, given = given })
end

local SUM = {
  add = function(tensors)
    local total, n = tensors[1]:to_host()
    for k = 2, #tensors do
      local values = tensors[k]:to_host()
      for i = 0, n - 1 do
        total[i] = total[i] + values[i]
      end
    end
    for _, t in ipairs(tensors) do
      C.check(C.lib.fsam_tensor_write(t, total, n))
    end
    return {}
  end,
  add_numbers = function(lists)
    local out = {}
    for k, list in ipairs(lists) do
      assert(#list == #lists[1], "ranks give lists of different lengths")
      out[k] = {}
      for i in ipairs(list) do
        local sum = 0
        for _, other in ipairs(lists) do
          sum = sum + other[i]
        end
        out[k][i] = sum
      end
    end
    return out
  end,
}

--- Runs `member(ranks)` once for each rank.
-- @return their results, in the order of ranks; how many collectives there were
function M.run(size, member)
  local threads, results, answers, meetings = {}, {}, {}, 0
  for rank = 0, size - 1 do
    threads[rank + 1] = coroutine.create(function()
      return member(ranks.new({ rank = rank, size = size,
        add = function(tensor) return meet("add", tensor) end,
        add_numbers = function(list) return meet("add_numbers", list) end }))
    end)
  end
  while true do
    local given, kind, ended = {}, nil, 0
    for k, thread in ipairs(threads) do
      local ok, value = coroutine.resume(thread, answers[k])
      assert(ok, tostring(value))
      if coroutine.status(thread) == "dead" then
        results[k], ended = value, ended + 1
      else
        assert(not kind or kind == value.kind, "ranks wait in different collectives")
        kind, given[k] = value.kind, value.given
      end
    end
    if ended == size then
      return results, meetings
    end
    assert(ended == 0, "a rank has ended while others wait for it")
    answers, meetings = SUM[kind](given), meetings + 1
  end
end

return M
