--- The life of a fisher- type's mask. Owns: when a new one is due, making it from a policy's
-- values, what it does to a perturbation, and its report. Leaves to others: a policy's values
-- (fsam.mask), choosing the largest of them (fsam.vector.mask). The bits are a named mask of the
-- parameters and live in the checkpoint. A step that is skipped keeps the old mask, and the new one
-- stays due.
local C = require("fsam.C")
local errors = require("fsam.errors")
local finite = require("fsam.step.finite")
local pieces = require("fsam.vector.pieces")
local policies = require("fsam.mask")
local schema = require("fsam.base.schema")
local view = require("fsam.step.view")

local Masking = {}
Masking.__index = Masking

local M = {}

-- The parameters that masks choose from.
local function pool_of(params, options, implied)
  local scope, exclude, pool = options.mask_scope, options.mask_exclude, {}
  pieces.check("--mask-scope", scope, params.parameters)
  if not implied then
    pieces.check("--mask-exclude", exclude, params.parameters)
  end
  for _, parameter in ipairs(params.parameters) do
    if not parameter.frozen and (#scope == 0 or pieces.match(parameter.name, scope))
        and not pieces.match(parameter.name, exclude) then
      pool[#pool + 1] = parameter
    end
  end
  if #pool == 0 then
    errors.raise("--mask-scope %s and --mask-exclude %s leave no parameter to mask",
      #scope > 0 and table.concat(scope, ",") or "(all)",
      #exclude > 0 and table.concat(exclude, ",") or "none")
  end
  return pool
end

--- @tparam table o params; options, those of masks, complete; seed; sampler, as `build` of
--   fsam.step gets it; exclude_implied: mask_exclude is not the user's own and may name what the
--   model does not have
-- @raise when a piece of a name matches nothing, or nothing is left to mask
function M.new(o)
  local policy = policies.get(o.options.fisher)
  return setmetatable({
    params = o.params,
    options = o.options,
    sampler = o.sampler,
    seed = o.seed,
    policy = policy,
    s = view.new({ params = o.params, spec = policy, prefix = "mask.", options = o.options,
      declared = policies.options, seed = o.seed }),
    pool = pool_of(o.params, o.options, o.exclude_implied),
    mask = o.params:mask("mask"),
    due = true,
    made = false,
  }, Masking)
end

-- Is a new mask due at this step, and not made yet? Every mask_iter_e steps, first at step 0.
local function is_due(self, step)
  if step % self.options.mask_iter_e == 0 then
    self.due = true
  end
  return self.due and not self.news
end

-- Makes a mask from the policy's values; this step uses it. `keep` ends its being due.
local function refresh(self, s, passes)
  local began = C.lib.fsam_clock()
  local what = "the loss or gradient of a mask's sample"
  view.begin(self.s, view.fields(s), passes)
  local values = self.policy.values(self.s, {
    params = self.params, sampler = self.sampler, seed = self.seed,
    evaluate = function(request) return (passes:run(request, what)) end,
    -- Into g, which the step's first pass will write anew.
    squares = function(batches)
      return passes:squares({ batches = batches, into = self.params.g, sum = "fisher" }, what)
    end,
    finite = function(x) return finite.check(x, what) end,
  })
  self.mask:top(values, {
    keep_ratio = self.options.keep_ratio,
    pool = self.pool,
    per = self.options.mask_per == "tensor" and "tensor" or nil,
    unmasked = self.options.unmasked,
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

--- Before the step's first pass, at w: makes the mask that is due if its policy has passes.
-- @tparam table s what the type sees
-- @tparam table passes fsam.step.passes
function Masking:before_gradient(s, passes)
  if is_due(self, s.step) and self.policy.passes then
    refresh(self, s, passes)
  end
end

--- Must the first pass of this step give every weight gradient, since a mask is made from it?
function Masking:needs_all(step)
  return is_due(self, step)
end

--- After the first pass: makes the mask that is due, from this gradient.
function Masking:after_gradient(s, passes)
  if is_due(self, s.step) then
    passes:check()
    refresh(self, s, passes)
  end
end

--- The masked perturbation m ⊙ e; with --renorm it has the length of e.
function Masking:apply(e)
  local masked = self.mask * e
  return self.options.renorm and masked * (e:norm() / masked:norm()) or masked
end

--- The step will be committed: the mask that it made is no longer due.
function Masking:keep()
  if self.news then
    self.due, self.made = false, true
  end
end

--- The step was discarded: so is the mask that it made.
function Masking:drop()
  self.news = nil
end

--- The report of a mask that this step made, once.
-- @treturn ?table density (of all trainable parameters), parameters (name → density), overlap (the
--   share of the last mask that this one keeps; nil for the first), seconds; nil when this step
--   made none
function Masking:report()
  local news = self.news
  self.news = nil
  return news
end

--- For the checkpoint: is a mask due, is there one, and how much of the last one did it keep?
function Masking:state()
  return { due = self.due, made = self.made, overlap = self.overlap }
end

local STATE = schema.record({ due = schema.boolean, made = schema.boolean,
  overlap = schema.optional(schema.number()) })

--- The inverse of state().
-- @raise one line when it is not what state() gives
function Masking:restore(state)
  schema.check(state, STATE, "trainer.json is damaged", "optimizer.masking")
  self.due, self.made, self.overlap = state.due, state.made, state.overlap
end

--- The masking of a type without a mask: e stays whole.
M.NONE = {
  before_gradient = function() end,
  needs_all = function() return false end,
  after_gradient = function() end,
  apply = function(_, e) return e end,
  keep = function() end,
  drop = function() end,
  report = function() end,
  state = function() end,
  restore = function() end,
}

return M
