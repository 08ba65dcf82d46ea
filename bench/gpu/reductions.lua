--- How fast a GPU can reduce a whole vector, by counting: the sweeps of vector programs with norms
-- are compiled for an H200 (no GPU is needed), their instructions counted, and what a
-- multiprocessor can do at most is compared with reading memory.
--
--     fsam-lua bench/gpu/reductions.lua          needs nvcc; nvdisasm in PATH
--
-- What is assumed of a multiprocessor (compute capability 9.0): four schedulers, each with warps
-- of its own; a warp's conversion from f32 to f64 takes one of them 8 cycles, an addition or
-- product of f64 2, and each instruction 1 to issue; units work side by side, so that the slowest
-- decides. A dependent f64 addition begins 8 cycles after the one before it. A copy moves 4.3 TB/s
-- at 1.755 GHz on 132 multiprocessors. Memory's own latency is not in the model.
local root = arg[0]:match("^(.*)/bench/gpu/[^/]*$") or "."
package.path = root .. "/?.lua;" .. package.path
local bert = require("spec.lua.small_bert")
local helper = require("spec.helper")
local programs = require("spec.simt.programs")
local simt = require("spec.simt.device")
local ffi = require("ffi")

local CONVERSION, ARITHMETIC, ISSUE, LATENCY = 8, 2, 1, 8 -- cycles
local SCHEDULERS, REGISTERS, MOST_THREADS, SHARED = 4, 65536, 2048, 227 * 1024
local LANES, UNROLLED = 16, 8 -- of generated.cuh's add_chunk
local COPY = 4.3e12 / 132 / 1.755e9 -- bytes a cycle of a multiprocessor

local shim = assert(simt.load())
local P = bert.model({ smaller = true, precision = "bf16" }).params
local v = P:vector("exp_avg_sq")

-- name, bytes that the reducing sweep moves for an element, and what runs
local WORK = {
  { "norm of g (sam)", 4, function() return P.g:norm() end },
  { "norm of (abs(w) + eta) g (asam)", 8, function() return ((P.w:abs() + 0.01) * P.g):norm() end },
  { "norm and sum of g", 4, function() return P.g:norm() + P.g:sum() end },
  { "g . v, and both norms (gsam)", 8, function()
    return P.g:dot(v) + P.g:norm() + v:norm()
  end },
}

-- -- the machine's code ---------------------------------------------------------------------------

-- Registers of a kernel's thread, its shared bytes, and its instructions as { name, loops to }.
local function compile(source, kernel)
  local folder = helper.temp_dir()
  helper.write_file(folder .. "/program.cu", source)
  local nvcc = "PATH=$PATH:/usr/local/cuda/bin nvcc -std=c++17 --fmad=false -arch=sm_90 -cubin "
    .. "--resource-usage -I%s -o %s/program.cubin %s/program.cu 2>&1 && nvdisasm -c "
    .. "%s/program.cubin"
  local code, out = helper.shell(nvcc:format(helper.quote(root), folder, folder, folder))
  helper.remove_dir(folder)
  assert(code == 0, out)
  local uses = out:match("entry function '" .. kernel .. "'(.-Used [^\n]*)")
  local list, labels = {}, {}
  for line in (out:match("%.text%." .. kernel .. ":(.*)")):gmatch("[^\n]+") do
    if line:find("^%.text%.") then
      break
    end
    local label, text = line:match("^(%.L[%w_]+):"), line:match("^%s+/%*%x+%*/%s+(.*);")
    if label then
      labels[label] = #list + 1
    elseif text then
      local name = text:gsub("^@!?U?P%w+ ", ""):match("^[%w_.]+")
      list[#list + 1] = { name = name, to = labels[text:match("BRA.*`%((%.L[%w_]+)%)")] }
    end
  end
  return { registers = tonumber(uses:match("Used (%d+) registers")),
    shared = tonumber(uses:match("(%d+) bytes smem")) or 0, code = list }
end

-- The loops that add a chunk up: each ends in a branch backwards, and converts.
local function adding_loops(code)
  local loops = {}
  for last, at in ipairs(code) do
    local found = { conversions = 0, arithmetic = 0, additions = 0, others = 0 }
    for i = at.to or last, at.to and last or 0 do
      local name = code[i].name
      local kind = name:find("^F2F%.F64%.F32") and "conversions" or name:find("^D[AMF]")
        and "arithmetic" or "others"
      found[kind] = found[kind] + 1
      found.additions = found.additions + (name == "DADD" and 1 or 0)
      found.inner = found.inner or i < last and code[i].to
    end
    if found.conversions >= UNROLLED and not found.inner then
      loops[#loops + 1] = found
    end
  end
  return loops
end

-- -- the model ------------------------------------------------------------------------------------

-- Bytes a cycle that one multiprocessor can reduce.
local function rate(sweep, loops, threads, bytes)
  local blocks = math.min(math.floor(REGISTERS / (math.ceil(sweep.registers / 8) * 8 * threads)),
    MOST_THREADS / threads, math.floor(SHARED / (sweep.shared + 1024)))
  local turns = threads * 8 / LANES / UNROLLED -- of a loop in a chunk
  local conversions, arithmetic, issued, chain = {}, {}, {}, 0
  for block = 0, blocks - 1 do
    for r, loop in ipairs(loops) do
      local at = (r - 1 + block) % (threads / 32) % SCHEDULERS
      conversions[at] = (conversions[at] or 0) + turns * loop.conversions * CONVERSION
      arithmetic[at] = (arithmetic[at] or 0) + turns * loop.arithmetic * ARITHMETIC
      issued[at] = (issued[at] or 0) + turns * loop.others * ISSUE
        + turns * (loop.conversions + loop.arithmetic)
      chain = math.max(chain, turns * loop.additions * LATENCY)
    end
  end
  local slowest = chain
  for _, list in ipairs({ conversions, arithmetic, issued }) do
    for _, cycles in pairs(list) do
      slowest = math.max(slowest, cycles)
    end
  end
  return blocks * threads * 8 * bytes / slowest, blocks
end

print("| reduction | registers | blocks | conversions, f64, others per 128 elements | "
  .. "possible, TB/s | of a copy |")
print("|---|---|---|---|---|---|")
for _, work in ipairs(WORK) do
  local name, bytes, run = unpack(work)
  local first, count = programs.record(function()
    run():read()
  end)
  for i = first, first + count - 1 do
    local source = ffi.string(shim.fsam_simt_source(i))
    for kernel, threads, body in source:gmatch("PROGRAM_KERNEL%((sweep_%d+), (%d+)%) (%b{})") do
      if body:find("add_chunk", 1, true) then
        local sweep = compile(source, kernel)
        local loops, counts = adding_loops(sweep.code), {}
        for n, loop in ipairs(loops) do
          counts[n] = ("%d, %d, %d"):format(loop.conversions, loop.arithmetic, loop.others)
        end
        assert(#loops > 0, "no loop converts: add_chunk of generated.cuh has changed")
        local most, blocks = rate(sweep, loops, tonumber(threads), bytes)
        print(("| %s | %d | %d | %s | %.1f | %.0f %% |"):format(name, sweep.registers, blocks,
          table.concat(counts, "; "), most * 132 * 1.755e9 / 1e12,
          100 * math.min(1, most / COPY)))
      end
    end
  end
end
