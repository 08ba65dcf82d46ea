--- The device "simt": CUDA kernels on the CPU (simt.h). Builds its library when first asked for.
local C = require("fsam.C")
local helper = require("spec.helper")
local ffi, check = C.ffi, C.check

local M = {}

ffi.cdef([[
int fsam_simt_open(fsam_device **out);
int fsam_simt_open_lazy(fsam_device **out);
void fsam_simt_order(int descending);
int fsam_simt_poison(fsam_device *device);
int fsam_simt_arch(int number);
const char *fsam_simt_call(fsam_device *device, const char *name, void *p);
int fsam_simt_fork(fsam_device *device, char *p);
void fsam_simt_early(void);
int64_t fsam_simt_taken(void);
int64_t fsam_simt_pinned(void);
int fsam_simt_kernels();
int64_t fsam_simt_launches();
int fsam_simt_early_launches();
int fsam_simt_priority(const fsam_device *device, int beside);
int fsam_simt_cudnn_attentions(void);
void fsam_simt_cudnn_version(int number);
bool fsam_simt_cudnn_drawn_by(int64_t numbers[2], int back);
bool fsam_simt_cudnn_keeps(const int64_t numbers[2], int sample, int head, int i, int j,
                           int threshold);
void fsam_simt_takes(const char *name, double milliseconds);
void fsam_simt_first_algorithm(int works);
int fsam_simt_select(uint64_t *mask, const float *keys, fsam_layout *layout, const uint8_t *pool,
                     const int64_t *k, int per_parameter, int outside);
int fsam__workspace(void **out, fsam_device *device, size_t bytes);
int fsam_simt_start_broken(const fsam_device *device, const char *name, float *out);
int fsam_simt_broken(const fsam_device *device, const char *name, float *out);
]])

local lib

--- The shim's library, or nil and why there is none. With FSAM_PREBUILT=1 in the environment it is
-- taken as it lies in the build folder: the sources may have been built elsewhere.
function M.load()
  if not lib and os.getenv("FSAM_PREBUILT") == "1" then
    local path = helper.build_dir() .. "/libfsam-simt.so"
    if not helper.read_file(path) then
      return nil, "there is no " .. path
    end
    lib = ffi.load(path)
  elseif not lib then
    local build = helper.quote(helper.build_dir())
    local code, out = helper.shell(("cmake --build %s --target fsam-simt 2>&1"):format(build))
    if out:find("unknown target", 1, true) or out:find("No rule to make target", 1, true) then
      return nil, "no C++ compiler: CUDA kernels are not run"
    end
    assert(code == 0, out)
    lib = ffi.load(helper.build_dir() .. "/libfsam-simt.so")
    helper.note("simt", function()
      return ("%d CUDA kernels and the generated programs ran on the shim, in %d launches"):format(
        math.max(0, lib.fsam_simt_kernels() - 1), tonumber(lib.fsam_simt_launches()))
    end)
  end
  return lib
end

--- Builds the stand-in for NCCL (nccl.cpp), which the build folder has then: nil, or why not.
function M.nccl()
  local found, why = M.load()
  if not found then
    return why
  end
  local code, out = helper.shell(("cmake --build %s --target fsam-nccl 2>&1"):format(
    helper.quote(helper.build_dir())))
  assert(code == 0, out)
end

--- Opens the device into out[0], as fsam_device_open does.
function M.open(out)
  check(lib.fsam_simt_open(out))
end

--- Opens a device whose streams put all work off until it is waited for.
-- @tparam string name of the arena
-- @treturn cdata fsam_device
-- @treturn cdata fsam_arena
function M.open_lazy(name)
  local out, slot = ffi.new("fsam_device *[1]"), ffi.new("fsam_arena *[1]")
  check(lib.fsam_simt_open_lazy(out))
  check(C.lib.fsam_arena_new(slot, out[0], name))
  return out[0], slot[0]
end

--- Closes both, also where a failure left the device recording.
function M.close(device, arena)
  C.lib.fsam_graph_end(nil, device)
  C.lib.fsam_arena_free(arena)
  C.lib.fsam_device_close(device)
end

return M
