--- Work on the whole vector of a model, without passes: AdamW, the perturbations of SAM and ASAM
-- with their norms, exact selection, counting a mask. Called by bench/gpu/run, part `vectors`.
--
--     fsam-lua bench/gpu/vectors.lua out=FILE part=vectors [arch=roberta_large device=cpu check=1]
--
-- Bytes are those that must move, of one parameter: AdamW reads w, g, m, v and writes w, m, v, c
-- (28 + 2 in bf16); SAM reads g for the norm, then w and g, and writes c (12 + 2); ASAM reads w and
-- g for its norm too (16 + 2); a selection reads what its keys are made of five times.
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local lib = require("fsam.C").lib
local measure = require("measure")

local s = measure.settings()
local wait = measure.waiter(s.device)
local enough = s.check and 1e-3 or 0.05
local P = measure.model(s).params
measure.machine(s)
P.g:set(P:normal({ seed = 1, step = 1 }) * 1e-3)
P:flush()

local m, v = P:vector("exp_avg"), P:vector("exp_avg_sq")

local PROGRAMS = {
  { "AdamW", 30, function()
    local g = P.g
    local m1 = m:set(m * 0.9 + g * 0.1)
    local v1 = v:set(v * 0.98 + g * g * 0.02)
    P.c:set(P.w:set(P.w - m1 / (v1:sqrt() + 1e-6) * 1e-5 - P.w * 1e-7))
  end },
  { "SAM's perturbation with its norm", 14, function()
    P.c:set(P.w + P.g * (0.05 / P.g:norm()))
  end },
  { "ASAM's perturbation with its norm", 18, function()
    local t = P.w:abs() + 0.01
    P.c:set(P.w + t * t * P.g * (0.5 / (t * P.g):norm()))
  end },
}

for _, program in ipairs(PROGRAMS) do
  local name, bytes, run = unpack(program)
  local seconds = measure.time({ function()
    P:begin_step()
    run()
    P:commit()
  end }, wait, enough)
  measure.report(s, { kind = "vector", kernel = name, shape = P.count .. " parameters",
    bytes = bytes * P.count, seconds = seconds })
end

-- The parameters that the released code masks: no bias, no embedding.
local encoder, size = {}, 0
for _, parameter in ipairs(P.parameters) do
  if not parameter.name:find("bias") and not parameter.name:find("embed") then
    encoder[#encoder + 1] = parameter
    size = size + parameter.count
  end
end

local mask = P:mask("mask")
for _, pool in ipairs({ { encoder, size }, { P.parameters, P.count } }) do
  local function select_tenth()
    mask:top(P.g * P.g, { keep_ratio = 0.1, pool = pool[1] })
  end
  select_tenth()
  assert(mask:count() == math.floor(0.1 * pool[2]), "the selection is not exact")
  local times = {}
  for i = 1, s.check and 2 or 20 do
    wait()
    local began = lib.fsam_clock()
    select_tenth()
    wait()
    times[i] = lib.fsam_clock() - began
  end
  measure.report(s, { kind = "select", kernel = "exact selection of a tenth",
    shape = pool[2] .. " parameters", bytes = 5 * 4 * pool[2],
    seconds = measure.summary(times).median })
end
measure.report(s, { kind = "kernel", kernel = "mask count", shape = P.count .. " parameters",
  bytes = P.count / 8, seconds = measure.time({ function() mask:count() end }, wait, enough) })
