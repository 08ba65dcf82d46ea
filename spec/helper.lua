--- What every spec may use. busted runs this file once before all specs, so that C's declarations
-- and types are made outside its per-file insulation; specs get the functions by
-- `require("spec.helper")`.
--
--     assert.near(expected, actual, tolerance)           |difference| <= tolerance everywhere
--     assert.near_relative(expected, actual, tolerance)  the same, times the largest |expected|
--
-- With FSAM_TEST_DEVICE=cuda, models and vectors that specs make are on the GPU, and
-- spec/kernels/gpu_spec.lua runs; kernels' own specs stay on the CPU.
--
-- Both take numbers, flat tables, or anything with a `read` method (tensors); the message names the
-- worst place. NaN is near nothing.
require("fsam.C")
require("fsam.errors")
require("fsam.base.tensor")
local lfs = require("lfs")
local luassert = require("luassert")
local say = require("say")

local M = {}

--- The repository's root: specs run from there.
M.root = lfs.currentdir()

local devices = require("fsam.base.device")
local open_device = devices.open

--- The device that specs are run on: "cpu", or what FSAM_TEST_DEVICE says.
M.device = os.getenv("FSAM_TEST_DEVICE") or "cpu"

function devices.open(name)
  return open_device(name == "cpu" and M.device or name)
end

--- Runs fn() with all that it makes on one device.
-- @tparam cdata|nil device nil: the CPU, whatever FSAM_TEST_DEVICE says
-- @return what fn returns, at most three values
function M.on_device(device, fn)
  local open = devices.open
  function devices.open(name)
    return device or open_device(name)
  end
  local ok, a, b, c = xpcall(fn, debug.traceback)
  devices.open = open
  assert(ok, a)
  return a, b, c
end

--- The build folder that is being tested.
-- @treturn string an absolute path
function M.build_dir()
  local build = os.getenv("FSAM_BUILD") or "build"
  return build:sub(1, 1) == "/" and build or M.root .. "/" .. build
end

--- The folder of real data beside the repository, or nil where it is absent. A spec that needs it
-- says so: `if not folder then pending("no ../shared/data") end`.
-- @tparam[opt] string name a file or folder inside it
-- @treturn ?string
function M.data_dir(name)
  local path = M.root .. "/../shared/data" .. (name and "/" .. name or "")
  return lfs.attributes(path) and path or nil
end

--- What is said when all specs have run (spec/report.lua): topic → function that returns a line.
M.notes = {}

function M.note(topic, fn)
  M.notes[topic] = fn
end

-- -- files ---------------------------------------------------------------------------------------

--- A fresh empty folder under the system's temporary folder.
function M.temp_dir()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  return path
end

--- The same in memory, where there is such a place: for runs that save often.
function M.memory_dir()
  local path = os.tmpname()
  os.remove(path)
  if lfs.attributes("/dev/shm", "mode") == "directory" then
    path = "/dev/shm/" .. path:match("[^/]*$")
  end
  assert(lfs.mkdir(path))
  return path
end

--- Removes a folder of M.temp_dir or M.memory_dir and all that is in it.
function M.remove_dir(path)
  assert(#path > 5, "not a temporary folder")
  os.execute(("rm -rf '%s'"):format(path))
end

--- A file's bytes, or nil.
function M.read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local bytes = file:read("*a")
  file:close()
  return bytes
end

--- Writes a file; returns its path.
function M.write_file(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
  return path
end

-- -- running programs ----------------------------------------------------------------------------

--- A shell word that stands for exactly this text.
function M.quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

--- Runs a shell command.
-- @tparam string command
-- @tparam[opt] string input its standard input (default: none)
-- @treturn number exit code
-- @treturn string standard output
-- @treturn string standard error
function M.shell(command, input)
  local folder = M.temp_dir()
  M.write_file(folder .. "/in", input or "")
  M.write_file(folder .. "/run", command)
  os.execute(("cd %s && sh %s/run <%s/in >%s/out 2>%s/err; echo $? >%s/code"):format(
    M.quote(M.root), folder, folder, folder, folder, folder))
  local code = tonumber(M.read_file(folder .. "/code"))
  local out, err = M.read_file(folder .. "/out"), M.read_file(folder .. "/err")
  M.remove_dir(folder)
  return code, out, err
end

--- Runs the fsam-lua under test from the repository's root.
-- @tparam table args its arguments; `args.env` (text such as "A=1 B=2") goes in front,
--   `args.input` is its standard input
-- @treturn number exit code
-- @treturn string standard output
-- @treturn string standard error
function M.fsam_lua(args)
  local words = { args.env and "env " .. args.env or "", M.quote(M.build_dir() .. "/fsam-lua") }
  for _, word in ipairs(args) do
    words[#words + 1] = M.quote(word)
  end
  return M.shell(table.concat(words, " "), args.input)
end

-- -- numbers -------------------------------------------------------------------------------------

local function values(x)
  if type(x) == "number" then
    return { x }
  elseif type(x) == "table" and rawget(x, 1) ~= nil then
    return x
  elseif type(x) == "cdata" or (type(x) == "table" and x.read) then
    return x:read()
  end
  return x
end

--- The largest difference of two flat lists, and where it is.
-- @treturn number difference (infinite where one is NaN)
-- @treturn number its index, from 1
-- @treturn number the largest |expected|
function M.worst(expected, actual)
  local worst, index, largest = -1, 0, 0
  for i = 1, #expected do
    local difference = math.abs(expected[i] - actual[i])
    if difference ~= difference and expected[i] ~= actual[i] then
      difference = math.huge
    end
    if difference > worst then
      worst, index = difference, i
    end
    largest = math.max(largest, math.abs(expected[i]))
  end
  return worst, index, largest
end

local function near(state, arguments, scaled)
  local expected, actual = values(arguments[1]), values(arguments[2])
  local tolerance = arguments[3]
  assert(type(tolerance) == "number", "near: the third argument is the tolerance, a number")
  local message
  if type(expected) ~= "table" or type(actual) ~= "table" then
    message = ("expected %s, got %s"):format(tostring(arguments[1]), tostring(arguments[2]))
  elseif #expected ~= #actual then
    message = ("expected %d values, got %d"):format(#expected, #actual)
  else
    local worst, index, largest = M.worst(expected, actual)
    local bound = scaled and tolerance * largest or tolerance
    if #expected == 0 or worst <= bound then
      return true
    end
    message = ("expected %.9g at index %d of %d, got %.9g: difference %.3g, allowed %.3g"):format(
      expected[index], index, #expected, actual[index], worst, bound)
  end
  state.failure_message = (arguments[4] and arguments[4] .. ": " or "") .. message
  return false
end

say:set("assertion.near.positive", "the values are not near enough")
say:set("assertion.near.negative", "the values are too near to each other")
luassert:register("assertion", "near", function(state, arguments)
  return near(state, arguments, false)
end, "assertion.near.positive", "assertion.near.negative")
luassert:register("assertion", "near_relative", function(state, arguments)
  return near(state, arguments, true)
end, "assertion.near.positive", "assertion.near.negative")

package.loaded["spec.helper"] = M
return M
