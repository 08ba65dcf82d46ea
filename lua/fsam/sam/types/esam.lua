--- ESAM (Du et al. 2022): cheaper SAM by two choices.
--   SWP  only some tensors are perturbed, each with probability beta: e = (rho / beta) g / ‖g‖ over
--        those (their eq. 5). The others need no gradient in the first pass. --swp weight draws for
--        each weight instead, as the paper writes it.
--   SDS  the second pass sees only the samples whose loss rises most (their eq. 9): the
--        k = max(1, floor(gamma B)) largest loss(w + e) - loss(w), ties to the lower ordinal.
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

local M = {}

--- Is a tensor perturbed? Drawn by seed, step and parameter.
function M.is_in(s, parameter)
  return s:random(parameter.index) < s.beta
end

--- The parameters that are not in.
-- @tparam function is_in fn(s, parameter) → boolean
-- @treturn table parameter → true
function M.left_out(s, is_in)
  local out = {}
  for _, parameter in ipairs(s.parameters) do
    out[parameter] = not is_in(s, parameter) or nil
  end
  return out
end

--- The gradient of what is perturbed, 0 elsewhere.
-- @tparam function is_in fn(s, parameter) → boolean; --swp weight does not ask it
function M.inside(s, is_in)
  if s.beta == 1 then
    return s.g
  elseif s.swp == "weight" then
    return s:uniform():lt(s.beta) * s.g
  end
  return s:each(function(parameter)
    return is_in(s, parameter)
  end) * s.g
end

--- The samples whose loss rises most from w to w + e.
-- @tparam boolean ties do those count that rise as much as the last one?
-- @treturn {number,…} ordinals, ascending
function M.risen(s, ties)
  local rise, order = {}, {}
  for i, loss in ipairs(s:losses_at_e()) do
    rise[i], order[i] = loss - s.losses[i], i
  end
  table.sort(order, function(a, b)
    return rise[a] > rise[b] or rise[a] == rise[b] and a < b
  end)
  local k, chosen = math.max(1, math.floor(s.gamma * #order)), {}
  while ties and order[k + 1] and rise[order[k + 1]] == rise[order[k]] do
    k = k + 1
  end
  for i = 1, k do
    chosen[i] = order[i] - 1
  end
  table.sort(chosen)
  return chosen
end

sam.define("esam", {
  options = {
    radius.option(0.05),
    { name = "beta", type = "number", default = 0.5, above = 0, max = 1,
      help = "share of the tensors that esam perturbs" },
    { name = "gamma", type = "number", default = 0.5, above = 0, max = 1,
      help = "share of the samples in esam's second pass" },
    { name = "swp", type = "choice", choices = { "tensor", "weight" }, default = "tensor",
      help = "esam draws whole tensors or single weights" },
  },

  skip = function(s)
    return s.swp == "tensor" and s.beta < 1 and M.left_out(s, M.is_in) or nil
  end,

  ascend = function(s)
    return radius.along(M.inside(s, M.is_in), s.rho / s.beta)
  end,

  select = function(s)
    return s.gamma < 1 and M.risen(s, false) or nil
  end,
})

return M
