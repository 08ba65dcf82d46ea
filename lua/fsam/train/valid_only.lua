--- Judging a model without training it (--valid-only).
--
-- Owns: that a model whose metrics are no numbers is an error, and the lines that say the others.
-- Leaves to others: validating (fsam.data.task), what a training run does after its epochs
-- (loop.lua).
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")

local M = {}

-- The scores of a set: "mcc 0.5000   accuracy 0.7500".
local function scores(task, values, separator)
  local list = {}
  for i, name in ipairs(task.metrics) do
    list[i] = ("%s %.4f"):format(name, values[name])
  end
  return table.concat(list, separator)
end

--- Judges the model.
-- @tparam table t task, pass, report
-- @treturn table why = "valid-only"; last: what task:validate found
-- @raise when a metric is not a number
function M.run(t)
  local result = t.task:validate(function(host)
    return t.pass:predict(host)
  end)
  for _, name in ipairs(t.task.metrics) do
    if result.values[name] ~= result.values[name] then
      errors.raise("the model cannot be judged: %s is not a number (%s); its logits are not "
        .. "numbers, so look for broken weights in the checkpoint", name,
        scores(t.task, result.values, ", "))
    end
  end
  t.report:note("dev      " .. scores(t.task, result.values, "   "))
  for _, set in ipairs(registry.sorted(result.also or {})) do
    t.report:note(("%-8s %s"):format(set, scores(t.task, result.also[set], "   ")))
  end
  return { why = "valid-only", last = result }
end

return M
