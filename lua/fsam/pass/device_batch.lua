--- A host batch (fsam.data.packing) on the device. Owns: how its arrays lie there, side by side in
-- one tensor, so that they are sent at once. Leaves to others: what is in them.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local ffi, lib = C.ffi, C.lib

local M = {}

local ints, floats = ffi.typeof("int32_t[?]"), ffi.typeof("float[?]")
local LINE = 16 -- every array starts at a multiple of 64 bytes

local function counting(count)
  local list = ints(count)
  for i = 0, count - 1 do
    list[i] = i
  end
  return list
end

-- The batch that has the first row of each sample of another and nothing else: sample b is row b.
-- So a row of it draws the dropout that it draws in the other. `numbers`, on the device: 0 … B.
local function first_rows(batch, numbers)
  local rows = ffi.new("fsam_batch", batch)
  rows.ids, rows.positions, rows.token_types = nil, nil, nil
  rows.sample, rows.starts = numbers, numbers
  rows.tokens, rows.longest = batch.samples, 1
  return rows
end

--- The first rows of the samples of a batch, as a batch: a tensor with a row for each sample has
-- these.
-- @tparam cdata arena
-- @tparam cdata batch fsam_batch
-- @treturn cdata fsam_batch
function M.first_rows(arena, batch)
  local count = batch.samples + 1
  local numbers = Tensor.new(arena, "i32", { count }, "first rows"):write(counting(count))
  return first_rows(batch, ffi.cast("const int32_t *", numbers.data))
end

--- Sends a batch.
-- @tparam table host of `samples` samples
-- @tparam table o arena, of the step; pass (fsam_pass); kind, a row of fsam.pass.losses; classes,
--   the model's labels; settings, nil or the training loss's smoothing and weights; tokens, at
--   least those of the host batch (default): the rest is more of its tail; longest, a length that
--   no sample exceeds
-- @treturn cdata fsam_batch
-- @treturn cdata the labels, [B] or [B,C]
-- @treturn ?table the settings, with the weights of the classes as a tensor [C]
-- @treturn cdata the first rows of its samples, an fsam_batch
function M.send(host, o)
  local tokens, samples, loss, settings = o.tokens or host.tokens, host.samples, o.kind, o.settings
  local shape = { samples, loss.several and o.classes or nil }
  local weights = settings and settings.weights or {}
  local source = { pass = o.pass, weights = floats(math.max(1, #weights), weights),
    numbers = counting(samples + 1) }
  local parts = {
    { "ids", tokens, host.tokens }, { "positions", tokens, host.tokens },
    { "token_types", tokens, host.tokens }, { "sample", tokens, host.tokens },
    { "starts", samples + 1 }, { "ordinals", samples }, { "pass", 4 },
    { loss.labels == "f32" and "targets" or "labels", samples * (shape[2] or 1) },
    { "weights", #weights }, { "numbers", samples + 1 },
  }
  local total = 0
  for _, part in ipairs(parts) do
    part.at = total
    total = total + math.ceil(part[2] / LINE) * LINE
  end
  local block = ints(total)
  for _, part in ipairs(parts) do
    ffi.copy(block + part.at, source[part[1]] or host[part[1]], (part[3] or part[2]) * 4)
  end
  for row = host.tokens, tokens - 1 do
    block[parts[1].at + row], block[parts[4].at + row] = host.options.pad_id, -1
  end
  local whole = Tensor.new(o.arena, "i32", { total }, "batch"):write(block)
  local device, first = ffi.new("fsam_batch"), ffi.cast("const int32_t *", whole.data)
  for i = 1, 6 do
    device[parts[i][1]] = first + parts[i].at
  end
  device.pass = ffi.cast("const fsam_pass *", first + parts[7].at)
  device.tokens, device.samples, device.longest = tokens, samples, o.longest
  local rows = first_rows(device, first + parts[10].at)
  local labels = whole:view(shape, parts[8].at, parts[8][1])
  labels.dtype = loss.labels == "f32" and lib.FSAM_F32 or lib.FSAM_I32
  if #weights == 0 then
    return device, labels, settings, rows
  end
  local view = whole:view({ #weights }, parts[9].at, parts[9][1])
  view.dtype = lib.FSAM_F32
  return device, labels, { weights = view, smoothing = settings.smoothing }, rows
end

return M
