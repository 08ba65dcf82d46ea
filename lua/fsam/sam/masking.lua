--- The life of a fisher- type's mask: when a new one is due, how it is made from a policy's values,
-- and what is told about it. The bits are a mask of fsam.params and live in the checkpoint; a step
-- that is skipped keeps the old mask, and the new one stays due.
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

--- @tparam table params sealed parameters
-- @tparam table options values of policies.options
-- @tparam function sampler (fsam.optim.build)
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
    made = false,
  }, Masking)
end

--- Is a new mask due at this step? Every mask_iter_e steps, first at step 0.
function Masking:is_due(step)
  if step % (self.options.mask_iter_e or 100) == 0 then
    self.due = true
  end
  return self.due
end

--- Makes a mask from the policy's values; this step uses it. `keep` ends its being due.
function Masking:refresh(s, context)
  local began = C.lib.fsam_clock()
  context.sampler = self.sampler
  local values = self.policy.values(s, context)
  self.mask:top(values, {
    keep_ratio = self.options.keep_ratio or 0.1,
    pool = self.pool,
    per = self.options.mask_per == "tensor" and "tensor" or nil,
    unmasked = self.options.unmasked or "none",
  })
  local density, by_segment = self.mask:density()
  self.news = {
    seconds = C.lib.fsam_clock() - began,
    density = density,
    segments = by_segment,
    overlap = self.made and self.mask:change() or nil,
  }
end

--- The step is going to be committed: the mask that it made is no longer due.
function Masking:keep()
  if self.news then
    self.due, self.made = false, true
  end
end

--- What is told of a mask made on this step: density (of all trainable parameters), segments (name
-- → density), overlap with the last mask (share of it that is kept; nil for the first), seconds.
-- @treturn table|nil nil when this step made none
function Masking:report()
  local news = self.news
  self.news = nil
  return news
end

--- Whether a mask is due, and whether there is one: for the checkpoint.
function Masking:state()
  return { due = self.due, made = self.made }
end

function Masking:restore(state)
  self.due, self.made = state.due, state.made
end

return M
