--- Directions in which to look: the gradient's, and random ones normalised filter by filter.
--
-- Owns: their definitions. Leaves to others: going along them (init.lua). A direction is a scratch
-- vector of the model.

local arguments = require("fsam.base.arguments")
local schema = require("fsam.base.schema")

local M = {}

--- d = g / ‖g‖, so that a multiple t is the distance from w.
-- @tparam table view fsam.landscape
-- @tparam string name of the scratch vector
-- @treturn table the direction
-- @treturn number ‖g‖
-- @treturn number the loss at w
function M.gradient(view, name)
  local d = view.params:scratch(name)
  local loss = view:gradient(d)
  local norm = d:norm():read()
  d:set(d / d:norm())
  d:tensor() -- runs what waits
  return d, norm, loss
end

-- Scales each row of d [rows, width] to the length of the same row of w; a row of w that is zero
-- stays where it is. d, w: float arrays; sums in f64.
local function normalise_rows(d, w, rows, width)
  for first = 0, (rows - 1) * width, width do
    local dd, ww = 0, 0
    for k = first, first + width - 1 do
      dd, ww = dd + d[k] * d[k], ww + w[k] * w[k]
    end
    local factor = dd > 0 and math.sqrt(ww / dd) or 0
    for k = first, first + width - 1 do
      d[k] = d[k] * factor
    end
  end
end

--- A filter-normalised random direction (Li et al. 2018, sec. 4): normal numbers, scaled so that
-- each filter is as long as the model's own. A filter is what feeds one neuron: a row of a matrix,
-- or of an embedding table. Biases and LayerNorm's parameters stay where they are (their code's
-- "biasbn"), as do frozen parameters. So a multiple t moves each filter by |t| of its length.
-- @tparam table params
-- @tparam string name of the scratch vector
-- @tparam integer seed
-- @tparam integer number which direction of that seed
-- @treturn table the direction
function M.random(params, name, seed, number)
  local d = params:scratch(name)
  d:set(params:normal({ seed = seed, step = number, stream = 0x4c414e44 })) -- "LAND"
  for _, parameter in ipairs(params.parameters) do
    local part = d:parameter(parameter)
    if #parameter.shape < 2 or parameter.frozen then
      part:fill(0)
    else
      local host, count = part:to_host()
      local rows = parameter.shape[1]
      normalise_rows(host, (params:master(parameter):to_host()), rows, count / rows)
      part:write(host)
    end
  end
  params:touch(d)
  return d
end

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.landscape.directions", M, {
  gradient = { arguments.arg("view", arguments.object("a view, of fsam.landscape.new",
    { params = "table", evaluate = "function" })), NAME },
  random = { arguments.arg("params", arguments.object("a model's params",
    { queue = "table", w = "table" })), NAME, arguments.arg("seed", schema.integer(0)),
    arguments.arg("number", schema.integer(0)) },
})

return M
