--- The processes that a launcher started together, joined through MPI (engine/ranks).
--
-- Owns: joining and leaving, and how a failure of one rank ends all of them with one line. Leaves
-- to others: who takes part (environment.lua), what is summed (fsam.ranks).
--
-- Each rank runs the same script. Only rank 0 prints: the others' standard output is closed, and
-- what goes wrong there is handed to rank 0, whose next collective fails with it.
local C = require("fsam.C")
local environment = require("fsam.ranks.environment")
local ranks = require("fsam.ranks")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local doubles = ffi.typeof("double[?]")
local joined -- ranks, once this process has joined

local function add_numbers(list)
  local values, sums = doubles(#list, list), {}
  check(lib.fsam_ranks_sum_numbers(values, #list))
  for i = 1, #list do
    sums[i] = values[i - 1]
  end
  return sums
end

local function add(tensor)
  check(lib.fsam_ranks_sum(tensor))
end

local function reduce_scatter(tensor, starts)
  check(lib.fsam_ranks_reduce_scatter(tensor, starts))
end

local function all_gather(tensor, starts)
  check(lib.fsam_ranks_all_gather(tensor, starts))
end

--- Joins the other processes; alone, does nothing. A second call gives the same ranks.
-- @treturn table fsam.ranks
-- @raise one line when the environment is wrong, or MPI is absent or counts otherwise
function M.join()
  if not joined then
    local here = environment.read()
    if here.size == 1 then
      joined = ranks.alone
    else
      check(lib.fsam_ranks_open(here.rank, here.size))
      joined = ranks.new({ rank = here.rank, size = here.size, add = add,
        add_numbers = add_numbers, reduce_scatter = reduce_scatter, all_gather = all_gather })
    end
  end
  return joined
end

--- How long the others may take to arrive at a sum, in seconds.
function M.timeout(seconds)
  lib.fsam_ranks_timeout(seconds)
end

local ENDED_WELL = { [0] = true, [130] = true } -- 130: after Ctrl-C, noticed by all together

--- Ends this process's part in the job, before the process ends.
-- @tparam integer code its exit code; a code that tells of a failure ends all ranks
-- @treturn ?string what another rank had to say, when that is a failure
function M.leave(code)
  if not joined or joined.size == 1 then
    return nil
  end
  if ENDED_WELL[code] then
    local ok, err = pcall(check, lib.fsam_ranks_leave())
    if ok then
      joined = ranks.alone
      return nil
    end
    return tostring(err)
  end
  lib.fsam_ranks_end_all(code)
end

--- Tells rank 0 what went wrong here. Rank 0 prints it and ends all processes, so this comes back
-- only where rank 0 does not answer, or on rank 0 itself.
-- @tparam string text
function M.report(text)
  if joined and not joined.is_first then
    lib.fsam_ranks_report(text)
  end
end

return M
