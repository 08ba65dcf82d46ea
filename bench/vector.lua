--- Vector programs against hand-written fused loops (vector_peer.c), in alternation: ASAM's
-- perturbation with its norm, and AdamW, by model size and compute type; and what launching costs.
--
--     cmake --build build --target bench
--     or: fsam-lua bench/vector.lua PEER.so [largest = 16e6] [smallest = 1e5] [processor]
--
-- Times are minima and medians over the repetitions, so that other work on the machine matters
-- little. On a machine that others use all the time, OMP_NUM_THREADS=1 and `processor`: time of the
-- processor instead of the wall clock's.
local C = require("fsam.C")
local params = require("fsam.vector.params")
local ffi, lib = C.ffi, C.lib

ffi.cdef([[
typedef struct { double beta1, beta2, eps, lr, decay, correction1, correction2; } peer_settings;
void peer_asam(float *c, uint16_t *c_half, double *partial, const float *w, const float *g,
               int64_t n, double rho, double eta);
void peer_adamw(float *c, uint16_t *c_half, float *w, float *m, float *v, const float *g,
                int64_t n, const peer_settings *a);
]])
local peer = ffi.load(arg[1])
local largest, smallest = tonumber(arg[2]) or 16e6, tonumber(arg[3]) or 1e5
local clock = arg[4] == "processor" and os.clock or lib.fsam_clock

local device = ffi.new("fsam_device *[1]")
C.check(lib.fsam_device_open(device, "cpu"))

-- A model of n parameters in matrices of up to a million.
local function model(n, compute)
  local specs, left = {}, n
  while left > 0 do
    local rows = math.min(1000, math.ceil(left / 1000))
    specs[#specs + 1] = { name = "w" .. #specs, kind = "matrix",
      shape = { rows, math.min(1000, left) } }
    left = left - rows * 1000
  end
  local P = params.new(device[0], specs, { compute = compute })
  P:begin_step()
  P.w:set(P:normal({ seed = 1, step = 0 }) * 0.02)
  P.g:set(P:normal({ seed = 1, step = 1 }) * 0.001)
  P:commit()
  return P
end

-- Seconds of each function, called in turn: lists of their times.
local function alternate(functions, seconds)
  local times, start = {}, clock()
  for i = 1, #functions do
    times[i] = {}
    functions[i]()
  end
  repeat
    for i, fn in ipairs(functions) do
      local from = clock()
      fn()
      table.insert(times[i], clock() - from)
    end
  until clock() - start > seconds and #times[1] >= 5
  for _, list in ipairs(times) do
    table.sort(list)
  end
  return times
end

local function asam(P)
  local rho, eta = 0.5, 0.01
  local function ours()
    P:begin_step()
    local t = P.w:abs() + eta
    P.c:set(P.w + t * t * P.g * (rho / (t * P.g):norm()))
    P:commit()
  end
  local partial = ffi.new("double[?]", P.total / 4096 + 1)
  local w, g = ffi.cast("float *", P.w.raw.data), ffi.cast("float *", P.g.raw.data)
  local c = P.c.raw.data
  local function theirs()
    if P.compute == "f32" then
      peer.peer_asam(c, nil, partial, w, g, P.total, rho, eta)
    else
      peer.peer_asam(nil, c, partial, w, g, P.total, rho, eta)
    end
  end
  return ours, theirs
end

local function adamw(P)
  local m, v = P:vector("exp_avg"), P:vector("exp_avg_sq")
  local s = { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, lr = 1e-5, decay = 0.01, correction1 = 0.1,
    correction2 = 0.001 }
  local function ours()
    P:begin_step()
    local g = P.g
    local m1 = m:set(s.beta1 * m + (1 - s.beta1) * g)
    local v1 = v:set(s.beta2 * v + g * g * (1 - s.beta2))
    local u = m1 / (v1:sqrt() / math.sqrt(s.correction2) + s.eps) * (s.lr / s.correction1)
    P.c:set(P.w:set(P.w - u - P.w * (s.lr * s.decay)))
    P:commit()
  end
  local settings = ffi.new("peer_settings", s)
  local function theirs()
    local w, g = P.w.raw.data, P.g.raw.data
    local half = P.compute == "bf16"
    peer.peer_adamw(not half and P.c.raw.data or nil, half and P.c.raw.data or nil, w, m.raw.data,
      v.raw.data, g, P.total, settings)
  end
  return ours, theirs
end

print(("vector programs, %d threads, %s"):format(lib.fsam_threads(), ffi.string(lib.fsam_isa())))
print("program  compute  parameters     ours ms  by hand ms   ratio   medians   ratio    ours GB/s")
local BYTES = { asam = { f32 = 20, bf16 = 18 }, adamw = { f32 = 32, bf16 = 30 } }
for _, n in ipairs({ 1e5, 1e6, 4e6, 16e6, 125e6 }) do
  for _, compute in ipairs({ "f32", "bf16" }) do
    if n >= smallest and n <= largest then
      local P = model(n, compute)
      for name, make in pairs({ asam = asam, adamw = adamw }) do
        local times = alternate({ make(P) }, n >= 16e6 and 3 or 1)
        local ours, theirs = times[1], times[2]
        local middle = math.ceil(#ours / 2)
        print(("%-7s  %-7s  %10d  %10.3f  %10.3f  %6.2f  %8.3f  %6.2f  %10.1f"):format(name,
          compute, P.count, ours[1] * 1e3, theirs[1] * 1e3, ours[1] / theirs[1], ours[middle] * 1e3,
          ours[middle] / theirs[middle], BYTES[name][compute] * n / ours[1] / 1e9))
      end
      collectgarbage()
      collectgarbage()
    end
  end
end

-- What one cached launch costs, everything included: building, key, binding, running.
local P = model(1e5, "f32")
local function launch(build)
  local times = alternate({ build }, 0.5)[1]
  return times[1] * 1e6, times[math.ceil(#times / 2)] * 1e6
end
local e = P:scratch("e")
print(("\nlaunch on %d parameters, µs (minimum, median)"):format(P.count))
print(("  c:set(w + e), flush           %6.1f  %6.1f"):format(launch(function()
  P.c:set(P.w + e)
  P:flush()
end)))
local ours = adamw(P)
print(("  AdamW, commit                 %6.1f  %6.1f"):format(launch(ours)))
local tiny = model(64, "f32")
local small = tiny:scratch("e")
print(("  c:set(w + e) on 64 parameters %6.1f  %6.1f"):format(launch(function()
  tiny.c:set(tiny.w + small)
  tiny:flush()
end)))
print(("  AdamW on 64 parameters        %6.1f  %6.1f"):format(launch((adamw(tiny)))))
