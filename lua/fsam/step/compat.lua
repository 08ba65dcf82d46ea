--- Imitating fsam4plm, the code that was released with the FSAM paper (GitHub WHU-ZQH/FSAM4PLM,
-- revision 44e2503), where it runs.
--
-- Owns the switches that exist for nothing else: their declarations, what each does, and --compat,
-- which sets them and others. Everything else follows the papers and knows none of them: with a
-- switch on, a step gets variants of its type and its masking from here, and its two gradients
-- pass through `first` and `second`. docs/compat.md says what each switch is for.
local clip = require("fsam.step.clip")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local set = require("fsam.step.view").set

local M = {}

-- -- declarations ---------------------------------------------------------------------------------

local GROUP = "Imitating the released code"

local NORM_EPS = { name = "norm_eps", type = "number", default = 0, min = 0, group = GROUP,
  help = "added to the gradient's norm before dividing by it" }
local SWP = { name = "swp", type = "choice", choices = { "tensor", "weight", "next" },
  default = "tensor", group = GROUP,
  help = "esam draws whole tensors, single weights, or tensors for the step to come" }
local SDS = { name = "sds", type = "choice", choices = { "exact", "cutoff" }, default = "exact",
  group = GROUP,
  help = "esam's second pass has exactly its share of the samples, or all that rise as much" }

-- The switches of each type. One that the type declares itself (swp) has more choices here.
local OF_TYPES = { sam = { NORM_EPS }, esam = { SWP, SDS, NORM_EPS }, gsam = { NORM_EPS } }

local OF_STEPS = {
  { name = "second_gradient", type = "choice", choices = { "mean", "sum" }, default = "mean",
    group = GROUP, help = "the second pass's gradient is the mean over its samples, or their sum" },
  { name = "clip_at", type = "choice", choices = { "update", "first" }, default = "update",
    group = GROUP,
    help = "--clip-norm holds for the update direction, or for the first pass's gradient" },
}

--- Switches of fisher- forms.
M.of_masks = {
  { name = "mask_scale", type = "choice", choices = { "none", "keep-ratio" }, default = "none",
    group = GROUP, help = "divide the masked perturbation by --keep-ratio" },
  { name = "mask_steps", type = "choice", choices = { "perturb", "plain" }, default = "perturb",
    group = GROUP, help = "a step that makes a mask uses it at once, or perturbs nothing" },
  { name = "mask_gradient", type = "choice", choices = { "whole", "partial" }, default = "whole",
    group = GROUP,
    help = "masks see the gradient of all tensors, or not of those that esam leaves out" },
}

