--- Vector programs twice: on the CPU, recorded (recorder.cpp), and by their generated CUDA kernels on
-- the shim. Any Lua that runs vector programs can be recorded, whole spec files included; all that
-- was recorded is then built into one library at once, because a compiler takes about as long for
-- one program as for a hundred. A library is kept under its content's name in the build folder.
local C = require("fsam.C")
local device = require("fsam.device")
local helper = require("spec.helper")
local lfs = require("lfs")
local luassert = require("luassert")
local simt = require("spec.simt.device")
local ffi, check = C.ffi, C.check

local M = {}

ffi.cdef([[
void fsam_simt_record(fsam_device *cpu);
void fsam_simt_record_end(fsam_device *cpu);
int fsam_simt_program_count();
int fsam_simt_run_count(int i);
const char *fsam_simt_source(int i);
int fsam_simt_built(const char *path, int first, int count);
int fsam_simt_replay(int i);
const char *fsam_simt_ptx(const char *source, int arch, const char **log);
int fsam_simt_nvrtc();
]])

--- Records every vector program that runs on the CPU during fn().
-- @treturn number the first program that was not known before
-- @treturn number how many there are
function M.record(fn)
  local lib, cpu = simt.load(), device.open("cpu")
  local first = lib.fsam_simt_program_count()
  lib.fsam_simt_record(cpu)
  local ok, err = xpcall(fn, debug.traceback)
  lib.fsam_simt_record_end(cpu)
  assert(ok, err)
  return first, lib.fsam_simt_program_count() - first
end

--- Runs what a spec file describes, here and now.
function M.run_spec(path)
  local function now(_, fn)
    fn()
  end
  local file = assert(loadfile(path))
  setfenv(file, setmetatable({ describe = now, it = now, assert = luassert }, { __index = _G }))
  file()
end

--- One source with the kernels of programs first … first + count - 1: those of the n-th (from 0)
-- are called pn_NAME.
function M.source(first, count)
  local lib, parts = simt.load(), { '#include "program_math.cuh"\n' }
  for i = 0, count - 1 do
    parts[#parts + 1] = ("#undef PROGRAM_NAME\n#define PROGRAM_NAME(name) p%d_##name\n"):format(i)
    parts[#parts + 1] = ("namespace p%d {\n%s}\n"):format(i,
      ffi.string(lib.fsam_simt_source(first + i)))
  end
  return table.concat(parts)
end

-- A number that changes with the text, in hexadecimal.
local function digest(text)
  local a, b = 1, 0
  for i = 1, #text do
    a = (a + text:byte(i)) % 4294967291
    b = (b * 31 + a) % 4294967291
  end
  return ("%08x%08x"):format(a, b)
end

local HEADERS = { "kernels/program_arguments.h", "kernels/program_device.cuh",
  "kernels/program_math.cuh", "engine/philox.h", "spec/simt/simt.h" }

local COMPILER = "c++ -std=c++17 -O1 -shared -fPIC -x c++ -fvisibility=hidden -ffp-contract=off "
  .. "-fno-strict-aliasing -fno-exceptions -Wall -Wextra -Wno-unknown-pragmas -Werror "
  .. "-DFSAM_SIMT=1 -Ikernels -Ispec/simt"

--- Builds these programs for the shim, unless that was done before.
function M.build(first, count)
  local lib, source, build = simt.load(), M.source(first, count), helper.build_dir()
  local parts = { COMPILER, source }
  for _, header in ipairs(HEADERS) do
    parts[#parts + 1] = helper.read_file(header)
  end
  lfs.mkdir(build .. "/simt")
  local name = build .. "/simt/programs-" .. digest(table.concat(parts))
  if not lfs.attributes(name .. ".so") then
    helper.write_file(name .. ".cu", source)
    local code, _, err = helper.shell(("%s %s -o %s -L%s -lfsam-simt && mv %s %s"):format(COMPILER,
      helper.quote(name .. ".cu"), helper.quote(name .. ".new"), helper.quote(build),
      helper.quote(name .. ".new"), helper.quote(name .. ".so")))
    assert(code == 0, err)
  end
  check(lib.fsam_simt_built(name .. ".so", first, count))
end

--- Runs a program's recorded runs on the shim, both ways; raises where a bit differs.
function M.replay(i)
  local lib = simt.load()
  if lib.fsam_simt_replay(i) < 0 then
    error(("%s in\n%s"):format(ffi.string(C.lib.fsam_error()),
      ffi.string(lib.fsam_simt_source(i))), 0)
  end
end

--- PTX of a source by NVRTC, and what the compiler warned of ("" for nothing).
function M.ptx(source, arch)
  local log = ffi.new("const char *[1]")
  local ptx = simt.load().fsam_simt_ptx(source, arch, log)
  assert(ptx ~= nil, ffi.string(C.lib.fsam_error()))
  return ffi.string(ptx), log[0] ~= nil and ffi.string(log[0]) or ""
end

--- NVRTC's version, or nil and why there is none.
function M.nvrtc()
  local version = simt.load().fsam_simt_nvrtc()
  if version < 0 then
    return nil, ffi.string(C.lib.fsam_error())
  end
  return version
end

return M
