--- Passes that a GPU runs as a whole. A pass of a new shape runs as it is, the second of that shape
-- is recorded, and later ones are run from the recording, each piece with one launch (D1). Owns:
-- which shapes are known, and when a recording is made, used and given up. Leaves to others: what a
-- pass does (fsam.pass), what recording means (engine/graph.c).
local C = require("fsam.C")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local MOST = 64 -- shapes whose recordings are kept

local Recordings = {}
Recordings.__index = Recordings

--- @tparam cdata device fsam_device
-- @treturn table the recordings of one pass; `counts`: micro-batches run as they are (plain),
--   recorded and run from a recording (replayed); `refusal`: why the last one that was to be
--   recorded was not, or nil
function M.new(device)
  return setmetatable({ device = device, possible = lib.fsam_graph_possible(device) == 1,
    shapes = {}, clock = 0, counts = { plain = 0, recorded = 0, replayed = 0 } }, Recordings)
end

local function drop(shape)
  for _, piece in pairs(shape.pieces or {}) do
    lib.fsam_graph_free(ffi.gc(piece.graph, nil))
  end
  shape.pieces = nil
end

-- Room for one more: the recording that was not used for the longest time goes.
local function make_room(self)
  local oldest, count = nil, 0
  for _, shape in pairs(self.shapes) do
    if shape.pieces then
      count = count + 1
      oldest = (not oldest or shape.used < oldest.used) and shape or oldest
    end
  end
  if count >= MOST then
    drop(oldest)
  end
end

local function is_stale(shape)
  for _, piece in pairs(shape.pieces) do
    if lib.fsam_graph_stale(piece.graph) == 1 then
      return true
    end
  end
  return false
end

local Run = {}
Run.__index = Run

--- Begins a micro-batch.
-- @tparam ?string key all that decides which work is done on which memory; nil: as it is
-- @treturn table run: `piece` does its pieces; `mode`: plain, recorded or replayed
function Recordings:begin(key)
  local shape, mode = key and self.shapes[key], "plain"
  if not key or not self.possible or shape and shape.refused then
    shape = nil
  elseif not shape then
    shape = {}
    self.shapes[key] = shape
  elseif shape.pieces and not is_stale(shape) then
    mode = "replayed"
  else
    drop(shape)
    make_room(self)
    shape.pieces, mode = {}, "recorded"
  end
  self.clock = self.clock + 1
  if shape then
    shape.used = self.clock
  end
  self.counts[mode] = self.counts[mode] + 1
  return setmetatable({ owner = self, shape = shape, mode = mode }, Run)
end

-- Which parts of a piece nobody wants: those that make only gradients of `skip`.
local function left_out(parts, skip)
  if not skip or next(skip) == nil or #parts == 0 then
    return nil
  end
  local out = ffi.new("uint8_t[?]", #parts)
  for i, views in ipairs(parts) do
    out[i - 1] = 1
    for _, view in ipairs(views) do
      for _, parameter in ipairs(view.parameters) do
        if not (parameter.frozen or skip[parameter]) then
          out[i - 1] = 0
        end
      end
    end
  end
  return out
end

-- Records what `work` queues, and queues it. False when it cannot be recorded: the shape is given
-- up, and nothing has been done.
local function record(self, name, work, skip)
  local device, out = self.owner.device, ffi.new("fsam_graph *[1]")
  local notes = { device = device, parts = {}, written = {} }
  check(lib.fsam_graph_begin(device))
  local ok, err = pcall(work, notes)
  if lib.fsam_graph_end(ok and out or nil, device) < 0 or not ok then
    drop(self.shape)
    self.shape.refused = true
    self.owner.refusal = ok and ffi.string(lib.fsam_error()) or tostring(err)
    return false
  end
  local piece = { graph = ffi.gc(out[0], lib.fsam_graph_free), notes = notes }
  self.shape.pieces[name] = piece
  check(lib.fsam_graph_run(piece.graph, left_out(notes.parts, skip)))
  return true
end

--- Does a piece of the micro-batch.
-- @tparam string name
-- @tparam function work queues it; in a recording it is given notes: `parts` and `written`
-- @tparam[opt] table grads of a piece that makes gradients (fsam.pass.gradients)
-- @treturn boolean false: it cannot be recorded, and the micro-batch must be begun again
function Run:piece(name, work, grads)
  local skip = grads and grads.skip
  if self.mode == "plain" then
    work()
    return true
  elseif self.mode == "replayed" then
    local piece = self.shape.pieces[name]
    check(lib.fsam_graph_run(piece.graph, left_out(piece.notes.parts, skip)))
  else
    local done
    if grads then
      grads:whole(function()
        done = record(self, name, work, skip)
      end)
    else
      done = record(self, name, work)
    end
    if not done then
      return false
    end
  end
  if grads then
    grads:wrote(self.shape.pieces[name].notes.written)
  end
  return true
end

return M
