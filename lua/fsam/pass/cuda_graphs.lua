--- CUDA graphs of passes. A graph is recorded work that a GPU runs with one launch. A micro-batch
-- of a new shape runs plainly, the second of that shape is recorded, and later ones run from their
-- graphs, one for each piece. What cannot be recorded runs plainly, and is tried again later a few
-- times. Owns: which shapes there are and which are known, when graphs are made, used and given up.
-- Leaves to others: what a pass does (fsam.pass), how the device records (engine/graph.c).
local C = require("fsam.C")
local devices = require("fsam.base.device")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local MOST = 256 -- shapes whose graphs are kept
local MOST_NODES = 2 ^ 17 -- of all graphs that are kept: each takes a few KB of the GPU's memory
local TRIES = 3 -- captures of a shape that may fail before it is given up
-- A batch's sizes are rounded up to few, so that few graphs serve all: to multiples of LEAST, and
-- in each octave to this many steps. Lengths have few: blocks of attention beyond a sample's end
-- take no time. Where no sample has more than LEAST tokens, attention is another, faster one.
local LEAST, TOKEN_STEPS, LENGTH_STEPS = 32, 16, 2
-- With more tokens a product fills the GPU, and none gains from another beside it.
local FEW = 4096

local Graphs = {}
Graphs.__index = Graphs

--- @tparam cdata device fsam_device
-- @tparam[opt=0] integer spare rows that a batch has behind its samples, on a GPU, at least
-- @treturn table the graphs of one Pass; `counts`: micro-batches that ran plainly, were recorded,
--   or ran from graphs (replayed), and graphs whose work was queued in order and yet is no chain in
--   which each part waits for the one before (unchained); `refusal`: why recording failed the last
--   time it did, or nil
function M.new(device, spare)
  return setmetatable({ device = device, possible = lib.fsam_graph_possible(device) == 1,
    rounds = devices.is_gpu(device), spare = spare or 0, shapes = {}, clock = 0,
    nodes = 0, most_nodes = MOST_NODES, -- of all graphs that are kept
    counts = { plain = 0, recorded = 0, replayed = 0, unchained = 0 } }, Graphs)
end

local function drop(self, shape)
  for _, graph in pairs(shape.graphs or {}) do
    lib.fsam_graph_free(ffi.gc(graph, nil))
  end
  self.nodes = self.nodes - (shape.nodes or 0)
  shape.graphs, shape.nodes = nil, nil
end

-- How many shapes have graphs, and the one of them that was used longest ago, but for `spared`.
local function kept(self, spared)
  local oldest, count = nil, 0
  for _, shape in pairs(self.shapes) do
    if shape.graphs then
      count = count + 1
      if shape ~= spared and (not oldest or shape.used < oldest.used) then
        oldest = shape
      end
    end
  end
  return count, oldest
end

-- Makes room for so many more: where there are too many, the shapes that were used longest ago lose
-- their graphs. From then on a shape runs plainly once more before it is recorded: recording costs
-- more than a pass, and shapes that come in turn, more of them than fit, would pay for it every
-- time.
local function make_room(self, places, spared)
  local count, oldest = kept(self, spared)
  while oldest and (count + places > MOST or self.nodes > self.most_nodes) do
    drop(self, oldest)
    oldest.rest, self.is_full = 1, true
    count, oldest = kept(self, spared)
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

-- n, rounded up to a multiple of LEAST, and of its octave's part that `steps` are an octave.
local function round_up(n, steps)
  local _, exponent = math.frexp(math.max(n, 1) - 0.5)
  local step = math.max(LEAST, 2 ^ (exponent - 1) / steps)
  return math.ceil(math.max(n, 1) / step) * step
end

--- How many tokens a host batch has on the device. On a GPU these are the same whether or not
-- passes are recorded, and so are the bits.
function Graphs:tokens(host)
  return self.rounds and round_up(host.tokens + self.spare, TOKEN_STEPS) or host.tokens
end

--- A length that no sample of a host batch exceeds.
function Graphs:longest(host)
  return self.rounds and math.min(round_up(host.longest, LENGTH_STEPS), self:tokens(host))
    or host.longest
end

--- The device where work of a pass over so many tokens may go beside other work; nil where that is
-- impossible, or gains nothing.
function Graphs:beside(tokens)
  return self.possible and tokens <= FEW and self.device or nil
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
    drop(self, shape)
    make_room(self, 1)
    shape.graphs, shape.nodes, mode = {}, 0, "recorded"
  end
  self.clock = self.clock + 1
  if shape then
    shape.used = self.clock
  end
  self.counts[mode] = self.counts[mode] + 1
  return setmetatable({ owner = self, shape = shape, mode = mode }, Work)
end

-- A graph of what queue(n) queues, and what that returns; or nil and the reason when it cannot be
-- recorded. The collector rests meanwhile, so that what it frees need not be kept for later; where
-- it had begun to call finalizers it goes on all the same, and engine/late.c keeps it.
local function capture(device, queue, n)
  local out, running = ffi.new("fsam_graph *[1]"), collectgarbage("isrunning")
  collectgarbage("stop")
  local ok, result = lib.fsam_graph_begin(device) == 0, nil
  if ok then
    ok, result = pcall(queue, n)
    if lib.fsam_graph_end(ok and out or nil, device) < 0 then
      ok, result = false, nil
    end
  end
  if running then
    collectgarbage("restart")
  end
  if ok then
    return ffi.gc(out[0], lib.fsam_graph_free), result
  end
  return nil, tostring(result or ffi.string(lib.fsam_error()))
end

-- A capture failed. The cause may be gone the next time: memory has grown, or a product is tuned.
-- So the shape runs plainly for a while, longer each time, and after some failures for ever.
local function fail(self, reason)
  local shape, owner = self.shape, self.owner
  drop(owner, shape)
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

-- Records what queue(n) queues. Returns false when that cannot be recorded.
local function record(self, name, queue, n)
  local owner, shape = self.owner, self.shape
  local graph, parts = capture(owner.device, queue, n)
  if not graph then
    fail(self, parts)
    return false
  end
  check(lib.fsam_graph_shape(graph, shape_counts))
  if not parts and shape_counts[1] ~= 0 or shape_counts[2] ~= 0 then
    owner.counts.unchained = owner.counts.unchained + 1
  end
  shape.graphs[name] = graph
  shape.nodes = shape.nodes + tonumber(shape_counts[0])
  owner.nodes = owner.nodes + tonumber(shape_counts[0])
  make_room(owner, 0, shape)
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
-- @tparam function queue queues the piece's kernels on the device; returns true where some of them
--   went beside others
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
      if not record(self, name .. n, queue, n) then
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
-- replay these are the ones that `gradients` (fsam.pass.gradients) has written, and squared.
function Work:finish(gradients)
  if self.mode == "recorded" then
    self.shape.written, self.shape.squared = gradients.written, gradients.squared
  elseif self.mode == "replayed" then
    gradients.written, gradients.squared = self.shape.written, self.shape.squared
  end
end

return M
