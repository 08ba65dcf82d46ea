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
-- In s: w, g (the clipped direction), the options, the state, and numbers: lr, step (updates tried
-- before this one), t (updates applied before this one), weight_decay (with --no-decay a row: the
-- value, or 0 for parameters without decay). fsam.define.fields has the whole list. Owns: the
-- register. Leaves to others: the step itself, and building an optimizer from options (fsam.step).
local arguments = require("fsam.base.arguments")
local define = require("fsam.define")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

local PARTS = { options = "table", state = "table", update = "function" }
local register = registry.new("fsam.optim.", { "adam", "lamb", "lion", "sgd" })

--- Defines a base optimizer.
-- @tparam string name one that is not taken
-- @tparam table spec options (declarations or { name = default }), state (list of names), update(s)
-- @raise with the author's line
function M.define(name, spec)
  local what = ("optim.define(%q)"):format(tostring(name))
  if type(name) ~= "string" or type(spec) ~= "table" or type(spec.update) ~= "function" then
    source_line.fail("%s: a name and a table with update, a function, are needed", what)
  end
  local base = define.definition(what, name, spec, PARTS)
  base.state = base.state or {}
  register:define(name, base, what)
end

--- The definition of a name.
function M.get(name)
  return register:get(name) or errors.unknown("optimizer", name, M.names())
end

--- Is it one of ours, not a user's?
-- @treturn boolean
function M.is_built_in(name)
  return register:is_built_in(name)
end

--- All names, sorted.
function M.names()
  return register:names()
end

--- The declarations of an optimizer's options.
function M.options(name)
  return M.get(name).options
end

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.optim", M, {
  define = { NAME, arguments.arg("parts", arguments.table), inside = true }, names = {},
  get = { NAME }, is_built_in = { NAME }, options = { NAME },
})

return M
