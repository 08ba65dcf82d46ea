--- Tables of Markdown from the results of bench/gpu/run: of one part, or of all, with the aims.
--
--     fsam-lua bench/gpu/report.lua RESULTS [PART]
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local Results = require("results")
local aims = require("aims")

local results, wanted = Results.read(arg[1]), arg[2]

local function row(...)
  print("| " .. table.concat({ ... }, " | ") .. " |")
end

local function head(...)
  row(...)
  print((("|---"):rep(select("#", ...))) .. "|")
end

local function fixed(x, format, scale)
  return x and (format):format(x * (scale or 1)) or ""
end

-- -- kernels and vectors --------------------------------------------------------------------------

local function ceilings()
  local list = results:all({ kind = "ceiling" })
  if #list == 0 then
    return
  end
  print("")
  head("ceiling", "measured with", "rate")
  for _, line in ipairs(list) do
    local unit = line.what == "copy" and "%.2f TB/s" or "%.0f TFLOP/s"
    row(line.what, line.how, fixed(line.rate, unit, 1e-12))
  end
end

-- The share of a kernel's time that the slower of its bytes and operations takes at the ceilings.
local function share(line)
  local copy, matmul = results:ceiling("copy"), results:ceiling("matmul")
  if not copy or not matmul then
    return nil
  end
  local flops = line.precision ~= "f32" and line.flops or 0 -- the ceiling is that of bf16
  return math.max(line.bytes / copy, flops / matmul) / line.seconds
end

local function kernels(part)
  print("")
  head("kernel", "size", "type", "µs", "GB/s", "TFLOP/s", "of the ceiling")
  for _, line in ipairs(results:all({ part = part, side = "ours" })) do
    if line.seconds then
      row(line.kernel, line.shape, line.precision or "", fixed(line.seconds, "%.1f", 1e6),
        fixed(line.bytes / line.seconds, "%.0f", 1e-9),
        line.flops and fixed(line.flops / line.seconds, "%.1f", 1e-12) or "",
        fixed(share(line), "%.0f %%", 100))
    end
  end
end

-- -- steps ----------------------------------------------------------------------------------------

local function milliseconds(line)
  local s = line.seconds
  return ("%.2f (%.2f to %.2f)"):format(1e3 * s.median, 1e3 * s.q1, 1e3 * s.q3)
end

local function steps(part)
  local list = results:all({ part = part, kind = "step" })
  if #list == 0 then
    return
  end
  print("")
  head("optimizer", "side", "type", "ms of a step (quartiles)", "of ours", "real tokens/s",
    "padded tokens/s", "peak counted, GB", "device, GB", "mask, ms")
  for _, name in ipairs({ "adam", "sam", "esam", "fisher-sam" }) do
    local ours = results:ours(part, name)
    for _, line in ipairs(list) do
      if line.optimizer == name then
        local seconds = line.seconds.median
        local mode = line.mode .. (line.side == "ours" and ", turn " .. line.turn or "")
        row(name, line.attention and mode .. "; attention " .. line.attention or mode,
          line.precision, milliseconds(line), fixed(ours and seconds / ours, "%.2f"),
          fixed(line.tokens / seconds, "%.0f"), fixed(line.padded / seconds, "%.0f"),
          fixed(tonumber(line.bytes), "%.2f", 1e-9), fixed(tonumber(line.device_bytes), "%.2f",
          1e-9), fixed(line.refresh, "%.1f", 1e3))
      end
    end
  end
end

local function notes(part)
  local said = {}
  for _, kind in ipairs({ "machine", "absent", "failure" }) do
    for _, line in ipairs(results:all({ part = part, kind = kind })) do
      if not said[line.text] then
        said[line.text] = true
        print(("\n%s: %s"):format(kind == "failure" and line.side .. " failed" or kind, line.text))
      end
    end
  end
end

local function print_part(part)
  print("\n### " .. part)
  notes(part)
  if part == "kernels" or part == "vectors" then
    if part == "kernels" then
      ceilings()
    end
    kernels(part)
  else
    steps(part)
  end
end

-- -- all ------------------------------------------------------------------------------------------

if wanted then
  print_part(wanted)
else
  print([[# GPU benchmarks

Steps: "turn" 1 and 2 are ours before and after PyTorch's; "of ours" is against the mean of both.
Tokens of a step are counted once, whatever passes it makes. "Counted" is what each side's own
allocator counts (the sum of our arenas' peaks; torch.cuda.max_memory_allocated), "device" what
nvidia-smi reports of the whole card at the end. PyTorch types: master is bf16 weights with f32
master weights, autocast f32 weights with bf16 products. Kernels: of the ceiling is the time that
the bytes or operations take at the measured ceilings, of the time taken.]])
  local seen = {}
  for _, line in ipairs(results.lines) do
    if not seen[line.part] then
      seen[line.part] = true
      print_part(line.part)
    end
  end
  print("\n### Aims")
end
aims.print(results, wanted)