--- All switches.
M.switches = { NORM_EPS, SWP, SDS }
for _, list in ipairs({ OF_STEPS, M.of_masks }) do
  for _, declared in ipairs(list) do
    M.switches[#M.switches + 1] = declared
  end
end

--- A type's declarations with its switches among them, for --help and the command line.
-- @tparam table t definition
-- @treturn {table,…}
function M.widened(t)
  local list, wider, own = {}, {}, OF_TYPES[t.plain] or {}
  for _, declared in ipairs(own) do
    wider[declared.name] = declared
  end
  for _, declared in ipairs(t.options) do
    list[#list + 1] = wider[declared.name] or declared
    wider[declared.name] = nil
  end
  for _, declared in ipairs(own) do
    list[#list + 1] = wider[declared.name]
  end
  return list
end

--- The flag itself, and the switches that every step reads.
-- @treturn {table,…} declarations
function M.options()
  return {
    { name = "compat", type = "choice", choices = { "none", "fsam4plm" }, default = "none",
      group = GROUP,
      help = "do as the code released with the FSAM paper; sets the flags of docs/compat.md",
      implies = {
        none = {},
        fsam4plm = function(o)
          return M.implied(o.sam_type)
        end,
      } },
    unpack(OF_STEPS),
  }
end

-- -- what the switches do -------------------------------------------------------------------------

local Imitation = {}
Imitation.__index = Imitation

--- The object through which a step's two gradients go.
-- @tparam table settings of the step, complete
-- @tparam table o the switches, complete
-- @treturn table methods first, second, clipped; clip_norm, at which the update direction is
--   clipped
function M.new(settings, o)
  local at_first = o.clip_at == "first"
  return setmetatable({ sums = o.second_gradient == "sum",
    first_clip_norm = at_first and settings.clip_norm or 0,
    clip_norm = at_first and 0 or settings.clip_norm }, Imitation)
end

--- The first gradient as the type sees it.
-- @tparam table g
-- @tparam table norm of it, a scalar
function Imitation:first(g, norm)
  return clip(g, norm, self.first_clip_norm)
end

--- Was a gradient clipped?
-- @tparam number gnorm
-- @tparam number dnorm
function Imitation:clipped(gnorm, dnorm)
  local first, last = self.first_clip_norm, self.clip_norm
  return first > 0 and gnorm > first or last > 0 and dnorm > last
end

--- The second gradient as the type sees it: a mean over `samples`, or their sum.
function Imitation:second(g2, samples)
  return self.sums and g2 * samples or g2
end

-- e = rho g / (‖g‖ + eps).
local function along(g, rho, eps)
  return g * (rho / (g:norm() + eps))
end

-- The parts that replace a type's own under the switches; false or nil: none.
local VARIANTS = {}

function VARIANTS.sam(o)
  return o.norm_eps > 0 and {
    ascend = function(s)
      return along(s.g, s.rho, o.norm_eps)
    end,
  }
end

VARIANTS.gsam = VARIANTS.sam

-- --swp next: tensors are drawn at the end of a step for the next one, so the first step has all.
-- --sds cutoff: all samples that rise as much as the k-th; all of the step's where floor(gamma B)
-- is 0 or gamma is 0.99 and more.
function VARIANTS.esam(o)
  local esam = require("fsam.sam.types.esam")
  local parts = {}
  local function is_in(s, parameter)
    return o.swp == "next" and s.step == 0 or esam.is_in(s, parameter)
  end
  function parts.skip(s)
    return o.swp ~= "weight" and s.beta < 1 and esam.left_out(s, is_in) or nil
  end
  function parts.ascend(s)
    return along(esam.inside(s, is_in), s.rho / s.beta, o.norm_eps)
  end
  if o.sds == "cutoff" then
    function parts.select(s)
      local all = s.gamma >= 0.99 or math.floor(s.gamma * #s.losses) == 0
      return not all and esam.risen(s, true) or nil
    end
  end
  return (o.norm_eps > 0 or o.swp == "next" or o.sds == "cutoff") and parts
end

--- A type as the switches have it: itself where they are off.
-- @tparam table t definition
-- @tparam table o the switches, complete
function M.type(t, o)
  local variant = VARIANTS[t.plain]
  local parts = variant and variant(o)
  return parts and setmetatable(parts, { __index = t }) or t
end

--- A masking as the switches have it: itself where they are off.
-- @tparam table masking (fsam.step.masking)
-- @tparam table o the switches, complete
function M.masking(masking, o)
  if not masking.mask then
    return masking
  end
  local parts = setmetatable({}, { __index = masking })
  if o.mask_gradient == "partial" then
    function parts.needs_all()
      return false
    end
  end
  if o.mask_scale == "keep-ratio" then
    function parts:apply(e)
      return masking.apply(self, e) * (1 / self.options.keep_ratio)
    end
  end
  if o.mask_steps == "plain" then
    -- A step that has made a mask goes on as if its first gradient were 0.
    function parts:after_gradient(s, passes)
      masking.after_gradient(self, s, passes)
      if self.news then
        set(s, "g", self.params.g:set(0))
      end
    end
  end
  return next(parts) and parts or masking
end

-- -- --compat -------------------------------------------------------------------------------------

-- What differs from type to type there. eps: what it adds to norms.
local TYPES = {
  ["sam"] = { eps = 1e-12 },
  ["fisher-sam"] = { eps = 1e-7 },
  ["esam"] = { eps = 1e-7 },
  ["fisher-esam"] = { eps = 1e-7 },
  ["gsam"] = { eps = 1e-12, rho = 0.001 },
  ["fisher-gsam"] = { eps = 1e-12, rho = 0.001, exclude = { "bias" }, scale = "keep-ratio" },
}

--- The flags that the released code amounts to.
-- @tparam string sam_type
-- @treturn table name → value
function M.implied(sam_type)
  local t = TYPES[sam_type] or {}
  return {
    -- every type
    second_gradient = "sum", clip_at = "first", norm_eps = t.eps, rho = t.rho,
    dropout_rng = "fresh", precision = "fp32", adam_form = "torch", decay = "coupled",
    -- esam
    swp = "next", sds = "cutoff",
    -- masks
    fisher = "batch", mask_steps = "plain", mask_gradient = "partial", unmasked = "dense",
    mask_exclude = t.exclude or { "bias", "embed" }, mask_scale = t.scale or "none",
  }
end

--- What a run reports about its imitation when it begins.
-- @tparam table o options, read from a command line
-- @treturn {string,…} sentences; none without --compat
-- @raise when the released code has no such type
function M.notes(o)
  local notes = {}
  if o.compat ~= "fsam4plm" then
    return notes
  elseif o.optimizer ~= "sam" or not TYPES[o.sam_type] then
    errors.raise("--compat fsam4plm has no %s; with --optimizer sam it imitates --sam-type %s",
      o.optimizer ~= "sam" and "--optimizer " .. o.optimizer or "--sam-type " .. o.sam_type,
      table.concat(registry.sorted(TYPES), ", "))
  end
  local function note(format, ...)
    notes[#notes + 1] = "--compat fsam4plm: " .. format:format(...)
  end
  if o.sam_type == "fisher-sam" then
    note("the released fisher-sam stops at update 0 (KeyError: old_p); this is what it would do if "
      .. "it restored the weights")
  end
  if TYPES[o.sam_type].rho and o.given.rho then
    note("the released %s ignores --rho and stays at 0.001; here --rho %g holds", o.sam_type, o.rho)
  end
  if o.sam_type == "fisher-gsam" and o.given.alpha then
    note("the released fisher-gsam ignores --alpha and stays at 0.4; here --alpha %g holds",
      o.alpha)
  end
  local most = type(o.update_freq) == "table" and math.max(unpack(o.update_freq)) or o.update_freq
  if most > 1 then
    note("of --update-freq %d batches the released code uses the last; here all count", most)
  end
  return notes
end

return M
