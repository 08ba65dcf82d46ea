--- The loss around trained weights: along a direction, on a plane, and its curvature.
--
--     local view = landscape.new({ model = model, pass = pass, batches = batches })
--     view:loss(e)                    mean loss at w + e (at w without e)
--     view:gradient(into, e)          mean gradient there, into a vector; returns the loss
--     view:line(d, reach, points)     { at, loss }: losses at w + t d, t from -reach to reach
--     view:plane(a, b, reach, grid)   { at, loss }: loss[i][j] at w + at[j] a + at[i] b
--
-- All passes run without dropout over the same batches. Owns: where c stands. Every method puts c
-- back to w, also when a pass fails; nothing writes w or the files of the model. Leaves to others:
-- directions (directions.lua), eigenvalues (curvature.lua), writing what was found (report.lua),
-- drawing it (picture.lua), a recipe's flags (flags.lua).
local arguments = require("fsam.base.arguments")
local code = require("fsam.vector.instructions")
local errors = require("fsam.errors")
local expression = require("fsam.vector.expression")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")
local storage = require("fsam.vector.storage")

local M = {}

local View = {}
View.__index = View

--- @tparam table o model, pass (fsam.pass), batches (host batches); or params and evaluate, a
--   function like that of Pass:bind (fsam.pass)
-- @raise when the model has other labels than the data (o.labels, names), where these are given
function M.new(o)
  if o.labels and o.model and #o.labels ~= o.model.config.num_labels then
    errors.raise("the model has %d labels, the data %d (%s)", o.model.config.num_labels, #o.labels,
      table.concat(o.labels, ", "))
  end
  if not (o.model and o.pass and o.batches or o.params and o.evaluate) then
    source_line.fail_at(source_line.users(), "fsam.landscape.new: model, pass and batches are "
      .. "needed, or params and evaluate")
  end
  local params = o.params or o.model.params
  params:sync()
  return setmetatable({
    params = params,
    evaluate = o.evaluate or function(request)
      return o.pass:bind({ step = 0, batches = o.batches, training = false })(request)
    end,
  }, View)
end

-- A pass at w + e.
local function pass_at(self, e, request)
  local params = self.params
  if e then
    params.c:set(params.w + e)
  end
  local ok, result = pcall(self.evaluate, request)
  if e then
    params:sync()
  end
  if not ok then
    error(result, 0)
  end
  return result:mean()
end

--- Mean loss at w + e.
-- @tparam[opt] table e a vector or expression
function View:loss(e)
  return pass_at(self, e, { backward = false })
end

--- Mean gradient at w + e.
-- @tparam table into a vector
-- @tparam[opt] table e a vector or expression
-- @treturn number the mean loss there
function View:gradient(into, e)
  return pass_at(self, e, { backward = true, into = into })
end

-- n numbers from -reach to reach; with n odd, 0 is the middle one.
local function ticks(reach, n)
  local at = {}
  for i = 1, n do
    at[i] = reach * ((2 * i - 2) / (n - 1) - 1)
  end
  return at
end

--- Losses on a line through w.
-- @tparam table d direction: a vector
-- @tparam number reach the largest multiple of d
-- @tparam integer points odd
-- @treturn table at, loss: lists
function View:line(d, reach, points)
  local line = { at = ticks(reach, points), loss = {} }
  for i, t in ipairs(line.at) do
    line.loss[i] = self:loss(d * t)
  end
  return line
end

--- Losses on a plane through w.
-- @tparam table a, b directions: vectors
-- @tparam number reach the largest multiple of each
-- @tparam integer grid points on each side, odd
-- @treturn table at: a list; loss: rows, one for each multiple of b
function View:plane(a, b, reach, grid)
  local plane = { at = ticks(reach, grid), loss = {} }
  for i, y in ipairs(plane.at) do
    plane.loss[i] = {}
    for j, x in ipairs(plane.at) do
      plane.loss[i][j] = self:loss(a * x + b * y)
    end
  end
  return plane
end

for _, name in ipairs({ "curvature", "directions", "flags", "report" }) do
  M[name] = require("fsam.landscape." .. name)
end

local optional, number = arguments.optional, schema.number()
local VIEW = arguments.object("a view, of fsam.landscape.new",
  { params = "table", evaluate = "function" })
local value_of = arguments.where(function(x)
  return expression.rank(x) == code.VECTOR
end, "a vector of the model")
local E, D = arguments.arg("e", optional(value_of)), arguments.arg("direction", value_of)
local REACH, POINTS = arguments.arg("reach", number), arguments.arg("points", schema.integer(2))

arguments.guard("fsam.landscape", M, {
  new = { arguments.fields({ model = optional(arguments.object("a model", { params = "table" })),
    pass = optional(arguments.object("a pass, of fsam.pass.new", { bind = "function" })),
    batches = optional(schema.list(arguments.table, 1)),
    labels = optional(schema.list(schema.string)), params = optional(arguments.table),
    evaluate = optional(arguments.func) }) },
})
arguments.guard("view:", View, {
  loss = { self = VIEW, E }, line = { self = VIEW, D, REACH, POINTS },
  gradient = { self = VIEW, arguments.arg("into", storage.is_target), E },
  plane = { self = VIEW, D, D, REACH, POINTS },
})

return M
