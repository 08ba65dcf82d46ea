--- ESAM (Du et al. 2022): cheaper SAM by two choices.
--   SWP  only some tensors are perturbed, each with probability beta: e = (rho / beta) g / ‖g‖ over
--        those (their eq. 5). The others need no gradient in the first pass. --swp weight draws for
--        each weight instead, as the paper writes it; --swp next draws tensors ahead, for the step
--        to come, so that the first one has all.
--   SDS  the second pass sees only the samples whose loss rises most (their eq. 9): the
--        k = max(1, floor(gamma B)) largest loss(w + e) - loss(w), ties to the lower ordinal. With
--        --sds cutoff, all that rise as much as the k-th; all samples where floor(gamma B) is 0 or
--        gamma is 0.99 and more.
local sam = require("fsam.sam")

-- Whether a tensor is in, keyed by seed, step and parameter.
local function is_in(s, parameter)
  return s.swp == "next" and s.step == 0 or s:random(parameter.index) < s.beta
end

-- Whether the second pass sees all samples, so that nothing need be scored.
local function takes_all(s)
  return s.gamma == 1
    or s.sds == "cutoff" and (s.gamma >= 0.99 or math.floor(s.gamma * #s.losses) == 0)
end

sam.define("esam", {
  options = {
    { name = "rho", type = "number", default = 0.05, min = 0, help = "radius of the perturbation" },
    { name = "beta", type = "number", default = 0.5, above = 0, max = 1,
      help = "share of the tensors that esam perturbs" },
    { name = "gamma", type = "number", default = 0.5, above = 0, max = 1,
      help = "share of the samples in esam's second pass" },
    { name = "swp", type = "choice", choices = { "tensor", "weight", "next" }, default = "tensor",
      help = "esam draws whole tensors, single weights, or tensors for the step to come" },
    { name = "sds", type = "choice", choices = { "exact", "cutoff" }, default = "exact",
      help = "esam's second pass has exactly its share of the samples, or all that rise as much" },
    { name = "norm_eps", type = "number", default = 0, min = 0,
      help = "added to the gradient's norm before dividing by it" },
  },

  skip = function(s)
    if s.swp == "weight" or s.beta == 1 then
      return nil
    end
    local out = {}
    for _, parameter in ipairs(s.parameters) do
      out[parameter] = not is_in(s, parameter) or nil
    end
    return out
  end,

  ascend = function(s)
    local g = s.g
    if s.swp == "weight" and s.beta < 1 then
      g = s:uniform():lt(s.beta) * g
    elseif s.beta < 1 then
      g = s:each(function(parameter)
        return is_in(s, parameter)
      end) * g
    end
    return g * (s.rho / s.beta / (g:norm() + s.norm_eps))
  end,

  select = function(s)
    if takes_all(s) then
      return nil
    end
    local rise, order = {}, {}
    for i, loss in ipairs(s:losses_at_e()) do
      rise[i], order[i] = loss - s.losses[i], i
    end
    table.sort(order, function(a, b)
      return rise[a] > rise[b] or rise[a] == rise[b] and a < b
    end)
    local k, chosen = math.max(1, math.floor(s.gamma * #order)), {}
    while s.sds == "cutoff" and order[k + 1] and rise[order[k + 1]] == rise[order[k]] do
      k = k + 1
    end
    for i = 1, k do
      chosen[i] = order[i] - 1
    end
    table.sort(chosen)
    return chosen
  end,
})
