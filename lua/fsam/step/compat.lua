--- What --compat stands for: fsam4plm, the code that was released with the FSAM paper (GitHub
-- WHU-ZQH/FSAM4PLM, revision 44e2503), where it runs.
--
-- Owns which switches that is, for which sam-type, and what is said of it. Each switch is a flag of
-- its own and is read where it acts; docs/compat.md says what each of them is for.
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")

local M = {}

--- The flag itself, and the switches that no sam-type, policy or optimizer declares.
-- @tparam string default_type the sam-type of a command that names none
-- @treturn {table,…} declarations
function M.options(default_type)
  return {
    { name = "compat", type = "choice", choices = { "none", "fsam4plm" }, default = "none",
      help = "do as the code released with the FSAM paper; sets the flags of docs/compat.md",
      implies = {
        none = {},
        fsam4plm = function(o)
          return M.implied(o.sam_type or default_type)
        end,
      } },
    { name = "second_gradient", type = "choice", choices = { "mean", "sum" }, default = "mean",
      help = "the second pass's gradient is the mean over its samples, or their sum" },
    { name = "clip_at", type = "choice", choices = { "update", "first" }, default = "update",
      help = "--clip-norm holds for the update direction, or for the first pass's gradient" },
  }
end

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

--- What is to be said of an imitation.
-- @tparam table o options as read
-- @treturn {string,…} sentences; none without --compat
-- @raise when the released code has nothing of the kind
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
  if o.update_freq > 1 then
    note("of --update-freq %d batches the released code uses the last; here all count",
      o.update_freq)
  end
  return notes
end

return M
