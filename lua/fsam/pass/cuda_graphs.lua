--- CUDA graphs of passes. A graph is recorded work that a GPU runs with one launch. A micro-batch
-- of a new shape runs plainly, the second of that shape is recorded, and later ones run from their
-- graphs, one for each piece. What cannot be recorded runs plainly, and is tried again later a few
-- times. Owns: which shapes are known, and when graphs are made, used and given up. Leaves to
-- others: what a pass does (fsam.pass), how the device records (engine/graph.c).
local C = require("fsam.C")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local MOST = 256 -- shapes whose graphs are kept
local TRIES = 3 -- captures of a shape that may fail before it is given up
local CLASS = 64 -- a graph serves all lengths up to a multiple of this

local Graphs = {}
Graphs.__index = Graphs

--- @tparam cdata device fsam_device
-- @treturn table the graphs of one Pass; `counts`: micro-batches that ran plainly, were recorded,
--   or ran from graphs (replayed), and graphs whose work is no chain in which each part waits for
--   the one before (unchained); `refusal`: why recording failed the last time it did, or nil
function M.new(device)
  return setmetatable({ device = device, possible = lib.fsam_graph_possible(device) == 1,
    shapes = {}, clock = 0,
    counts = { plain = 0, recorded = 0, replayed = 0, unchained = 0 } }, Graphs)
end

local function drop(shape)
  for _, graph in pairs(shape.graphs or {}) do
    lib.fsam_graph_free(ffi.gc(graph, nil))
  end
  shape.graphs = nil
end

-- Makes room for one more: where there are too many, the shape that was used longest ago loses its
-- graphs. From then on a shape runs plainly once more before it is recorded: recording costs more
-- than a pass, and shapes that come in turn, more of them than fit, would pay for it every time.
local function make_room(self)
  local oldest, count = nil, 0
  for _, shape in pairs(self.shapes) do
    if shape.graphs then
      count = count + 1
      oldest = (not oldest or shape.used < oldest.used) and shape or oldest
    end
  end
  if count >= MOST then
    drop(oldest)
    oldest.rest, self.is_full = 1, true
  end
end

local function is_stale(shape)
  for _, graph in pairs(shape.graphs) do
    if lib.fsam_graph_stale(graph) == 1 then
      return true
    end
  end
  return false
end

--- A length that no sample of a host batch exceeds. A graph serves all batches of a class.
function Graphs:longest(host)
  if not self.possible then
    return host.longest
  end
  return math.min(math.ceil(host.longest / CLASS) * CLASS, host.tokens)
end

-- A micro-batch's work, piece by piece.
local Work = {}
Work.__index = Work

--- Begins a micro-batch.
-- @tparam ?string key all that decides which work is done on which memory; nil: it runs plainly
-- @treturn table its work: call `piece` for each piece, then `finish`. `mode`: plain, recorded or
--   replayed
function Graphs:begin(key)
  local shape, mode = key and self.shapes[key], "plain"
  if not key or not self.possible or shape and shape.refused then
    shape = nil
  elseif not shape then
    shape = { rest = self.is_full and 1 or 0, failures = 0 }
    self.shapes[key] = shape
  elseif shape.rest > 0 then
    shape.rest = shape.rest - 1
  elseif shape.graphs and not is_stale(shape) then
    mode = "replayed"
  else
    drop(shape)
    make_room(self)
    shape.graphs, mode = {}, "recorded"
  end
  self.clock = self.clock + 1
  if shape then
    shape.used = self.clock
  end
  self.counts[mode] = self.counts[mode] + 1
  return setmetatable({ owner = self, shape = shape, mode = mode }, Work)
end

-- A graph of what `queue` queues; nil and the reason when that cannot be recorded. The collector
-- rests meanwhile: what it frees, and the waits that this takes, would end the capture.
local function capture(device, queue)
  local out, running = ffi.new("fsam_graph *[1]"), collectgarbage("isrunning")
  collectgarbage("stop")
  local ok, err = lib.fsam_graph_begin(device) == 0, nil
  if ok then
    ok, err = pcall(queue)
    ok = lib.fsam_graph_end(ok and out or nil, device) == 0 and ok
  end
  if running then
    collectgarbage("restart")
  end
  if ok then
    return ffi.gc(out[0], lib.fsam_graph_free)
  end
  return nil, tostring(err or ffi.string(lib.fsam_error()))
end

-- A capture failed. The cause may be gone the next time: memory has grown, or a product is tuned.
-- So the shape runs plainly for a while, longer each time, and after some failures for ever.
local function fail(self, reason)
  local shape, owner = self.shape, self.owner
  drop(shape)
  shape.failures = shape.failures + 1
  shape.rest = 2 ^ shape.failures
  shape.refused = shape.failures >= TRIES
  owner.refusal = reason
  if shape.refused and owner.line == nil then
    owner.line = ("some passes run without a CUDA graph, and slower: %d captures failed: %s")
      :format(TRIES, reason)
  end
end

local shape_counts = ffi.new("int64_t[3]")

-- Records what `queue` queues. Returns false when that cannot be recorded.
local function record(self, name, queue)
  local graph, reason = capture(self.owner.device, queue)
  if not graph then
    fail(self, reason)
    return false
  end
  check(lib.fsam_graph_shape(graph, shape_counts))
  if shape_counts[1] ~= 0 or shape_counts[2] ~= 0 then
    self.owner.counts.unchained = self.owner.counts.unchained + 1
  end
  self.shape.graphs[name] = graph
  return true
end

--- One line when a shape was given up; the first time only, then nil.
function Graphs:remark()
  local line = self.line
  if line then
    self.line = false
  end
  return line or nil
end

--- Does a piece of the micro-batch.
-- @tparam string name
-- @tparam function queue queues the piece's kernels on the device
-- @treturn boolean false: recording failed, and the micro-batch must begin again
function Work:piece(name, queue)
  return self:pieces(name, 1, queue, function() end)
end

--- Does several pieces. Each is a graph of its own, so that other work can be queued between them.
-- All are recorded before the first runs: where recording fails, nothing has.
-- @tparam string name of all together
-- @tparam integer count
-- @tparam function queue queue(n) queues piece n
-- @tparam function after after(n) is called when piece n has been queued
-- @treturn boolean false: recording failed, and the micro-batch must begin again
function Work:pieces(name, count, queue, after)
  if self.mode == "recorded" then
    for n = 1, count do
      if not record(self, name .. n, function() queue(n) end) then
        return false
      end
    end
  end
  for n = 1, count do
    if self.mode == "plain" then
      queue(n)
    else
      check(lib.fsam_graph_run(self.shape.graphs[name .. n]))
    end
    after(n)
  end
  return true
end

--- Ends the micro-batch. A graph writes the gradients that the recorded pass wrote, so after a
-- replay these are the ones that `gradients` (fsam.pass.gradients) has written.
function Work:finish(gradients)
  if self.mode == "recorded" then
    self.shape.written = gradients.written
  elseif self.mode == "replayed" then
    gradients.written = self.shape.written
  end
end

return M
