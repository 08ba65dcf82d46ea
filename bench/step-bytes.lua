--- The optimizer's part of a step against copying the bytes that it must touch, in alternation. A
-- function that leaves the gradient unchanged stands for the passes. And a sam-type that is defined
-- here, as in a recipe, against the same one built in.
--
--     fsam-lua bench/step-bytes.lua [PARAMETERS = 64e6] [PRECISION = f32] [THREADS = all]
--
-- Bytes of one parameter, b being the working copy's 4 or 2: the update reads w, g, m, v and writes
-- w, m, v, c (28 + b); a perturbation reads w and g and writes c (8 + b); norms that must be known
-- before something else runs read g, for asam w and g (4, 8), and the direction that may be clipped
-- (4). The copy is the faster of C's memcpy on one thread and the engine's on all of them. Prints
-- medians and minima as a table of Markdown.
local fsam = require("fsam")
local C = require("fsam.C")
local ffi, lib = C.ffi, C.lib

ffi.cdef("void *memcpy(void *to, const void *from, size_t bytes);")

local n, compute = tonumber(arg[1] or 64e6), arg[2] or "f32"
fsam.device.threads(tonumber(arg[3] or 0))
local b = compute == "bf16" and 2 or 4

-- asam as fsam.sam.types.asam has it, word for word.
fsam.sam.define("asam-here", {
  options = { rho = 0.5, eta = 0.01 },
  ascend = function(s)
    local matrix = s:each(function(parameter)
      return #parameter.shape > 1
    end)
    local t = fsam.vector.where(matrix, s.w:abs() + s.eta, 1)
    return t * t * s.g * (s.rho / (t * s.g):norm())
  end,
})

local specs = {}
for i = 1, math.ceil(n / 4e6) do
  specs[i] = { name = "w" .. i, kind = "matrix", shape = { 2000, 2000 } }
end
local P = fsam.params.new(fsam.device.open("cpu"), specs, { compute = compute })
P.w:set(P:normal({ seed = 1, step = 0 }) * 0.02)
P.g:set(P:normal({ seed = 1, step = 1 }) * 0.001)
P:sync()

local function evaluate(request)
  P:flush()
  P:touch(request.into)
  local losses = { 1 }
  return { samples = 1, mean = function() return 1 end, losses = function() return losses end,
    correct = function() return nil end }
end

local function kind(name, bytes, optimizer, sam_type)
  local built = fsam.step.build({ params = P, optimizer = optimizer, sam_type = sam_type,
    options = { weight_decay = 0.01, rho = 0.05 }, seed = 1 })
  local step = 0
  return { name = name, bytes = bytes, run = function()
    built:step({ evaluate = evaluate, step = step, lr = 1e-6, samples = 1 })
    step = step + 1
  end }
end

local kinds = {
  kind("adam", 4 + 28 + b, "adam"),
  kind("sam", 4 + 8 + b + 4 + 28 + b, "sam", "sam"),
  kind("asam, built in", 8 + 8 + b + 4 + 28 + b, "sam", "asam"),
  kind("asam, defined in the script", 8 + 8 + b + 4 + 28 + b, "sam", "asam-here"),
}
local from, to = P:scratch("from"):tensor(), P:scratch("to"):tensor()
local copies = {
  { run = function() to:copy(from) end },
  { run = function() ffi.C.memcpy(to.data, from.data, from:count() * 4) end },
}

-- All in turn, nine rounds after one to warm up.
local all = { kinds[1], kinds[2], kinds[3], kinds[4], copies[1], copies[2] }
for round = 0, 9 do
  for _, item in ipairs(all) do
    local began = lib.fsam_clock()
    item.run()
    item.times = item.times or {}
    if round > 0 then
      table.insert(item.times, lib.fsam_clock() - began)
    end
  end
end
for _, item in ipairs(all) do
  table.sort(item.times)
  item.least, item.median = item.times[1], item.times[5]
end

print(("| %d M parameters, %s | bytes | ms | of the copy | ms, least | of the copy |")
  :format(P.count / 1e6, compute))
print("|---|---|---|---|---|---|")
for _, item in ipairs(kinds) do
  local function ratio(which)
    local copy = math.min(copies[1][which], copies[2][which]) * item.bytes / 8
    return item[which] / copy
  end
  print(("| %s | %d | %.1f | %.2f | %.1f | %.2f |"):format(item.name, item.bytes,
    item.median * 1e3, ratio("median"), item.least * 1e3, ratio("least")))
end
