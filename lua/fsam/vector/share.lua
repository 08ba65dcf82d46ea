--- One process's share of a model's vectors, where several that train together hold a part of the
-- weights and the state each (--shard-state). All persistent and transient vectors and masks are in
-- shares; the working copy is whole, because passes read all of it.
--
-- One vector is whole besides: the exchange, in which a pass leaves its gradient, in which loading
-- puts the weights, and in which others look at a vector. What it holds is good until the next of
-- these. All that moves values between the ranks is a collective.
--
-- Owns: where the shares begin, the exchange, and these moves. Leaves to others: the memory of the
-- shares (params.lua), running a program on a share (the library), the collectives (fsam.ranks).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local code = require("fsam.vector.instructions")

local ffi, lib, check = C.ffi, C.lib, C.check
local starts_of = ffi.typeof("int64_t[?]")
local bytes_at = ffi.typeof("char *")

local Share = {}
Share.__index = Share

local M = {}

-- Starts in units of the tensor that is exchanged: `convert` gives one from elements.
local function converted(self, convert)
  local out = starts_of(self.ranks.size + 1)
  for rank = 0, self.ranks.size do
    out[rank] = convert(tonumber(self.starts[rank]))
  end
  return out
end

--- The share of this process.
-- @tparam cdata device fsam_device
-- @tparam cdata layout fsam_layout, which runs on this share from now on
-- @tparam table ranks fsam.ranks, more than one
-- @tparam cdata arena fsam_arena of the exchange
-- @tparam integer total, act elements of a vector, and of the working copy's bf16 block (0: none)
-- @raise one line on a GPU without NCCL, and where the model has too few blocks
function M.new(device, layout, ranks, arena, total, act)
  local self = setmetatable({ ranks = ranks, starts = starts_of(ranks.size + 1) }, Share)
  if ranks.parts then
    ranks.parts.possible(device) -- all decide by it which way sums go
  end
  check(lib.fsam_layout_share(layout, ranks.rank, ranks.size, self.starts))
  self.first = tonumber(self.starts[ranks.rank])
  self.count = tonumber(self.starts[ranks.rank + 1]) - self.first
  self.exchange = Tensor.new(arena, "f32", { total }, "exchange", true)
  self.bit_starts = converted(self, function(at) return at / 32 end)
  self.copy_starts = converted(self, function(at)
    return act > 0 and at + math.max(at - act, 0) or at
  end)
  return self
end

--- Where element 0 of a vector or mask would be, whose share begins at a pointer.
-- @tparam cdata tensor the share: f32, or i32 with 32 elements each
-- @treturn cdata char *
function Share:origin(tensor)
  local elements = tensor.dtype == lib.FSAM_I32 and 32 or 1
  return ffi.cast(bytes_at, tensor.data) - 4 * self.first / elements
end

-- The part of the exchange that stands for a storage; whole, and this process's share of it.
local function places(self, storage)
  if storage.class ~= code.BITS then
    return self.exchange, self.exchange:view({ self.count }, self.first, storage.name)
  end
  local whole = self.exchange:view({ self.exchange:count() / 32 }, 0, storage.name)
  whole.dtype = lib.FSAM_I32
  return whole, whole:view({ self.count / 32 }, self.first / 32, storage.name)
end

--- Fills a vector's or mask's share from what the exchange holds.
function Share:take(storage)
  local _, own = places(self, storage)
  storage.raw:copy(own)
end

--- The whole of a vector or mask, in the exchange: a collective.
-- @treturn cdata tensor, f32 [total] or i32 [total / 32]
function Share:gather(storage)
  local whole, own = places(self, storage)
  own:copy(storage.raw)
  self.ranks.all_gather(whole, storage.class == code.BITS and self.bit_starts or self.starts)
  return whole
end

--- Memory for a vector or mask before it is filled as a whole; `take` keeps this process's part.
function Share:place(storage)
  return (places(self, storage))
end

--- Sums the gradients in the ranks' exchanges; each rank keeps its part of the sum in the vector.
-- @tparam table storage
-- @tparam boolean summed they need no sum: it is there, or all ranks have the same gradient
function Share:receive(storage, summed)
  if not summed then
    self.ranks.reduce_scatter(self.exchange, self.starts)
  end
  self:take(storage)
end

--- Every rank has written its part of the working copy: now all get all of it.
-- @tparam cdata copy the whole working copy, as one tensor
function Share:gather_copy(copy)
  self.ranks.all_gather(copy, self.copy_starts)
end

--- 64 bits that stand for the working copy's bytes (Tensor.hash), which are the same on all ranks.
function Share.hash(_, copy)
  local half = copy.dtype == lib.FSAM_BF16
  local words = copy:view({ copy:count() / (half and 2 or 1) }, 0, "c")
  words.dtype = lib.FSAM_I32
  return words:hash()
end

return M
