--- Starting values of fresh parameters, by seed and place alone. Owns the two conventions for a new
-- head: fairseq's (PyTorch's default for a linear map: U(-1/sqrt(K), 1/sqrt(K)), because fairseq
-- makes the head after initialising the rest) and Hugging Face's (N(0, initializer_range), bias 0).
-- Everything else is N(0, initializer_range), biases 0, LayerNorm 1 and 0, in both.
local C = require("fsam.C")
local lib, check = C.lib, C.check

local M = {}

local function is_head(segment)
  return segment.name:find("^classifier%.") ~= nil
end

-- How a segment starts: normal or uniform, shift, scale.
local function rule(segment, segments, config, head_init)
  local name = segment.name
  if segment.kind == "norm" then
    return false, name:find("weight$") and 1 or 0, 0
  elseif is_head(segment) and head_init ~= "hf" then
    local matrix = segments[name:gsub("%.bias$", ".weight")]
    local bound = 1 / math.sqrt(matrix.shape[2])
    return false, -bound, 2 * bound
  elseif name:find("bias$") then
    return false, 0, 0
  end
  return true, 0, config.initializer_range
end

--- Gives the listed segments their starting values in w.
-- @tparam table params sealed parameters
-- @tparam table config fsam.formats.config
-- @tparam table list segments that start fresh
-- @tparam table o seed (default 1), head_init ("fairseq", default, or "hf")
function M.fill(params, config, list, o)
  for _, segment in ipairs(list) do
    segment = params.by_name[segment.name]
    local normal, shift, scale = rule(segment, params.by_name, config, o.head_init)
    local t = params:master(segment)
    check(lib.fsam_tensor_random(t, normal and 1 or 0, shift, scale, o.seed or 1, segment.index))
    if segment.name:find("word_embeddings") then
      t:view({ 1, segment.shape[2] }, config.pad_token_id * segment.shape[2], "pad row"):fill(0)
    end
  end
  params:sync()
end

return M
