--- Vector programs twice: on the CPU, recorded (program_replay.cpp), and by their generated CUDA
-- kernels on the shim. Any Lua that runs vector programs can be recorded, whole spec files too. The
-- recorded programs are then built into few libraries at once, because a compiler takes about as
-- long for one program as for twenty. Libraries are kept in the build folder; a digest of their
-- source is in their names.
local C = require("fsam.C")
local device = require("fsam.base.device")
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
int fsam_simt_replay(int i, fsam_device *gpu);
const char *fsam_simt_ptx(const char *source, int arch, const char **log);
int fsam_simt_nvrtc();
int64_t fsam_simt_cubin(const char *source, int arch);
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

--- The device for specs that run whole steps: the GPU, or the shim, whose vector programs are built
-- first.
-- @tparam boolean on_gpu
-- @tparam function fn runs the same steps on the CPU
-- @treturn cdata fsam_device
function M.device(on_gpu, fn)
  if on_gpu then
    return device.open("cuda")
  end
  local out = ffi.new("fsam_device *[1]")
  simt.open(out)
  M.build(M.record(fn))
  return out[0]
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
  local lib, parts = simt.load(), { '#include "kernels/vector/vector_math.cuh"\n' }
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

local HEADERS = { "kernels/cuda/machine.cuh", "kernels/vector/arguments.h",
  "kernels/vector/generated.cuh", "kernels/vector/vector_math.cuh", "engine/philox.h",
  "engine/program.def", "spec/simt/simt.h" }

local COMPILER = "c++ -std=c++17 -O0 -shared -fPIC -x c++ -fvisibility=hidden -ffp-contract=off "
  .. "-fno-strict-aliasing -fno-exceptions -Wall -Wextra -Wno-unknown-pragmas -Werror "
  .. "-fsanitize=alignment -fsanitize-undefined-trap-on-error "
  .. "-DFSAM_SIMT=1 -I. -Ispec/simt"

-- The shell command that builds library `name`, in the background.
local function command(name)
  local cu, new, so = helper.quote(name .. ".cu"), helper.quote(name .. ".new"),
    helper.quote(name .. ".so")
  local build = helper.quote(helper.build_dir())
  return ("{ %s -I%s/include %s -o %s -L%s -lfsam-simt && mv %s %s; } & "):format(COMPILER, build,
    cu, new, build, new, so)
end

local SHARE = 100 -- programs of a library

--- Builds these programs for the shim, unless that was done before.
-- @treturn {string,…} the libraries that have them
function M.build(first, count)
  local lib, build, commands, libraries, paths = simt.load(), helper.build_dir(), {}, {}, {}
  local headers = { COMPILER }
  for _, header in ipairs(HEADERS) do
    headers[#headers + 1] = helper.read_file(header)
  end
  lfs.mkdir(build .. "/simt")
  for at = first, first + count - 1, SHARE do
    local share = math.min(SHARE, first + count - at)
    local source = M.source(at, share)
    local name = build .. "/simt/programs-" .. digest(table.concat(headers) .. source)
    if not lfs.attributes(name .. ".so") then
      helper.write_file(name .. ".cu", source)
      commands[#commands + 1] = command(name)
    end
    libraries[#libraries + 1] = { name .. ".so", at, share }
  end
  local _, _, err = helper.shell(table.concat(commands) .. "wait")
  for _, library in ipairs(libraries) do
    assert(lfs.attributes(library[1]), err)
    check(lib.fsam_simt_built(unpack(library)))
    paths[#paths + 1] = library[1]
  end
  return paths
end

--- The same in each of several ranks: the first one builds, and the others find it there.
-- @tparam table ranks fsam.ranks
function M.build_once(ranks, first, count)
  if ranks.is_first then
    M.build(first, count)
  end
  ranks:meet()
  if not ranks.is_first then
    M.build(first, count)
  end
end

--- Runs a program's recorded runs on the shim, in both orders of threads, or on a GPU; raises where
-- a bit differs.
-- @tparam number i the program
-- @tparam[opt] cdata gpu a device
function M.replay(i, gpu)
  local lib = simt.load()
  if lib.fsam_simt_replay(i, gpu) < 0 then
    error(("%s in\n%s"):format(ffi.string(C.lib.fsam_error()),
      ffi.string(lib.fsam_simt_source(i))), 0)
  end
end

--- PTX of a source by NVRTC, which must not warn. The build folder keeps it.
function M.ptx(source, arch)
  local parts = { source }
  for i, header in ipairs(HEADERS) do
    parts[i + 1] = helper.read_file(header)
  end
  local name = ("%s/simt/sm_%d-%s.ptx"):format(helper.build_dir(), arch,
    digest(table.concat(parts)))
  local kept = helper.read_file(name)
  if kept then
    return kept
  end
  local log = ffi.new("const char *[1]")
  local ptx = simt.load().fsam_simt_ptx(source, arch, log)
  assert(ptx ~= nil, ffi.string(C.lib.fsam_error()))
  assert(log[0] == nil, log[0] ~= nil and ffi.string(log[0]))
  lfs.mkdir(helper.build_dir() .. "/simt")
  helper.write_file(name, ffi.string(ptx))
  return ffi.string(ptx)
end

--- Machine code of a program, through the cache on disk: a number that changes with its bytes.
function M.cubin(i, arch)
  local lib = simt.load()
  return tonumber(check(lib.fsam_simt_cubin(lib.fsam_simt_source(i), arch)))
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
