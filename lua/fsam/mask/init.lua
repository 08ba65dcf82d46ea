--- Mask policies choose the weights that a fisher- type may perturb. A policy gives every weight a
-- value; the weights with the largest values are in the mask. Owns: the values' definitions and the
-- options that all policies share. Leaves to others: selection (fsam.vector.mask), when a mask is
-- due and how long it lives (fsam.step.masking).
--
--   sample   the empirical Fisher information, Σ_i g_i² over single training samples (Zhong et al.
--            2022; Mi et al. 2022): passes of its own, at w
--   batch    g² of the step's first gradient
--   adam     β2 v + (1 − β2) g²: what Adam's second moment will be, at no cost
--   magnitude  |w|
--   random   by seed and step
-- A policy with `passes` runs before the step's first pass; the others run after it and may use its
-- gradient.
local arguments = require("fsam.base.arguments")
local define = require("fsam.define")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

local register = registry.new()

M.options = {
  { name = "fisher", type = "string", default = "sample", metavar = "POLICY", group = "Masks",
    help = "what makes a weight important: sample (per-sample Fisher), batch, adam, magnitude, "
      .. "random" },
  { name = "keep_ratio", type = "number", default = 0.1, above = 0, max = 1, group = "Masks",
    help = "share of the weights that are perturbed" },
  { name = "mask_iter_e", type = "integer", default = 100, min = 1, group = "Masks",
    help = "updates between two masks" },
  { name = "num_samples", type = "integer", default = 32, min = 1, group = "Masks",
    help = "training samples that the policy sample looks at" },
  { name = "mask_scope", type = "list", default = {}, metavar = "NAMES", group = "Masks",
    help = "only these parameters are masked, by pieces of their names; default: all" },
  { name = "mask_exclude", type = "list", default = {}, metavar = "NAMES", group = "Masks",
    help = "these parameters are not masked, by pieces of their names" },
  { name = "mask_per", type = "choice", choices = { "model", "tensor" }, default = "model",
    group = "Masks", help = "the ratio holds in the whole model, or in each tensor" },
  { name = "unmasked", type = "choice", choices = { "none", "dense" }, default = "none",
    group = "Masks", help = "parameters that are not masked: never perturbed, or always" },
  { name = "renorm", type = "flag", group = "Masks",
    help = "scale the masked perturbation back to its length before the mask" },
}

local PARTS = { passes = "boolean", needs = "table", values = "function" }

--- Defines a policy.
-- @tparam string name one that is not taken
-- @tparam table spec passes (boolean); needs (or nil): { a vector that the base optimizer must
--   keep, its name in words }; values(s, context) → a vector or expression, larger = more
--   important, never negative. s: as a type's, with the options of masks. context: params,
--   evaluate (a pass of the step's, which ends it where the loss is not finite), sampler, seed,
--   squares(batches) → a vector, Σ g² over a sampler's batches of one sample each, finite(x) → x,
--   which ends the step where x is not finite
-- @raise with the author's line
function M.define(name, spec)
  local what = ("mask.define(%q)"):format(tostring(name))
  if type(name) ~= "string" or type(spec) ~= "table" or type(spec.values) ~= "function" then
    source_line.fail("%s: a name and a table with values, a function, are needed", what)
  end
  register:define(name, define.definition(what, name, spec, PARTS), what)
end

--- Raises unless a policy finds what it needs.
-- @tparam table policy
-- @tparam table base the base optimizer (fsam.optim)
-- @tparam table t the sam-type; one that replaces the base leaves it without state
function M.check(policy, base, t)
  for _, name in ipairs(t.update and {} or base.state) do
    if policy.needs and name == policy.needs[1] then
      return
    end
  end
  if policy.needs then
    errors.raise("--fisher %s needs a base optimizer with %s", policy.name, policy.needs[2])
  end
end

--- All names, sorted.
function M.names()
  return register:names()
end

--- The policy of a name.
function M.get(name)
  return register:get(name) or errors.unknown("--fisher", name, M.names())
end

M.define("sample", {
  passes = true,
  values = function(s, context)
    -- Dropout of their own: the step's samples have the ordinals 0 … N - 1.
    local f = context.squares(context.sampler(s.num_samples, context.seed, s.step, s.N))
    context.finite(f:sum():read())
    return f
  end,
})

M.define("batch", {
  values = function(s)
    return s.g * s.g
  end,
})

M.define("adam", {
  needs = { "exp_avg_sq", "Adam's second moment (adam, lamb)" },
  values = function(s)
    local b2 = s.base.adam_betas[2]
    return s.base.exp_avg_sq * b2 + s.g * s.g * (1 - b2)
  end,
})

M.define("magnitude", {
  values = function(s)
    return s.w:abs()
  end,
})

M.define("random", {
  values = function(s)
    return s:uniform(0x4d41534b) -- "MASK": a stream of its own
  end,
})
register:seal()

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.mask", M, {
  define = { NAME, arguments.arg("parts", arguments.table), inside = true }, names = {},
  get = { NAME },
  check = { arguments.arg("policy", arguments.table), arguments.arg("base", arguments.table),
    arguments.arg("type", arguments.table) },
})

return M
