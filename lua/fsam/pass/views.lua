--- A model's parameters as its graph sees them: tensors to read, gradients to write, groups that
-- one product can serve. Owns: those views. Leaves to others: the vectors beneath (fsam.params).
local Weights = {}
Weights.__index = Weights

--- @tparam table params sealed parameters (fsam.params)
function Weights.new(params)
  local self = setmetatable({ params = params, by_name = {}, list = {}, groups = {} }, Weights)
  for i, parameter in ipairs(params.parameters) do
    local value = params:weight(parameter)
    local view = { name = parameter.name, parameters = { parameter }, value = value }
    self.by_name[parameter.name], self.list[i] = view, view
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
    width = width + member.weight.parameters[1].shape[1]
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

--- Where the gradients of a pass go.
-- @tparam table into a vector of the layout (fsam.params): g, or one that a type keeps for g2
-- @treturn table an object for fsam.tape, `of(view)`, and for fsam.pass: `begin(skip, add)`,
--   `advance()` after each micro-batch, `finish()`; and for fsam.pass.cuda_graphs: `whole`, `wrote`
function Weights:gradients(into)
  local grads = setmetatable({ weights = self, tensors = {}, skip = {} }, Grads)
  for _, view in ipairs(self.list) do
    grads.tensors[view] = self.params:grad(view.parameters[1], into)
  end
  for _, group in ipairs(self.groups) do
    grads.tensors[group] = self.params:grad(group.parameters, into, group.shape)
  end
  return grads
end

--- Starts a pass: nothing is written yet.
-- @tparam[opt] table skip parameter → true: parameters that get no gradient in this pass
-- @tparam[opt] boolean add the pass adds to what the vector holds
function Grads:begin(skip, add)
  self.skip, self.adds, self.fresh = skip or {}, add or false, not add
  for _, t in pairs(self.tensors) do
    t.filled = add and 1 or 0
  end
end

--- The gradient tensor of a view; nil when one of its parameters is frozen or left out.
function Grads:of(view)
  for _, parameter in ipairs(view.parameters) do
    if parameter.frozen or self.skip[parameter] then
      return nil
    end
  end
  return self.tensors[view]
end

--- Runs `work`, which records a pass, with nothing left out, and with the gradients all to be
-- written or all to be added to; then everything is as it was.
function Grads:whole(work)
  local skip, filled = self.skip, {}
  for view, t in pairs(self.tensors) do
    filled[view], t.filled = t.filled, self.fresh and 0 or 1
  end
  self.skip = {}
  work()
  self.skip = skip
  for view, t in pairs(self.tensors) do
    t.filled = filled[view]
  end
end

--- Takes note of a recorded pass that has run: it wrote the gradients of these parameters, of which
-- those that this pass leaves out do not count.
-- @tparam table views view → true
function Grads:wrote(views)
  for view in pairs(views) do
    if self:of(view) then
      self.tensors[view].filled = 1
    end
    for _, parameter in ipairs(#view.parameters > 1 and view.parameters or {}) do
      local member = self.weights.by_name[parameter.name]
      if self:of(member) then
        self.tensors[member].filled = 1
      end
    end
  end
end

--- Ends a micro-batch: the next one of the pass adds.
function Grads:advance()
  self.fresh = false
end

--- Ends a pass: parameters that nobody wrote become zero.
function Grads:finish()
  local written = {}
  for view, t in pairs(self.tensors) do
    if t.filled == 1 then
      for _, parameter in ipairs(view.parameters) do
        written[parameter] = true
      end
    end
  end
  for _, view in ipairs(self.weights.list) do
    local parameter = view.parameters[1]
    -- A frozen one's gradient is zero for good.
    if not written[parameter] and not parameter.frozen then
      self.tensors[view]:fill(0)
    end
  end
end

return Weights
