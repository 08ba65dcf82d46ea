--- A model's parameters as its graph sees them: tensors to read, gradients to write, groups that one
-- product can serve. Owns: those views. Leaves to others: the vectors beneath (fsam.params).
local Weights = {}
Weights.__index = Weights

--- @tparam table params sealed parameters (fsam.params)
function Weights.new(params)
  local self = setmetatable({ params = params, by_name = {}, list = {}, groups = {} }, Weights)
  for i, segment in ipairs(params.segments) do
    local parameter = { name = segment.name, segments = { segment }, value = params:weight(segment) }
    self.by_name[segment.name], self.list[i] = parameter, parameter
  end
  return self
end

--- The parameter of a name.
function Weights:get(name)
  return assert(self.by_name[name], name)
end

-- True when the segments lie one after another without gaps.
local function adjacent(segments)
  for i = 2, #segments do
    if segments[i].offset ~= segments[i - 1].offset + segments[i - 1].count then
      return false
    end
  end
  return true
end

-- One tensor over several adjacent segments: the first one's view with all their rows.
local function spanning(first, segments)
  local rows = 0
  for _, segment in ipairs(segments) do
    rows = rows + segment.shape[1]
  end
  local t = first:view(first:dims(), 0, "group of " .. segments[1].name)
  t.shape[0] = rows
  return t
end

-- One parameter that stands for several adjacent ones; nil when they are not.
local function fuse(self, parameters)
  local segments = {}
  for i, parameter in ipairs(parameters) do
    segments[i] = parameter.segments[1]
  end
  if not adjacent(segments) then
    return nil
  end
  local fused = { name = "group", segments = segments, value = spanning(parameters[1].value, segments) }
  table.insert(self.groups, fused)
  return fused
end

--- Linear maps of one input whose outputs lie side by side (fsam.ops.linear_group).
-- @tparam table names base names; each has .weight [N,K] and .bias [N]
function Weights:group(names)
  local members, weights, biases, width = {}, {}, {}, 0
  for i, name in ipairs(names) do
    local member = { weight = self:get(name .. ".weight"), bias = self:get(name .. ".bias") }
    members[i], weights[i], biases[i] = member, member.weight, member.bias
    width = width + member.weight.segments[1].shape[1]
  end
  local group = { members = members, width = width }
  local weight = fuse(self, weights)
  local bias = weight and fuse(self, biases)
  if weight and bias then
    group.weight, group.bias = weight, bias
  end
  return group
end

local Grads = {}
Grads.__index = Grads

--- Where the gradients of a pass go: the named vector.
-- @tparam string name "g", "g2" or another vector of the layout
-- @treturn table an object for fsam.tape: `of(parameter)`; `begin(skip)`, `finish()`
function Weights:gradients(name)
  local grads = setmetatable({ weights = self, tensors = {}, skip = {} }, Grads)
  for _, parameter in ipairs(self.list) do
    grads.tensors[parameter] = self.params:grad(parameter.segments[1], name)
  end
  for _, group in ipairs(self.groups) do
    local first = self.by_name[group.segments[1].name]
    grads.tensors[group] = spanning(grads.tensors[first], group.segments)
  end
  return grads
end

--- Starts a pass: nothing is written yet.
-- @tparam[opt] table skip segment → true: segments that get no gradient in this pass
function Grads:begin(skip)
  self.skip = skip or {}
  for _, t in pairs(self.tensors) do
    t.filled = 0
  end
end

--- The gradient tensor of a parameter; nil when one of its segments is frozen or left out.
function Grads:of(parameter)
  for _, segment in ipairs(parameter.segments) do
    if segment.frozen or self.skip[segment] then
      return nil
    end
  end
  return self.tensors[parameter]
end

--- Ends a pass: segments that nobody wrote become zero.
function Grads:finish()
  local written = {}
  for parameter, t in pairs(self.tensors) do
    if t.filled == 1 then
      for _, segment in ipairs(parameter.segments) do
        written[segment] = true
      end
    end
  end
  for _, parameter in ipairs(self.weights.list) do
    if not written[parameter.segments[1]] then
      self.tensors[parameter]:fill(0)
    end
  end
end

return Weights
