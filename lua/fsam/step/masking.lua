--- The life of a fisher- type's mask: when a new one is due, how it is made from a policy's values,
-- what it does to a perturbation, and what is told about it. The bits are a mask of fsam.params and
-- live in the checkpoint; a step that is skipped keeps the old mask, and the new one stays due.
local C = require("fsam.C")
local errors = require("fsam.errors")
local matches = require("fsam.vector.params").matches
local policies = require("fsam.mask")

local Masking = {}
Masking.__index = Masking

local M = {}

-- The parameters that masks choose from.
local function pool_of(params, options)
  local scope, exclude, pool = options.mask_scope or {}, options.mask_exclude or {}, {}
  local found = {}
  for _, parameter in ipairs(params.parameters) do
    for _, piece in ipairs(scope) do
      found[piece] = found[piece] or matches(parameter.name, { piece })
    end
    if not parameter.frozen and (#scope == 0 or matches(parameter.name, scope))
        and not matches(parameter.name, exclude) then
      pool[#pool + 1] = parameter
    end
  end
  for _, piece in ipairs(scope) do
    if not found[piece] then
      errors.raise("--mask-scope %s is part of no parameter's name; names look like %s", piece,
        params.parameters[1].name)
    end
  end
  if #pool == 0 then
    errors.raise("--mask-scope %s and --mask-exclude %s leave no parameter to mask",
      #scope > 0 and table.concat(scope, ",") or "(all)",
      #exclude > 0 and table.concat(exclude, ",") or "none")
  end
  return pool
end

--- @tparam table o params; options (values of policies.options); sampler (fsam.optim.build); seed;
--   base and type, definitions
-- @raise when nothing is left to mask, or the policy needs what the base does not keep
function M.new(o)
  local policy = policies.get(o.options.fisher or "sample")
  policies.check(policy, o.base, o.type)
  return setmetatable({
    params = o.params,
    options = o.options,
    sampler = o.sampler,
    seed = o.seed,
    policy = policy,
    pool = pool_of(o.params, o.options),
    mask = o.params:mask("mask"),
    due = true,
    made = false,
  }, Masking)
end

--- Is a new mask due at this step, and not made yet? Every mask_iter_e steps, first at step 0.
function Masking:is_due(step)
  if step % (self.options.mask_iter_e or 100) == 0 then
    self.due = true
  end
  return self.due and not self.news
end

--- Must the first pass of this step give every weight gradient, since a mask is made from it?
function Masking:wants_all(step)
  return self:is_due(step) and self.options.mask_gradient ~= "partial"
end

--- Does this step, which has made a mask, go on as if its first gradient were 0?
function Masking:is_pause()
  return self.news ~= nil and self.options.mask_steps == "plain"
end

--- The perturbation that is left of e.
function Masking:apply(e)
  local masked = self.mask * e
  if self.options.renorm then
    masked = masked * (e:norm() / masked:norm())
  end
  if self.options.mask_scale == "keep-ratio" then
    masked = masked * (1 / (self.options.keep_ratio or 0.1))
  end
  return masked
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
  local density, by_parameter = self.mask:density()
  self.overlap = self.made and self.mask:change() or nil
  self.news = {
    seconds = C.lib.fsam_clock() - began,
    density = density,
    parameters = by_parameter,
    overlap = self.overlap,
  }
end

--- The step is going to be committed: the mask that it made is no longer due.
function Masking:keep()
  if self.news then
    self.due, self.made = false, true
  end
end

--- The step was discarded: so is the mask that it made.
function Masking:drop()
  self.news = nil
end

--- What is told of a mask made on this step: density (of all trainable parameters), parameters
-- (name → density), overlap with the last mask (share of it that is kept; nil for the first),
-- seconds.
-- @treturn table|nil nil when this step made none
function Masking:report()
  local news = self.news
  self.news = nil
  return news
end

--- Whether a mask is due, whether there is one, and what was told of it: for the checkpoint.
function Masking:state()
  return { due = self.due, made = self.made, overlap = self.overlap }
end

function Masking:restore(state)
  self.due, self.made, self.overlap = state.due, state.made, state.overlap
end

return M
