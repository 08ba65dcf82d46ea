--- Runs one of bench/gpu's scripts on the shim, as the GPU that it asks for: a rehearsal of what it
-- does on one. It runs on the CPU first, where its vector programs are recorded; these are built
-- for the shim, unless the build folder has them. scripts/gpu-check --check --shim calls it, and
-- bench/gpu/pack, so that a machine without a compiler has what the rehearsal needs.
--
--     fsam-lua spec/simt/rehearse.lua [--build] SCRIPT NAME=VALUE…
--
-- --build: builds the programs, prints which files have them, and runs nothing on the shim.
local root = arg[0]:match("^(.*)/spec/simt/[^/]*$") or "."
package.path = root .. "/?.lua;" .. package.path
local devices = require("fsam.base.device")
local programs = require("spec.simt.programs")
local simt = require("spec.simt.device")
local ffi = require("fsam.C").ffi

local only_build = arg[1] == "--build"
local words = { unpack(arg, only_build and 2 or 1) }
local script = table.remove(words, 1)

-- Runs the script with these settings besides its own.
local function run(...)
  _G.arg = { [0] = script, unpack(words) }
  for i = 1, select("#", ...) do
    table.insert(_G.arg, (select(i, ...)))
  end
  package.loaded.measure = nil
  dofile(script)
end

-- What the script prints is about a device that it did not ask for.
local function silently(fn)
  local print = _G.print
  _G.print = function() end
  local ok, err = pcall(fn)
  _G.print = print
  assert(ok, err)
end

assert(simt.load())
local first, count = programs.record(function()
  silently(function()
    run("device=cpu", "out=/dev/null")
  end)
end)
local libraries = programs.build(first, count)
if only_build then
  for _, path in ipairs(libraries) do
    print(path)
  end
else
  local out, open = ffi.new("fsam_device *[1]"), devices.open
  simt.open(out)
  devices.open = function(name)
    return name == "cpu" and open(name) or out[0]
  end
  run("device=cuda")
end
