--- What the jobs of ranks train: every sam-type, mask policy and plain optimizer.
local mask = require("fsam.mask")
local optim = require("fsam.optim")
local sam = require("fsam.sam")

local M = {}

--- Whatever goes between ranks in a step is in one of these: sums of one, two and more gradients,
-- of chosen samples and of squares; choices, norms and random numbers that must be alike; masks
-- from the step's gradient, from others and from ties; reductions over parameters; state in shares.
M.COVER = { sam = true, aesam = true, bsam = true, esam = true, looksam = true, ["sam-k"] = true,
  ["fisher-sam"] = true, ["fisher-esam"] = true, ["policy-batch"] = true, ["policy-adam"] = true,
  ["policy-random"] = true, ["per-tensor"] = true, ties = true, ["plain-adam"] = true,
  ["plain-lamb"] = true }

--- @tparam string base the base optimizer of sam-types
-- @treturn {table,…} name; o for spec.lua.small_bert: sam_type, base, optimizer, options; ties: the
--   weights are to be as large as each other, so that their places decide which a mask has
function M.list(base)
  local list = {}
  local function add(name, o)
    o.options.momentum, o.options.adam_eps = 0, base == "sgd" and 1e-2 or 1e-8
    list[#list + 1] = { name = name, o = o }
  end
  for _, name in ipairs(sam.names()) do
    add(name, { sam_type = name, base = not sam.get(name).update and base or nil,
      options = { k = 2, fisher = "batch", eta = 0.1 } })
  end
  for _, policy in ipairs(mask.names()) do
    add("policy-" .. policy, { sam_type = "fisher-sam", base = policy == "adam" and "adam" or base,
      options = { fisher = policy, keep_ratio = 0.5 } })
  end
  for _, name in ipairs(optim.names()) do
    add("plain-" .. name, { optimizer = name, options = {} })
  end
  add("per-tensor", { sam_type = "fisher-sam", base = base,
    options = { fisher = "magnitude", keep_ratio = 0.37, mask_per = "tensor" } })
  add("ties", { sam_type = "fisher-sam", base = base, ties = true,
    options = { fisher = "magnitude", keep_ratio = 0.37 } })
  return list
end

--- Where a comparison of the gradient's norm decides on a second pass, a rounding may turn it: all
-- of it is computed, and the step's number decides.
function M.hold_decisions()
  for _, name in ipairs(sam.names()) do
    local definition = sam.get(name)
    local every = definition.every
    if every and name:find("aesam") then
      rawset(definition, "every", function(s)
        every(s)
        return s.step % 2 == 0
      end)
    end
  end
end

return M
