--- The process that runs inputs: its time and memory, limits on both, and memory that outlives it.
--
-- Owns: the system calls for these, on Linux. An input that hangs ends the process by SIGPROF (time
-- of the processor) or SIGALRM (waiting); what the shared memory holds then is the input.
local ffi = require("ffi")

local M = {}

if not pcall(ffi.typeof, "struct spec_fuzz_usage") then
  ffi.cdef [[
    struct spec_fuzz_time { long seconds, microseconds; };
    struct spec_fuzz_usage { struct spec_fuzz_time user, system; long peak_kb, others[16]; };
    struct spec_fuzz_timer { struct spec_fuzz_time interval, value; };
    struct spec_fuzz_shared {
      double executions, accepted, refused, findings, worst, peak_mb;
      uint32_t is_running, length;
      char input[4194304];
    };
    int getrusage(int who, struct spec_fuzz_usage *usage);
    int setitimer(int which, const struct spec_fuzz_timer *value, struct spec_fuzz_timer *old);
    unsigned alarm(unsigned seconds);
    void *mmap(void *at, size_t length, int protection, int flags, int file, long offset);
    int fileno(void *stream);
  ]]
end

local ITIMER_PROF = 2
local HANG, WAIT = 6, 40 -- seconds of the processor, and of the clock

local usage = ffi.new("struct spec_fuzz_usage")
local timer = ffi.new("struct spec_fuzz_timer")
timer.value.seconds = HANG
local off = ffi.new("struct spec_fuzz_timer")

--- Seconds of the processor that this process has used, and the most memory it ever had, in MB.
function M.used()
  ffi.C.getrusage(0, usage)
  return tonumber(usage.user.seconds + usage.system.seconds)
    + tonumber(usage.user.microseconds + usage.system.microseconds) / 1e6,
    tonumber(usage.peak_kb) / 1024
end

--- From here the process has a few seconds; the next call gives it as many again.
function M.wind_up()
  ffi.C.setitimer(ITIMER_PROF, timer, nil)
  ffi.C.alarm(WAIT)
end

--- No limit any more, until the next wind_up.
function M.rest()
  ffi.C.setitimer(ITIMER_PROF, off, nil)
  ffi.C.alarm(0)
end

--- The memory behind a file, which other processes see, and which stays when this one ends.
-- @tparam string path made where it does not exist
-- @treturn cdata executions, accepted, refused, findings, worst (seconds), peak_mb, is_running,
--   length and input
function M.shared(path)
  local file = io.open(path, "r+b") or assert(io.open(path, "w+b"))
  local size = ffi.sizeof("struct spec_fuzz_shared")
  if file:seek("end") < size then
    file:seek("set", size - 1)
    file:write("\0")
    file:flush()
  end
  local at = ffi.C.mmap(nil, size, 3, 1, ffi.C.fileno(file), 0)
  assert(tonumber(ffi.cast("intptr_t", at)) ~= -1, "cannot map " .. path)
  file:close()
  return ffi.cast("struct spec_fuzz_shared *", at)
end

return M
