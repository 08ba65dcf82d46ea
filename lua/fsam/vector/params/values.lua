--- Values that are not stored: rows asked for parameter by parameter, and random vectors. Methods
-- of fsam.params.
local code = require("fsam.vector.instructions")
local node = require("fsam.vector.expression")
local source_line = require("fsam.base.source_line")

source_line.own()

local Params = {}

--- A row: one number or boolean per parameter, asked for now.
-- @tparam function fn gets a parameter: name, kind, layer, shape, decay, frozen, …
function Params:each(fn)
  if type(fn) ~= "function" then
    source_line.fail("each: a function of a parameter is needed, got %s", node.describe(fn))
  end
  local values, kind = {}, nil
  for i, parameter in ipairs(self.parameters) do
    local value = fn(parameter)
    local bool = type(value) == "boolean"
    if not bool and type(value) ~= "number" or value ~= value then
      source_line.fail("each: the function gave %s for %s; a number or boolean is needed",
        node.describe(value), parameter.name)
    end
    local this = bool and code.ROW + code.BOOL or code.ROW
    kind = (kind or this) == this and this or code.ROW
    values[i] = bool and (value and 1 or 0) or value
  end
  local row = node.new(code.CELL, false, false, false, self, kind or code.ROW)
  row.cell = self.row_cells:take()
  self.row_cells:write(row.cell, values)
  return row
end

local function random(self, op, what, options)
  for _, name in ipairs({ "seed", "step" }) do
    if options == nil or options[name] == nil then
      source_line.fail("%s: a %s is needed: params:%s{ seed =, step = }", what, name, what)
    end
  end
  return node.new(op, node.operand(options.seed, what), node.operand(options.step, what),
    node.operand(options.stream or 0, what), self, code.VECTOR)
end

--- Standard normal numbers, one per element: functions of seed, step, stream (default 0) and the
-- element's place, and of nothing else.
function Params:normal(options)
  return random(self, code.OP.NORMAL, "normal", options)
end

--- Uniform numbers k / 2^24 in [0, 1), likewise.
function Params:uniform(options)
  return random(self, code.OP.UNIFORM, "uniform", options)
end

--- How many elements a reduction runs over: a number, or a row for groups 1 (parameters), 2
-- (layers).
function Params:element_count(group)
  if group == 0 then
    return self.trainable
  end
  local counts = {}
  for _, parameter in ipairs(self.parameters) do
    local name = group == 1 and parameter.name or parameter.layer
    counts[name] = (counts[name] or 0) + (parameter.frozen and 0 or parameter.count)
  end
  return self:each(function(parameter)
    return counts[group == 1 and parameter.name or parameter.layer]
  end)
end

return Params
