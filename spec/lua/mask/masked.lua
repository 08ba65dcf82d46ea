--- Masked steps of the logistic model: for masks_spec.lua and refresh_spec.lua.
local model = require("spec.lua.logistic")
local optimizers = require("fsam.step")

local M = {}

M.KEPT = 14 -- a quarter of the model's 56 weights
M.RHO = 0.3

-- Options of a step, those of the mask included.
local function options(changes)
  local o = { rho = M.RHO, keep_ratio = 0.25, fisher = "magnitude", mask_iter_e = 3,
    num_samples = 5, adam_betas = { 0.9, 0.99 } }
  for name, value in pairs(changes or {}) do
    o[name] = value
  end
  return o
end

-- Parameters and their optimizer: fisher-sam, or changes.sam_type.
local function build(changes, base, P)
  P = P or model.new_params()
  local optimizer = optimizers.build({ params = P, optimizer = "sam",
    base_optimizer = base or "sgd", sam_type = changes and changes.sam_type,
    options = options(changes), seed = 9, sampler = model.sampler })
  return P, optimizer
end

-- The mask as a set of places.
local function places(P)
  local mask, x, set = P:mask("mask"), P:scratch("ones"), {}
  x:set(mask * 1)
  x:tensor()
  local k = 0
  for _, parameter in ipairs(P.parameters) do
    for _, bit in ipairs(P:view(x, parameter):read()) do
      k = k + 1
      set[k] = bit == 1 or nil
    end
  end
  return set
end

M.options, M.build, M.places = options, build, places

return M
