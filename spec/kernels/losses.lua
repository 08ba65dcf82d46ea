--- What the specs of losses share: a case for the runner from a loss in doubles, and the golden
-- values of spec/golden/losses.json. Owns: logits of a case, the sum that its gradient is of.
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local luassert = require("luassert")

local M = {}

--- Completes a case of the runner.
-- @tparam table case name, lengths (tokens of each sample), classes, scale, weighted (has it
--   weights of the classes?)
-- @tparam table loss target: { name, type, wide (has a sample one for each class?), value =
--   function(i, case) }; compute = function(t, batch, dlogits, weights) → status; of =
--   function(v, case) → losses in doubles; tolerance and gradient_tolerance
-- @treturn table the case
function M.layer(case, loss)
  local samples, n = #case.lengths, case.classes
  local target = loss.target
  case.inputs = {
    { "logits", "f32", { samples, n }, function(i)
      return (i * 29 % 61) / 6 - 5
    end },
    { target.name, target.type, target.wide and { samples, n } or { samples }, function(i)
      return target.value(i, case)
    end },
  }
  if case.weighted then
    case.inputs[3] = { "weights", "f32", { n }, function(i)
      return (i * 5 % 7) / 4
    end }
  end
  case.outputs = { { "losses", "f32", { samples } } }
  case.gradients = { { "logits", "f32" } }
  case.seeds, case.types, case.pass = {}, { "f32" }, { scale = case.scale }
  local function call(t, batch, dlogits)
    return loss.compute(t, batch, dlogits, case.weighted and t.weights or nil)
  end
  function case.forward(t, batch)
    return call(t, batch, nil)
  end
  function case.backward(t, batch)
    return call(t, batch, t.dlogits)
  end
  function case.expect(v)
    return { losses = loss.of(v, case) }
  end
  function case.loss(v)
    local total = 0
    for _, one in ipairs(loss.of(v, case)) do
      total = total + case.scale * one
    end
    return total
  end
  case.tolerance = { f32 = loss.tolerance }
  case.gradient_tolerance = { f32 = loss.gradient_tolerance }
  return case
end

--- A class for each sample that has tokens, and none for the others.
M.CLASSES = { name = "labels", type = "i32", value = function(b, case)
  return case.lengths[b] > 0 and b * 7 % case.classes or -1
end }

--- Compares a loss with PyTorch's (losses.json).
-- @tparam string name of the loss there
-- @tparam function run (a case of the file) → losses, gradient at scale 1
-- @treturn number how many cases there were
function M.as_golden(name, run)
  local checked = 0
  for _, case in ipairs(json.decode(file.read("spec/golden/losses.json"), "losses.json")) do
    if case.name == name then
      local losses, gradient = run(case)
      luassert.near_relative(case.losses, losses, 1e-6)
      luassert.near_relative(case.gradient, gradient, 1e-6)
      checked = checked + 1
    end
  end
  return checked
end

--- The lengths of samples with a token each.
function M.ones(count)
  local lengths = {}
  for b = 1, count do
    lengths[b] = 1
  end
  return lengths
end

return M
