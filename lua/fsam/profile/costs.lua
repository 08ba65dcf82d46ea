--- What a call of a kernel is worth: the exact number of floating-point operations of its matrix
-- products, from the shapes of its tensors. A kernel that is not listed has none: it costs memory.
-- Owns: these formulas. Leaves to others: bytes, which the engine counts (engine/profile.c).
local M = {}

-- Each gets a call (fsam_profile_call of engine/fsam.h): rows and columns of the kernel's tensors
-- in the order of its arguments.
local function weight_gradient(rows, columns) -- dw[N,K] = dyᵀ x; db, dy[M,N], …
  return 2 * rows[0] * columns[0] * rows[2]
end

local FLOPS = {
  -- y[M,N] = x[M,K] wᵀ
  linear_forward = function(rows, columns)
    return 2 * rows[0] * columns[0] * columns[1]
  end,
  -- dx[M,K] = dy[M,N] w
  linear_backward_input = function(rows, columns)
    return 2 * rows[0] * columns[0] * columns[1]
  end,
  linear_backward_weight = weight_gradient,
  linear_backward_squares = weight_gradient, -- sample after sample; counts the tail
  -- out[T,H]: scores, and their product with the values
  attention_forward = function(_, columns, pairs)
    return 4 * pairs * columns[0]
  end,
  -- dqkv[T,3H], dout[T,H]: scores again, and the gradients of probabilities, values, queries, keys
  attention_backward = function(_, columns, pairs)
    return 10 * pairs * columns[1]
  end,
}

--- @tparam string kernel its name
-- @tparam cdata call fsam_profile_call
-- @treturn number operations of matrix products; an addition and a multiplication are two
function M.flops(kernel, call)
  local formula = FLOPS[kernel]
  return formula and tonumber(formula(call.rows, call.columns, call.pairs)) or 0
end

return M
