--- A model's parameters as its forward function sees them: tensors to read, and groups that one
-- product can serve. Owns: those views. Leaves to others: the vectors beneath (fsam.vector), where
-- gradients go (fsam.pass.gradients), which op reads which view (fsam.models).
--
-- A view is { parameters, value, shape }: one parameter, or several of one shape that lie side by
-- side and are read as one tensor.
local Weights = {}
Weights.__index = Weights

--- @tparam table params sealed parameters (fsam.vector.params)
function Weights.new(params)
  local self = setmetatable({ params = params, by_name = {}, views = {} }, Weights)
  for _, parameter in ipairs(params.parameters) do
    local view = { parameters = { parameter }, value = params:weight(parameter),
      shape = parameter.shape }
    self.by_name[parameter.name] = view
    table.insert(self.views, view)
  end
  return self
end

--- The view of a name.
function Weights:get(name)
  return assert(self.by_name[name], name)
end

-- True when parameters of one shape lie one after another without gaps.
local function adjacent(parameters)
  for i = 2, #parameters do
    local last = parameters[i - 1]
    if parameters[i].count ~= last.count or parameters[i].offset ~= last.offset + last.count then
      return false
    end
  end
  return true
end

-- One view that stands for several adjacent ones; nil when they are not.
local function fuse(self, views)
  local parameters = {}
  for i, view in ipairs(views) do
    parameters[i] = view.parameters[1]
  end
  if not adjacent(parameters) then
    return nil
  end
  local shape = views[1].value:dims()
  shape[1] = shape[1] * #parameters
  local fused = { parameters = parameters, shape = shape,
    value = self.params:weight(parameters, shape) }
  table.insert(self.views, fused)
  return fused
end

-- Is a member frozen? A frozen member's gradient is not computed, so the group's cannot be one
-- product.
local function some_frozen(members)
  for _, member in ipairs(members) do
    if member.weight.parameters[1].frozen or member.bias.parameters[1].frozen then
      return true
    end
  end
  return false
end

--- Linear maps of one input whose outputs lie side by side (fsam.pass.ops.linear_group).
-- @tparam table names base names; each has .weight [N,K] and .bias [N]
-- @treturn table members = { { weight, bias }, … }; width; weight, bias = fused views where the
--   members lie side by side; one_gradient: the fused weight's gradient is one product too
function Weights:group(names)
  local members, weights, biases, width = {}, {}, {}, 0
  for i, name in ipairs(names) do
    local member = { weight = self:get(name .. ".weight"), bias = self:get(name .. ".bias") }
    members[i], weights[i], biases[i] = member, member.weight, member.bias
    width = width + member.weight.parameters[1].shape[1]
  end
  local group = { members = members, width = width }
  local weight = fuse(self, weights)
  local bias = weight and fuse(self, biases)
  if bias then
    group.weight, group.bias, group.one_gradient = weight, bias, not some_frozen(members)
  end
  return group
end

return Weights
