--- c, the working copy that passes read: every parameter of w, rounded. Owns: how c lies in memory,
-- rounding all of w into it, and putting that off until c is used. Leaves to others: programs that
-- write c beside an update, and what c holds within a step (fsam.step).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local code = require("fsam.vector.instructions")
local storage = require("fsam.vector.storage")

local lib = C.lib

local M = {}

--- A new one, of params.compute: one piece of memory, bf16[act] and then f32[total - act], or
-- f32[total]. Leaves in params c_act and c_rest, tensors of the two parts.
-- @treturn table the named thing c
function M.new(params)
  if params.compute == "f32" then
    params.c_act = Tensor.new(params.parameter_arena, "f32", { params.total }, "c", true)
    return storage.new(params, "c", code.F32, false, params.c_act, params.c_act.data)
  end
  local rest = params.total - params.act
  local all = Tensor.new(params.parameter_arena, "bf16", { params.act + 2 * rest }, "c", true)
  params.c_act = all:view({ params.act }, 0, "c")
  local bytes = all:view({ 2 * rest }, params.act, "c")
  params.c_rest = all:view({ rest }, 0, "c")
  params.c_rest.dtype, params.c_rest.data = lib.FSAM_F32, bytes.data
  return storage.new(params, "c", code.ACT, false, all, all.data)
end

-- Copies elements of w [first, first + count) to where c has them, rounded; w's memory begins at
-- element `origin`.
local function round_part(to, to_first, w, origin, first, count)
  if count > 0 then
    to:view({ count }, first - to_first):copy(w:view({ count }, first - origin))
  end
end

--- c ← round(w), of the elements that this process holds.
function M.round(params)
  params.copy_waits = false
  local share, w = params.share, params.w.raw
  local from = share and share.first or 0
  local to = share and from + share.count or params.total
  local split = params.c_rest and math.max(from, math.min(to, params.act)) or to
  round_part(params.c_act, 0, w, from, from, split - from)
  round_part(params.c_rest, params.act, w, from, split, to - split)
end

--- c ← round(w) when c is next used: a checkpoint that is only converted, looked at or overwritten
-- by a run's state needs no second copy in memory, and the passes of a run fill it with all
-- threads.
function M.postpone(params)
  params.copy_waits = true
end

--- Whatever reads c's memory, or lets programs run, calls this first.
function M.settle(params)
  if params.copy_waits then
    M.round(params)
  end
end

return M
