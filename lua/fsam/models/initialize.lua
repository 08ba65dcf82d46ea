--- Starting values of fresh parameters. They depend on the seed and on a parameter's place in the
-- model alone.
--
-- Owns: the two conventions for a new head. fairseq makes the head after initialising the rest, so
-- it has PyTorch's default for a linear map with K inputs: U(-1/sqrt(K), 1/sqrt(K)), its bias too.
-- Hugging Face's head is N(0, initializer_range) with bias 0. Everything else is the same in both:
-- N(0, initializer_range), biases 0, layer norms 1 and 0. Leaves to others: which parameters are
-- fresh (matching.lua).
local C = require("fsam.C")
local lib, check = C.lib, C.check

local M = {}

-- How a parameter starts: normal? (else uniform from 0 to 1), shift, scale.
local function rule(parameter, by_name, config, head_init)
  local name = parameter.name
  if parameter.kind == "norm" then
    return false, name:find("weight$") and 1 or 0, 0
  elseif parameter.part == "head" and head_init ~= "hf" then
    local matrix = by_name[name:gsub("%.bias$", ".weight")]
    local bound = 1 / math.sqrt(matrix.shape[2])
    return false, -bound, 2 * bound
  elseif name:find("bias$") then
    return false, 0, 0
  end
  return true, 0, config.initializer_range
end

--- Gives the listed parameters their starting values in w.
-- @tparam table params sealed parameters (fsam.vector.params)
-- @tparam table config fsam.models.config
-- @tparam {table,…} list parameters that start fresh, as declared (fsam.models.declaration)
-- @tparam table o seed (default 1), head_init ("fairseq", default, or "hf")
function M.fill(params, config, list, o)
  for _, parameter in ipairs(list) do
    local sealed = params.by_name[parameter.name]
    local normal, shift, scale = rule(parameter, params.by_name, config, o.head_init)
    local t = params:master(sealed)
    check(lib.fsam_tensor_random(t, normal and 1 or 0, shift, scale, o.seed or 1, sealed.index))
    if parameter.pad_row then
      local width = parameter.shape[2]
      t:view({ 1, width }, parameter.pad_row * width, "pad row"):fill(0)
    end
  end
  params:loaded()
end

return M
