--- Starting values of fresh parameters, by seed and place alone. Owns the two conventions for a new
-- head: fairseq's (PyTorch's default for a linear map: U(-1/sqrt(K), 1/sqrt(K)), because fairseq
-- makes the head after initialising the rest) and Hugging Face's (N(0, initializer_range), bias 0).
-- Everything else is N(0, initializer_range), biases 0, LayerNorm 1 and 0, in both.
local C = require("fsam.C")
local lib, check = C.lib, C.check

local M = {}

local function is_head(parameter)
  return parameter.name:find("^classifier%.") ~= nil
end

-- How a parameter starts: normal or uniform, shift, scale.
local function rule(parameter, parameters, config, head_init)
  local name = parameter.name
  if parameter.kind == "norm" then
    return false, name:find("weight$") and 1 or 0, 0
  elseif is_head(parameter) and head_init ~= "hf" then
    local matrix = parameters[name:gsub("%.bias$", ".weight")]
    local bound = 1 / math.sqrt(matrix.shape[2])
    return false, -bound, 2 * bound
  elseif name:find("bias$") then
    return false, 0, 0
  end
  return true, 0, config.initializer_range
end

--- Gives the listed parameters their starting values in w.
-- @tparam table params sealed parameters
-- @tparam table config fsam.formats.config
-- @tparam table list parameters that start fresh
-- @tparam table o seed (default 1), head_init ("fairseq", default, or "hf")
function M.fill(params, config, list, o)
  for _, parameter in ipairs(list) do
    parameter = params.by_name[parameter.name]
    local normal, shift, scale = rule(parameter, params.by_name, config, o.head_init)
    local t = params:master(parameter)
    check(lib.fsam_tensor_random(t, normal and 1 or 0, shift, scale, o.seed or 1, parameter.index))
    if parameter.name:find("word_embeddings") then
      t:view({ 1, parameter.shape[2] }, config.pad_token_id * parameter.shape[2], "pad row"):fill(0)
    end
  end
  params:sync()
end

return M
