--- Compiles for one GPU architecture, without a GPU, the vector programs that bench/gpu and the
-- specs of recorded passes run, into the cache of compiled programs ($XDG_CACHE_HOME/fsam-lua): a
-- rented GPU then waits for no compiler. The programs are found by running the same work, tiny, on
-- the CPU.
-- bench/gpu/pack calls it.
--
--     fsam-lua bench/gpu/cubins.lua ARCH            such as 90
local root = arg[0]:match("^(.*)/bench/gpu/[^/]*$") or "."
package.path = root .. "/?.lua;" .. package.path
local programs = require("spec.simt.programs")
local simt = require("spec.simt.device")
local small = require("spec.lua.small_bert")

local arch, here = tonumber(arg[1]), root .. "/bench/gpu/"
assert(simt.load())
assert(programs.nvrtc())

-- Runs one of this folder's scripts with these settings.
local function script(name, ...)
  _G.arg = { [0] = here .. name .. ".lua", "check=1", "out=/dev/null", "part=cubins", ... }
  package.loaded.measure = nil
  dofile(here .. name .. ".lua")
end

local first, count = programs.record(function()
  script("smoke", "device=cpu")
  script("vectors", "precision=bf16")
  for _, shape in ipairs({ "cola", "32x512" }) do
    script("steps", "precision=bf16", "shape=" .. shape, "arch=roberta_large")
  end
  for _, o in ipairs({ { precision = "bf16", sam_type = "fisher-sam" },
    { precision = "fp32", sam_type = "esam", options = { beta = 0.5, gamma = 0.5 } },
    { precision = "fp32", sam_type = "sam", micro = 5 },
    { precision = "fp32", sam_type = "fisher-sam", shared = true },
    { precision = "fp32", sam_type = "fisher-sam", lr = 3e-3 } }) do
    small.run(o, 4)
  end
end)
for i = first, first + count - 1 do
  programs.cubin(i, arch)
end
print(("%d vector programs compiled for sm_%d"):format(count, arch))
