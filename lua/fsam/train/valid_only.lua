--- Judging a model without training it (--valid-only).
--
-- Owns: that a model whose metrics are no numbers is an error, and the lines that say the others.
-- Leaves to others: validating (fsam.data.task), what a training run does after its epochs
-- (loop.lua).
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")

local M = {}

--- Judges the model.
-- @tparam table t task, pass, report
-- @treturn table why = "valid-only"; last: what task:validate found
-- @raise when a metric is not a number
function M.run(t)
  local result = t.task:validate(function(host)
    return t.pass:predict(host)
  end)
  local names = {}
  for i, name in ipairs(t.task.metrics) do
    names[i] = ("%s %.4f"):format(name, result.values[name])
  end
  for _, name in ipairs(t.task.metrics) do
    if result.values[name] ~= result.values[name] then
      errors.raise("the model cannot be judged: %s is not a number (%s); its logits are not "
        .. "numbers, so look for broken weights in the checkpoint", name,
        table.concat(names, ", "))
    end
  end
  t.report:note("dev      " .. table.concat(names, "   "))
  for _, set in ipairs(registry.sorted(result.also or {})) do
    local parts = {}
    for i, name in ipairs(t.task.metrics) do
      parts[i] = ("%s %.4f"):format(name, result.also[set][name])
    end
    t.report:note(("%-8s %s"):format(set, table.concat(parts, "   ")))
  end
  return { why = "valid-only", last = result }
end

return M
