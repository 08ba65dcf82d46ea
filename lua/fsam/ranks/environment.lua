--- Which of several processes this one is, as the launcher says it in the environment: mpirun,
-- srun, torchrun. Owns: the names of these variables. Leaves to others: joining the other processes
-- (world.lua).
local errors = require("fsam.errors")

local M = {}

-- Each launcher's variables: rank, how many ranks, rank within the machine. The first set that is
-- complete counts: inside a job of Slurm, mpirun's own are the right ones. SLURM_STEP_NUM_TASKS is
-- there under srun only; SLURM_NTASKS is set in a batch script too, where one process runs alone.
local SETS = {
  { "RANK", "WORLD_SIZE", "LOCAL_RANK", launcher = "torchrun", local_size = "LOCAL_WORLD_SIZE" },
  { "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
    launcher = "mpirun", local_size = "OMPI_COMM_WORLD_LOCAL_SIZE" },
  { "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", launcher = "mpirun", local_is_optional = true,
    local_size = "MPI_LOCALNRANKS" },
  { "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", launcher = "srun" },
}

local function count(get, name, least)
  local text = get(name)
  local value = tonumber(text)
  if text and not (text:find("^%d+$") and value >= least) then
    errors.raise("%s in the environment is \"%s\", expected a count from %d", name, text, least)
  end
  return value
end

-- The names of a set that are missing. RANK and LOCAL_RANK alone may mean anything.
local function missing(get, set)
  local list, found = {}, 0
  for i = 1, 3 do
    if get(set[i]) then
      found = found + 1
    elseif not (i == 3 and set.local_is_optional) then
      list[#list + 1] = set[i]
    end
  end
  return list, found
end

-- Where processes of torchrun meet, "HOST:PORT"; nil when MPI started them too, or the variables
-- are not there. At MASTER_PORT torchrun itself may listen; the next port is as good.
local function address(get, set)
  local host, port = get("MASTER_ADDR"), get("MASTER_PORT") and count(get, "MASTER_PORT", 1)
  if set ~= SETS[1] or not (host and port) then
    return nil
  end
  for i = 2, #SETS do
    if (get(SETS[i][2]) or "1") ~= "1" then
      return nil
    end
  end
  local taken = get("TORCHELASTIC_USE_AGENT_STORE") == "True"
  return ("%s:%d"):format(host:find(":", 1, true) and "[" .. host .. "]" or host,
    taken and port < 65535 and port + 1 or port)
end

-- Do a set's variables say that there are several processes, while some are missing? RANK and
-- LOCAL_RANK alone may mean anything unless both are counts; Slurm's batch script has no size.
local function is_half(get, set, absent, found)
  local size, rank = get(set[2]), tonumber(get(set[1]))
  if #absent == 0 or size then
    return #absent > 0 and (tonumber(size) or 1) > 1
  end
  return rank ~= nil and (set == SETS[1] and found >= 2 or set ~= SETS[1] and rank > 0)
end

-- Generic names may be left from elsewhere: what MPI's own launcher says beside them must be the
-- same, or each of its processes would take itself for another one, or for the only one.
local function check_launcher(get, here)
  for i = 2, 3 do
    local set = SETS[i]
    local rank, size = tonumber(get(set[1])), tonumber(get(set[2]))
    if rank and size and (rank ~= here.rank or size ~= here.size) then
      errors.raise("RANK and WORLD_SIZE in the environment say rank %d of %d, but %s and %s rank "
        .. "%d of %d; unset RANK, WORLD_SIZE and LOCAL_RANK", here.rank, here.size, set[1], set[2],
        rank, size)
    end
  end
end

-- Some libraries of MPI do not say the rank within the machine; Slurm does, of a process that it
-- has started itself (mpirun in a batch script leaves all processes the script's own number).
local function local_rank_of(get, set, rank)
  local by_slurm = tonumber(get("SLURM_PROCID")) == rank and count(get, "SLURM_LOCALID", 0)
  return count(get, set[3], 0) or by_slurm or rank
end

local function read_set(get, set)
  local rank, size = count(get, set[1], 0), count(get, set[2], 1)
  local local_rank = local_rank_of(get, set, rank)
  if rank >= size or local_rank >= size then
    errors.raise("%s is %d and %s %d in the environment, but %s is %d: ranks count from 0",
      set[1], rank, set[3], local_rank, set[2], size)
  end
  local here = { rank = rank, size = size, local_rank = local_rank, launcher = set.launcher,
    local_size = set.local_size and count(get, set.local_size, 1), address = address(get, set) }
  if set == SETS[1] then
    check_launcher(get, here)
  end
  return here
end

--- Reads the environment.
-- @tparam[opt=os.getenv] function get name → text or nil
-- @treturn table rank (from 0), size (1: alone), local_rank, launcher (nil when alone); local_size,
--   where the launcher says it; address, where ranks meet that have no MPI, "HOST:PORT"
-- @raise one line when a launcher's variables are incomplete or contradict each other
function M.read(get)
  get = get or os.getenv
  local half, lacking
  for _, set in ipairs(SETS) do
    local absent, found = missing(get, set)
    if #absent == 0 then
      return read_set(get, set)
    elseif not half and is_half(get, set, absent, found) then
      half, lacking = set, absent
    end
  end
  if half then
    errors.raise("the environment has a part of %s's variables, and not %s; unset them, or start "
      .. "all processes with %s", half.launcher, table.concat(lacking, " and "), half.launcher)
  end
  return { rank = 0, size = 1, local_rank = 0 }
end

--- Is this the first process, as far as one can tell where `read` has failed?
-- @tparam[opt=os.getenv] function get
-- @treturn boolean
function M.is_first(get)
  get = get or os.getenv
  for _, i in ipairs({ 2, 3, 4, 1 }) do -- launchers' own names before the generic ones
    local rank = tonumber(get(SETS[i][1]))
    if rank then
      return rank == 0
    end
  end
  return true
end

return M
