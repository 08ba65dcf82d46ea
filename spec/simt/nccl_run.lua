--- spec/faults/small_run.lua, a whole recipe, as a rank whose GPU is the shim's device and whose
-- gradients NCCL's stand-in sums.
--
--     mpirun -np N fsam-lua spec/simt/nccl_run.lua FLAGS…
--
-- The vector programs are built first: those of the same run in one process on the CPU.
local helper = require("spec.helper")
local C = require("fsam.C")
local devices = require("fsam.base.device")
local alone = require("fsam.ranks").alone
local programs = require("spec.simt.programs")
local simt = require("spec.simt.device")
local world = require("fsam.ranks.world")

local RECIPE = "spec/faults/small_run.lua"
local words = { unpack(arg) }

local function run(...)
  rawset(_G, "arg", { [0] = RECIPE, ... })
  dofile(RECIPE)
end

-- Flags that the run on the CPU has otherwise, and how many words follow them.
local OTHERS = { ["--save-dir"] = 1, ["--log-format"] = 1, ["--shard-state"] = 0 }

local function words_of_cpu(place)
  local list, i = { "--save-dir", place .. "/cpu", "--log-format", "none" }, 1
  while words[i] do
    if OTHERS[words[i]] then
      i = i + OTHERS[words[i]]
    else
      list[#list + 1] = words[i]
    end
    i = i + 1
  end
  return list
end

local function by_itself(fn)
  local join, use, exit = world.join, world.use, os.exit
  world.join, world.use = function() return alone end, function() end
  rawset(os, "exit", function() end)
  local ok, err = pcall(fn)
  world.join, world.use = join, use
  rawset(os, "exit", exit)
  assert(ok, err)
end

local lib = assert(simt.load())
local place = helper.memory_dir()
world.timeout(400) -- ranks on a busy machine are far apart
programs.build_once(world.join(), programs.record(function()
  by_itself(function()
    helper.on_device(devices.open("cpu"), function()
      run(unpack(words_of_cpu(place)))
    end)
  end)
end))
helper.remove_dir(place)
local out = require("ffi").new("fsam_device *[1]")
C.check(lib.fsam_simt_open(out))
helper.on_device(out[0], function()
  run(unpack(words))
end)
