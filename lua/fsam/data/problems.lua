--- Kinds of problems, by the names that Transformers' problem_type has: what a label is, which loss
-- it is trained with, and what logits say.
--
-- Owns: the register, and which kind a task or a configuration is of. Leaves to others: the kinds
-- (problems/NAME.lua), the losses (fsam.pass.losses), metrics (data/metrics.lua).
--
--   loss      name of its loss
--   packing   function (C) → what data/packing.lua needs for its labels; C: how many labels
--   target    function (label, labels) → a sample's label for packing; label is a name or number
--             that a user gave, labels the names of the classes. Raises one line
--   fault     function (label, C) → what was expected instead, or nil for a good label of a sample
--   decide    function (logits) → what metrics compare with a sample's label; false where a logit
--             is not a finite number
--   answer    function (logits, labels) → fields of an answer for people (models/prediction.lua)
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

--- The names.
M.NAMES = { "multi_label_classification", "regression", "single_label_classification" }

local rows = registry.new("fsam.data.problems.", M.NAMES)

--- Adds a kind.
-- @tparam string name one that is not taken
-- @tparam table row see the head of this file
function M.define(name, row)
  row.name = name
  rows:define(name, row, ("problems.define(%q)"):format(name))
end

--- The kind of a name.
-- @tparam string name
-- @treturn table
-- @raise one line with the nearest name and the list
function M.get(name)
  return rows:get(name) or errors.unknown("the problem", name, rows:names())
end

--- The kind of a task.
-- @tparam table row fsam.data.tasks: labels, with several = true where a text may have any of them,
--   or none for a regression
-- @treturn table
function M.of_task(row)
  return M.get(not row.labels and "regression"
    or row.several and "multi_label_classification" or "single_label_classification")
end

--- The kind of a model. One label without a kind is a regression, as in Transformers.
-- @tparam table config fsam.models.config: problem_type (or nil), num_labels
-- @treturn table
function M.of_model(config)
  local name = config.problem_type
  if name ~= "multi_label_classification" and config.num_labels == 1 then
    name = "regression"
  end
  return M.get(name or "single_label_classification")
end

local NAME = arguments.arg("name", schema.string)
local ROW = schema.record({ loss = schema.string, packing = arguments.func,
  target = arguments.func, fault = arguments.func, decide = arguments.func,
  answer = arguments.func })
arguments.guard("fsam.data.problems", M, {
  get = { NAME }, define = { NAME, arguments.arg("row", ROW) },
  of_task = { arguments.arg("row", arguments.table) },
  of_model = { arguments.arg("config", schema.record({ num_labels = schema.integer(1) })) },
})

return M
