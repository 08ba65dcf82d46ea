--- The largest eigenvalue of the loss's Hessian H at w, by power iteration.
--
-- Owns: the iteration. Leaves to others: gradients (init.lua). H is never formed; a product with it
-- is a central difference of gradients,
--   H v ≈ (∇L(w + h v) - ∇L(w - h v)) / 2h,      ‖v‖ = 1
-- whose error falls with h² (the loss's fourth derivatives) and grows with 1/h (the gradients' f32
-- rounding). Power iteration finds the eigenvalue of largest magnitude. Where that is negative, a
-- second iteration on H + |λ| I, whose eigenvalues are all at least 0, finds the largest.
--
-- Source: power iteration with finite differences, as in LeCun, Simard & Pearlmutter (1993); its
-- use for neural networks' sharpness, and the stopping rule, as in PyHessian (Yao et al. 2020).

local arguments = require("fsam.base.arguments")
local schema = require("fsam.base.schema")

local M = {}

--- What `largest` takes for options that are left out.
M.defaults = { h = 1e-3, tolerance = 1e-3, iterations = 100, seed = 1 }

-- One iteration: v ← (H - shift) v, normalised. Returns Rayleigh's quotient of H at the old v, and
-- how far v was from an eigenvector, ‖H v - λ v‖.
local function iterate(view, vectors, h, shift)
  local v, up, down = vectors.v, vectors.up, vectors.down
  view:gradient(up, v * h)
  view:gradient(down, v * -h)
  local hv = up:set((up - down) * (1 / (2 * h)))
  local value = v:dot(hv):read()
  local off = up - v * value
  local residual = off:norm():read()
  local moved = up - v * shift
  v:set(moved / moved:norm())
  v:tensor() -- runs what waits
  return value, residual
end

-- Power iteration on H - shift from a random start, until Rayleigh's quotient (of what is iterated)
-- changes by less than the tolerance, relative to itself.
local function power(view, vectors, o, shift, number)
  local params, v = view.params, vectors.v
  local start = params:normal({ seed = o.seed, step = number, stream = 0x48455353 }) -- "HESS"
  local movable = params:each(function(parameter)
    return parameter.frozen and 0 or 1
  end)
  start = start * movable
  v:set(start / start:norm())
  v:tensor()
  local found, last = { iterations = 0, converged = false }, nil
  while found.iterations < o.iterations and not found.converged do
    found.value, found.residual = iterate(view, vectors, o.h, shift)
    found.iterations = found.iterations + 1
    local now = found.value - shift
    found.converged = now == 0 or last ~= nil
      and math.abs(now - last) <= o.tolerance * math.abs(now)
    last = now
  end
  return found
end

--- The largest eigenvalue. Uses three scratch vectors; each iteration is two gradients.
-- @tparam table view fsam.landscape, of a model in f32
-- @tparam[opt] table options h (length of the step), tolerance, iterations (most), seed
-- @treturn table value; residual (‖H v - λ v‖: some eigenvalue lies this near); iterations (all
--   that were run); converged; lowest (the most negative eigenvalue, where it is the largest in
--   magnitude); h, tolerance
function M.largest(view, options)
  local o, params = {}, view.params
  for name, value in pairs(M.defaults) do
    o[name] = options and options[name] or value
  end
  local vectors = { v = params:scratch("hessian.v"), up = params:scratch("hessian.up"),
    down = params:scratch("hessian.down") }
  local found = power(view, vectors, o, 0, 0)
  if found.value < 0 then
    local lowest = found
    found = power(view, vectors, o, lowest.value, 1)
    found.lowest, found.iterations = lowest.value, found.iterations + lowest.iterations
    found.converged = found.converged and lowest.converged
  end
  found.h, found.tolerance = o.h, o.tolerance
  return found
end

local positive = arguments.optional(schema.number(0))
arguments.guard("fsam.landscape.curvature", M, {
  largest = { arguments.arg("view", arguments.object("a view, of fsam.landscape.new",
    { params = "table", evaluate = "function" })),
    arguments.optional_fields({ h = positive, tolerance = positive,
      iterations = arguments.optional(schema.integer(1)),
      seed = arguments.optional(schema.integer(0)) }) },
})

return M
