--- The life of a fisher- type's mask: when a new one is due, how it is made from a policy's values, and
-- what is told about it. The bits are a mask of fsam.params and live in the checkpoint; a step that is
-- skipped keeps the old mask, and the new one stays due.
local C = require("fsam.C")
local policies = require("fsam.sam.policies")

local Masking = {}
Masking.__index = Masking

local M = {}

local function in_scope(name, scope)
  for _, piece in ipairs(scope) do
    if name:find(piece, 1, true) then
      return true
    end
  end
  return #scope == 0
end

--- @tparam table params; @tparam table options values of policies.options; @tparam function sampler;
-- @tparam integer seed
function M.new(params, options, sampler, seed)
  local pool = {}
  for _, segment in ipairs(params.segments) do
    if not segment.frozen and in_scope(segment.name, options.mask_scope or {}) then
      pool[#pool + 1] = segment
    end
  end
  return setmetatable({
    params = params,
    options = options,
    sampler = sampler,
    seed = seed,
    policy = policies.get(options.fisher or "sample"),
    pool = pool,
    mask = params:mask("mask"),
    due = true,
  }, Masking)
end

--- Is a new mask due at this step? Every mask_iter_e steps, first at step 0.
function Masking:is_due(step)
  if step % (self.options.mask_iter_e or 100) == 0 then
    self.due = true
  end
  return self.due
end

--- Makes a mask from the policy's values and uses it from here on; `keep` makes it permanent.
function Masking:refresh(s, context)
  local began = C.lib.fsam_clock()
  context.sampler = self.sampler
  local values = self.policy.values(s, context)
  self.fresh = self.mask:top(values, {
    keep_ratio = self.options.keep_ratio or 0.1,
    pool = self.pool,
    per = self.options.mask_per == "tensor" and "tensor" or nil,
    unmasked = self.options.unmasked or "none",
  })
  self.due = false
  self.seconds = C.lib.fsam_clock() - began
end

return M
