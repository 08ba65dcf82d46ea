--- The processes that a launcher started together, joined through MPI, or NCCL alone where the
-- launcher is torchrun (engine/ranks).
--
-- Owns: joining and leaving, and how a failure of one rank ends all of them with one line. Leaves
-- to others: who takes part (environment.lua), what is summed (fsam.ranks).
--
-- Each rank runs the same script. Only rank 0 prints: the others' standard output is closed, and
-- what goes wrong there is handed to rank 0, whose next collective fails with it. NCCL carries no
-- text: without MPI a rank that fails says so itself, and torchrun ends the others.
local C = require("fsam.C")
local devices = require("fsam.base.device")
local environment = require("fsam.ranks.environment")
local errors = require("fsam.errors")
local ranks = require("fsam.ranks")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local doubles = ffi.typeof("double[?]")
local joined -- ranks, once this process has joined
local carrier -- "mpi", or "nccl" alone
local used -- does NCCL sum what lies on GPUs? nil: that was not decided

local function add_numbers(list)
  local values, sums = doubles(#list, list), {}
  check(lib.fsam_ranks_sum_numbers(values, #list))
  for i = 1, #list do
    sums[i] = values[i - 1]
  end
  return sums
end

--- Lets NCCL sum what lies on the ranks' GPUs, where each has one: a collective, before the first
-- sum of a vector, which else asks for the vector's device.
-- @tparam cdata device the one that this rank trains on
-- @treturn ?string why GPUs are here and the sums go through the hosts' memory nevertheless
function M.use(device)
  if not joined or joined.size == 1 or used ~= nil then
    return nil
  end
  used = check(lib.fsam_ranks_use(device)) == 1
  return not used and devices.gpu(device) and ffi.string(lib.fsam_error()) or nil
end

local function add(tensor)
  check(lib.fsam_ranks_sum(tensor))
end

local parts = {}

--- Are sums of parts of tensors on this device possible, beside other work? Asked before any sum.
function parts.possible(device)
  M.use(device)
  return used
end

function parts.add(tensor, first, count, starts)
  check(starts and lib.fsam_ranks_reduce_part(tensor, starts, first, count)
    or lib.fsam_ranks_sum_part(tensor, first, count))
end

function parts.finish(tensor)
  check(lib.fsam_ranks_sum_end(tensor))
end

-- Processes without MPI between them need a GPU each from the start.
local function open_gpus(here)
  local ok, device = pcall(devices.open, "cuda")
  if not ok then
    errors.raise("torchrun starts processes without MPI, which train on GPUs alone (%s); on "
      .. "processors start them with mpirun -np %d", (tostring(device):gsub("^device cuda: ", "")
      :gsub("[;,] or use the device cpu$", ""):gsub("[;,] use the device cpu$", "")), here.size)
  end
  check(lib.fsam_ranks_open_gpus(here.rank, here.size, device, here.address))
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
      check(lib.fsam_gpu_of_rank(here.local_rank, here.local_size or 0))
      carrier = here.address and "nccl" or "mpi"
      if here.address then
        open_gpus(here)
      else
        check(lib.fsam_ranks_open(here.rank, here.size))
      end
      joined = ranks.new({ rank = here.rank, size = here.size, add = add,
        add_numbers = add_numbers, reduce_scatter = reduce_scatter, all_gather = all_gather,
        parts = parts })
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
-- only where rank 0 does not answer, or on rank 0 itself, or where no way leads there.
-- @tparam string text
-- @treturn string what to print here: without MPI, with this rank's number
function M.report(text)
  if not joined or joined.is_first then
    return text
  elseif carrier == "nccl" then
    return ("rank %d: %s"):format(joined.rank, text)
  end
  lib.fsam_ranks_report(text)
  return text
end

return M
