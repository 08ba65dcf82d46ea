--- Base optimizers by name. `define` adds one; the built-in ones are defined the same way.
--
--     fsam.optim.define("lion", {                              -- Chen et al. 2023
--       options = { beta1 = 0.9, beta2 = 0.99 },
--       state = { "exp_avg" },
--       update = function(s)                                   -- what is subtracted from w
--         local u = (s.exp_avg * s.beta1 + s.g * (1 - s.beta1)):sign()
--         s.exp_avg:set(s.exp_avg * s.beta2 + s.g * (1 - s.beta2))
--         return u * s.lr + s.w * (s.lr * s.weight_decay)
--       end,
--     })
--
-- In s: w, g (the clipped direction), the options, the state, and numbers: lr, step (updates
-- tried), t (updates applied before this one), weight_decay (a row of 0 and the value where
-- --no-decay leaves parameters out). Owns: the register. The step itself is fsam.step's.
local errors = require("fsam.errors")
local parts = require("fsam.define")
local source_line = require("fsam.base.source_line")
local registry = require("fsam.base.registry")

source_line.own()

local M = {}

local PARTS = { options = true, state = true, update = true }
local register = registry.new("fsam.optim.", { "adam", "lamb", "lion", "sgd" })

--- Defines a base optimizer.
-- @tparam string name
-- @tparam table spec options (declarations or { name = default }), state (list of names), update(s)
function M.define(name, spec)
  local what = ("optim.define(%q)"):format(tostring(name))
  if type(name) ~= "string" or type(spec) ~= "table" or type(spec.update) ~= "function" then
    source_line.fail("%s: a name and a table with update, a function, are needed", what)
  end
  for part in pairs(spec) do
    if not PARTS[part] then
      source_line.fail("%s", errors.unknown_text(what .. ": part", part, { "options", "state",
        "update" }))
    end
  end
  register:define(name, {
    name = name,
    options = parts.options(what, spec.options),
    state = parts.names(what, "state", spec.state or {}),
    update = parts.wrap(name, "update", spec.update),
  })
end

--- The definition of a name.
function M.get(name)
  return register:get(name) or errors.unknown("optimizer", name, M.names())
end

--- All names, sorted.
function M.names()
  return register:names()
end

--- The option declarations of a name.
function M.options(name)
  return M.get(name).options
end

--- An optimizer for a model: plain, or a base wrapped by a sam-type (fsam.step says what it does).
-- @tparam table o params; optimizer = "sam" or the name of a base; base_optimizer; sam_type;
--   options, a flat table of values; seed; sampler(n, seed, step, first_ordinal) → host batches of
--   one sample each, for mask policies that look at single samples
function M.build(o)
  local step = require("fsam.step")
  local wrapped = o.optimizer == "sam" or o.optimizer == "samsgd"
  local base = M.get(wrapped and (o.base_optimizer or "adam") or o.optimizer)
  local sam_type = wrapped and require("fsam.sam").get(o.sam_type or "fisher-sam") or nil
  return step.new({ params = o.params, base = base, type = sam_type, options = o.options or {},
    seed = o.seed or 1, sampler = o.sampler })
end

return M
