--- What the graphs of recorded passes look like, and what recording and launching them takes. A
-- pass should be a chain, each kernel waiting for the one before. A library may start its kernels
-- early, or beside others: then this says how often.
--
--     fsam-lua bench/gpu/chain.lua arch=roberta_large shape=cola [check=1]
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local fsam = require("fsam")
local C = require("fsam.C")
local measure = require("measure")
local ffi, lib, check = C.ffi, C.lib, C.check

local s = measure.settings()
local wait = measure.waiter(s.device)
local model = measure.model(s)
local pass = fsam.pass.new({ model = model, seed = 1 })
local batch = measure.pack(measure.lengths(s)[1], 1, model.config.vocab_size)

-- Seconds of one pass, there and back, until the device has done it.
local function run(step)
  local evaluate = pass:bind({ step = step, batches = { batch }, training = true })
  wait()
  local from = lib.fsam_clock()
  evaluate({ into = model.params.g, backward = true })
  local queued = lib.fsam_clock() - from
  wait()
  return lib.fsam_clock() - from, queued
end

for step, what in ipairs({ "plain", "recorded", "replayed", "replayed" }) do
  local seconds, queued = run(step)
  print(("%-9s %8.2f ms, of which the host queues %.2f"):format(
    pass.graphs.possible and what or "plain", seconds * 1e3, queued * 1e3))
end
if not pass.graphs.possible then
  print("this device records nothing")
end
local counts = ffi.new("int64_t[3]")
for key, shape in pairs(pass.graphs.shapes) do
  for name, graph in pairs(shape.graphs or {}) do
    check(lib.fsam_graph_shape(graph, counts))
    print(("%s of shape (%s): %d nodes; dependencies beyond a chain's: %d; of another kind: %d")
      :format(name, key, tonumber(counts[0]), tonumber(counts[1]), tonumber(counts[2])))
  end
end
if pass.graphs.refusal then
  error("not recorded: " .. pass.graphs.refusal, 0)
end
