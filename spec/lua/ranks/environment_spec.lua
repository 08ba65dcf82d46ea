-- What launchers say in the environment about a process and its like.
local environment = require("fsam.ranks.environment")

local function read(variables)
  return environment.read(function(name)
    return variables[name]
  end)
end

describe("the environment", function()
  local RANKS = {
    { "nothing", {}, { rank = 0, size = 1, local_rank = 0 } },
    { "torchrun's", { RANK = "3", WORLD_SIZE = "4", LOCAL_RANK = "1" },
      { rank = 3, size = 4, local_rank = 1, launcher = "torchrun" } },
    { "Open MPI's", { OMPI_COMM_WORLD_RANK = "0", OMPI_COMM_WORLD_SIZE = "2",
      OMPI_COMM_WORLD_LOCAL_RANK = "0" },
      { rank = 0, size = 2, local_rank = 0, launcher = "mpirun" } },
    { "MPICH's, without a local rank", { PMI_RANK = "1", PMI_SIZE = "2" },
      { rank = 1, size = 2, local_rank = 1, launcher = "mpirun" } },
    { "MPICH's, of mpirun", { PMI_RANK = "3", PMI_SIZE = "4", MPI_LOCALRANKID = "1",
      MPI_LOCALNRANKS = "2", PMI_FD = "8" },
      { rank = 3, size = 4, local_rank = 1, local_size = 2, launcher = "mpirun" } },
    { "MPICH's, of srun --mpi=pmi2, which says the place on the node", { PMI_RANK = "5",
      PMI_SIZE = "8", SLURM_PROCID = "5", SLURM_STEP_NUM_TASKS = "8", SLURM_LOCALID = "1" },
      { rank = 5, size = 8, local_rank = 1, launcher = "mpirun" } },
    { "MPICH's, of mpirun on another node than the batch script", { PMI_RANK = "5", PMI_SIZE = "8",
      SLURM_PROCID = "0", SLURM_LOCALID = "0" },
      { rank = 5, size = 8, local_rank = 5, launcher = "mpirun" } },
    { "srun's --mpi=pmix, which has no PMI_SIZE", { PMIX_RANK = "2", SLURM_PROCID = "2",
      SLURM_STEP_NUM_TASKS = "4", SLURM_LOCALID = "0", SLURM_NTASKS = "4" },
      { rank = 2, size = 4, local_rank = 0, launcher = "srun" } },
    { "Slurm's", { SLURM_PROCID = "5", SLURM_STEP_NUM_TASKS = "8", SLURM_LOCALID = "1" },
      { rank = 5, size = 8, local_rank = 1, launcher = "srun" } },
    { "a batch script's of Slurm, which runs alone", { SLURM_PROCID = "0", SLURM_NTASKS = "8",
      SLURM_LOCALID = "0" }, { rank = 0, size = 1, local_rank = 0 } },
    { "mpirun's inside a job of Slurm", { SLURM_PROCID = "0", SLURM_STEP_NUM_TASKS = "1",
      SLURM_LOCALID = "0", OMPI_COMM_WORLD_RANK = "1", OMPI_COMM_WORLD_SIZE = "2",
      OMPI_COMM_WORLD_LOCAL_RANK = "1" },
      { rank = 1, size = 2, local_rank = 1, launcher = "mpirun" } },
    { "one of one", { RANK = "0", WORLD_SIZE = "1", LOCAL_RANK = "0" },
      { rank = 0, size = 1, local_rank = 0, launcher = "torchrun" } },
    { "a variable of another program's", { RANK = "general" },
      { rank = 0, size = 1, local_rank = 0 } },
    { "a size alone", { WORLD_SIZE = "1", RANK = "0" }, { rank = 0, size = 1, local_rank = 0 } },
    { "mpirun's, beside a part of torchrun's", { RANK = "7", WORLD_SIZE = "9",
      OMPI_COMM_WORLD_RANK = "1", OMPI_COMM_WORLD_SIZE = "2", OMPI_COMM_WORLD_LOCAL_RANK = "1" },
      { rank = 1, size = 2, local_rank = 1, launcher = "mpirun" } },
    { "both torchrun's and mpirun's, where they say the same", { RANK = "1", WORLD_SIZE = "2",
      LOCAL_RANK = "1", OMPI_COMM_WORLD_RANK = "1", OMPI_COMM_WORLD_SIZE = "2",
      OMPI_COMM_WORLD_LOCAL_RANK = "1" },
      { rank = 1, size = 2, local_rank = 1, launcher = "torchrun" } },
  }

  for _, case in ipairs(RANKS) do
    it("may be " .. case[1], function()
      assert.same(case[3], read(case[2]))
    end)
  end

  local REFUSED = {
    { { RANK = "1", WORLD_SIZE = "4" }, "the environment has a part of torchrun's variables, and "
      .. "not LOCAL_RANK; unset them, or start all processes with torchrun" },
    { { WORLD_SIZE = "4", LOCAL_RANK = "0" }, "the environment has a part of torchrun's variables, "
      .. "and not RANK; unset them, or start all processes with torchrun" },
    { { WORLD_SIZE = "4" }, "the environment has a part of torchrun's variables, and not RANK and "
      .. "LOCAL_RANK; unset them, or start all processes with torchrun" },
    { { RANK = "1", LOCAL_RANK = "1" }, "the environment has a part of torchrun's variables, and "
      .. "not WORLD_SIZE; unset them, or start all processes with torchrun" },
    { { OMPI_COMM_WORLD_RANK = "1" }, "the environment has a part of mpirun's variables, and not "
      .. "OMPI_COMM_WORLD_SIZE and OMPI_COMM_WORLD_LOCAL_RANK; unset them, or start all processes "
      .. "with mpirun" },
    { { PMI_SIZE = "3" }, "the environment has a part of mpirun's variables, and not PMI_RANK; "
      .. "unset them, or start all processes with mpirun" },
    { { PMI_RANK = "1", MPI_LOCALRANKID = "1" }, "the environment has a part of mpirun's "
      .. "variables, and not PMI_SIZE; unset them, or start all processes with mpirun" },
    { { SLURM_STEP_NUM_TASKS = "2", SLURM_LOCALID = "0" }, "the environment has a part of srun's "
      .. "variables, and not SLURM_PROCID; unset them, or start all processes with srun" },
    { { SLURM_PROCID = "1", SLURM_STEP_NUM_TASKS = "2" }, "the environment has a part of srun's "
      .. "variables, and not SLURM_LOCALID; unset them, or start all processes with srun" },
    { { PMI_RANK = "2", PMI_SIZE = "2" }, "PMI_RANK is 2 and MPI_LOCALRANKID 2 in the "
      .. "environment, but PMI_SIZE is 2: ranks count from 0" },
    { { SLURM_PROCID = "x", SLURM_STEP_NUM_TASKS = "2", SLURM_LOCALID = "0" },
      'SLURM_PROCID in the environment is "x", expected a count from 0' },
    { { SLURM_PROCID = "1", SLURM_LOCALID = "1" }, "the environment has a part of srun's "
      .. "variables, and not SLURM_STEP_NUM_TASKS; unset them, or start all processes with srun" },
    { { RANK = "0", WORLD_SIZE = "1", LOCAL_RANK = "0", OMPI_COMM_WORLD_RANK = "1",
      OMPI_COMM_WORLD_SIZE = "2", OMPI_COMM_WORLD_LOCAL_RANK = "1" }, "RANK and WORLD_SIZE in the "
      .. "environment say rank 0 of 1, but OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE rank 1 of "
      .. "2; unset RANK, WORLD_SIZE and LOCAL_RANK" },
    { { RANK = "4", WORLD_SIZE = "4", LOCAL_RANK = "0" }, "RANK is 4 and LOCAL_RANK 0 in the "
      .. "environment, but WORLD_SIZE is 4: ranks count from 0" },
    { { PMI_RANK = "-1", PMI_SIZE = "4" },
      'PMI_RANK in the environment is "-1", expected a count from 0' },
    { { RANK = "0", WORLD_SIZE = "0", LOCAL_RANK = "0" },
      'WORLD_SIZE in the environment is "0", expected a count from 1' },
  }

  for _, case in ipairs(REFUSED) do
    it("is refused: " .. case[2], function()
      assert.has_error(function() read(case[1]) end, case[2])
    end)
  end
end)
