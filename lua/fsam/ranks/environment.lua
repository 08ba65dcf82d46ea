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

--- Reads the environment.
-- @tparam[opt=os.getenv] function get name → text or nil
-- @treturn table rank (from 0), size (1: alone), local_rank, launcher (nil when alone); local_size,
--   where the launcher says it; address, where ranks meet that have no MPI, "HOST:PORT"
-- @raise one line when a launcher's variables are incomplete or contradict each other
function M.read(get)
  get = get or os.getenv
  for _, set in ipairs(SETS) do
    local absent, found = missing(get, set)
    if #absent == 0 then
      local rank, size = count(get, set[1], 0), count(get, set[2], 1)
      local local_rank = count(get, set[3], 0) or rank
      if rank >= size or local_rank >= size then
        errors.raise("%s is %d and %s %d in the environment, but %s is %d: ranks count from 0",
          set[1], rank, set[3], local_rank, set[2], size)
      end
      return { rank = rank, size = size, local_rank = local_rank, launcher = set.launcher,
        local_size = set.local_size and count(get, set.local_size, 1), address = address(get, set) }
    elseif found >= 2 and (get(set[2]) or "1") ~= "1" then
      errors.raise("the environment has a part of %s's variables, and not %s; unset them, or start "
        .. "all processes with %s", set.launcher, table.concat(absent, " and "), set.launcher)
    end
  end
  return { rank = 0, size = 1, local_rank = 0 }
end

return M
