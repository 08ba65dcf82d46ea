--- Losses: a register with a row for each.
--
--     losses.define("cross_entropy", { … })
--
-- Owns: the register, and what a row needs. Leaves to others: the built-in losses
-- (losses/NAME.lua), which problem has which loss (fsam.data.problems), when a loss is computed
-- (pass/init.lua).
--
--   labels    what a sample's label is on the device: "i32", a class, or "f32", a number
--   several   true: a sample has such a number for each column of the logits
--   weights, smoothing   true where the loss takes these settings of training
--   compute   function (losses[B], dlogits[B,C] or nil, logits[B,C], labels, batch, settings),
--             which launches kernels and returns their status. It writes each sample's own loss,
--             and the gradient of their sum times the pass's scale. settings: weights (a tensor
--             f32[C], or nil) and smoothing (0 … 1); nil where the plain loss is wanted
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

local rows = registry.new("fsam.pass.losses.", { "binary_cross_entropy", "cross_entropy", "mse" })

--- Adds a loss.
-- @tparam string name one that is not taken
-- @tparam table row see the head of this file
function M.define(name, row)
  rows:define(name, row, ("losses.define(%q)"):format(name))
end

--- The row of a name.
-- @tparam string name
-- @treturn table
-- @raise one line with the nearest name and the list
function M.get(name)
  return rows:get(name) or errors.unknown("the loss", name, rows:names())
end

--- Refuses settings that a loss does not take.
-- @tparam string name
-- @tparam table settings weights, smoothing, as flags give them
-- @raise one line that names the flag
function M.check(name, settings)
  local row = M.get(name)
  if settings.weights and not row.weights then
    errors.raise("--class-weights goes with classes; the loss here is %s", name)
  elseif (settings.smoothing or 0) > 0 and not row.smoothing then
    errors.raise("--label-smoothing goes with one class for each text; the loss here is %s", name)
  end
end

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.pass.losses", M, {
  get = { NAME }, define = { NAME, arguments.arg("row", schema.record({
    labels = schema.one_of({ "i32", "f32" }), compute = arguments.func,
    several = schema.optional(schema.boolean), weights = schema.optional(schema.boolean),
    smoothing = schema.optional(schema.boolean) })) },
  check = { NAME, arguments.arg("settings", arguments.table) },
})

return M
