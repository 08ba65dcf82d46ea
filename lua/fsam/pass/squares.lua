--- Passes whose gradient is Σ_b g_b²: over the samples, the sum of the squares, element by element,
-- of the gradient of a sample's own loss. Owns: which passes can give it. Leaves to others: the
-- kernels (kernels/sample_squares.c), asking for it (fsam.step.passes).
local C = require("fsam.C")
local Tape = require("fsam.pass.tape")
local arguments = require("fsam.base.arguments")
local device_batch = require("fsam.pass.device_batch")
local packing = require("fsam.data.packing")
local ffi, lib = C.ffi, C.lib

local pack = arguments.within(packing.pack)

local M = {}

-- Does the model read some weight several times in a pass? A forward of one token tells.
local function repeats_weights(pass, gradients)
  local model, kind = pass.model, pass.kind
  local classes = model.config.num_labels
  local host = pack({ { ids = { model.pad_id } } }, { pad_id = model.pad_id,
    position_offset = model.position_offset, several = kind.several and classes,
    regression = kind.labels == "f32" and not kind.several or nil })
  lib.fsam_arena_reset(pass.arena)
  gradients:begin()
  local tape = Tape.new({ arena = pass.arena, grads = gradients, squares = true,
    batch = device_batch.send(host, { arena = pass.arena, pass = ffi.new("fsam_pass"), kind = kind,
      classes = classes, longest = host.longest }) })
  model.graph:forward(tape)
  return tape.repeated ~= nil
end

--- Can a pass give squares? Not where a weight is read several times: then a sample's gradient is a
-- sum that is never in one place. Ranks agree about it. The answer is kept in pass.squares.
-- @tparam table pass fsam.pass
-- @tparam table gradients where its gradients go (fsam.pass.gradients)
-- @treturn boolean
function M.possible(pass, gradients)
  if pass.squares == nil then
    pass.model.params:flush()
    pass.squares = not repeats_weights(pass, gradients)
  end
  return pass.squares
end

return M
