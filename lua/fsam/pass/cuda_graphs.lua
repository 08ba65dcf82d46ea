--- CUDA graphs of passes. A graph is recorded work that a GPU runs with one launch. A micro-batch
-- of a new shape runs plainly, the second of that shape is recorded, and later ones run from their
-- graphs, one for each piece. Owns: which shapes are known, and when graphs are made, used and
-- given up. Leaves to others: what a pass does (fsam.pass), how the device records
-- (engine/graph.c).
local C = require("fsam.C")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local MOST = 64 -- shapes whose graphs are kept

local Graphs = {}
Graphs.__index = Graphs

--- @tparam cdata device fsam_device
-- @treturn table the graphs of one Pass; `counts`: micro-batches that ran plainly, were recorded,
--   or ran from graphs (replayed); `refusal`: why recording failed the last time it did, or nil
function M.new(device)
  return setmetatable({ device = device, possible = lib.fsam_graph_possible(device) == 1,
    shapes = {}, clock = 0, counts = { plain = 0, recorded = 0, replayed = 0 } }, Graphs)
end

local function drop(shape)
  for _, graph in pairs(shape.graphs or {}) do
    lib.fsam_graph_free(ffi.gc(graph, nil))
  end
  shape.graphs = nil
end

-- Makes room for one more: where there are too many, the shape that was used longest ago loses its
-- graphs.
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
    shape = {}
    self.shapes[key] = shape
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

-- Records what `queue` queues. Returns false when that cannot be recorded: then the shape is given
-- up.
local function record(self, name, queue)
  local device, out = self.owner.device, ffi.new("fsam_graph *[1]")
  check(lib.fsam_graph_begin(device))
  local ok, err = pcall(queue)
  if lib.fsam_graph_end(ok and out or nil, device) < 0 or not ok then
    drop(self.shape)
    self.shape.refused = true
    self.owner.refusal = ok and ffi.string(lib.fsam_error()) or tostring(err)
    return false
  end
  local graph = ffi.gc(out[0], lib.fsam_graph_free)
  self.shape.graphs[name] = graph
  return true
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
