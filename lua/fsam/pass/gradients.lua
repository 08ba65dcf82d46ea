--- A model's parameters as its graph sees them: tensors to read, gradients to write, groups that
-- one product can serve. Owns: those views. Leaves to others: the vectors beneath (fsam.params).
local Weights = {}
Weights.__index = Weights

--- @tparam table params sealed parameters (fsam.params)
function Weights.new(params)
  local self = setmetatable({ params = params, by_name = {}, list = {}, groups = {} }, Weights)
  for i, segment in ipairs(params.segments) do
    local value = params:weight(segment)
    local parameter = { name = segment.name, segments = { segment }, value = value }
    self.by_name[segment.name], self.list[i] = parameter, parameter
  end
  return self
end

--- The parameter of a name.
function Weights:get(name)
  return assert(self.by_name[name], name)
end

-- True when segments of one shape lie one after another without gaps.
local function adjacent(segments)
  for i = 2, #segments do
    local last = segments[i - 1]
    if segments[i].count ~= last.count or segments[i].offset ~= last.offset + last.count then
      return false
    end
  end
  return true
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
  local shape = parameters[1].value:dims()
  shape[1] = shape[1] * #segments
  local fused = { segments = segments, shape = shape, value = self.params:weight(segments, shape) }
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

--- Where the gradients of a pass go.
-- @tparam table into a vector of the layout (fsam.params): g, or one that a type keeps for g2
-- @treturn table an object for fsam.tape, `of(parameter)`, and for fsam.pass: `begin(skip, add)`,
--   `advance()` after each micro-batch, `finish()`; and for fsam.pass.cuda_graphs: `whole`, `wrote`
function Weights:gradients(into)
  local grads = setmetatable({ weights = self, tensors = {}, skip = {} }, Grads)
  for _, parameter in ipairs(self.list) do
    grads.tensors[parameter] = self.params:grad(parameter.segments[1], into)
  end
  for _, group in ipairs(self.groups) do
    grads.tensors[group] = self.params:grad(group.segments, into, group.shape)
  end
  return grads
end

--- Starts a pass: nothing is written yet.
-- @tparam[opt] table skip segment → true: segments that get no gradient in this pass
-- @tparam[opt] boolean add the pass adds to what the vector holds
function Grads:begin(skip, add)
  self.skip, self.adds, self.fresh = skip or {}, add or false, not add
  for _, t in pairs(self.tensors) do
    t.filled = add and 1 or 0
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

--- Runs `work`, which records a pass, with nothing left out, and with the gradients all to be
-- written or all to be added to; then everything is as it was.
function Grads:whole(work)
  local skip, filled = self.skip, {}
  for parameter, t in pairs(self.tensors) do
    filled[parameter], t.filled = t.filled, self.fresh and 0 or 1
  end
  self.skip = {}
  work()
  self.skip = skip
  for parameter, t in pairs(self.tensors) do
    t.filled = filled[parameter]
  end
end

--- Takes note of a recorded pass that has run: it wrote the gradients of these parameters, of which
-- those that this pass leaves out do not count.
-- @tparam table parameters parameter → true
function Grads:wrote(parameters)
  for parameter in pairs(parameters) do
    if self:of(parameter) then
      self.tensors[parameter].filled = 1
    end
    for _, segment in ipairs(#parameter.segments > 1 and parameter.segments or {}) do
      local member = self.weights.by_name[segment.name]
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
    local segment = parameter.segments[1]
    if not written[segment] and not segment.frozen then -- a frozen one's gradient is zero for good
      self.tensors[parameter]:fill(0)
    end
  end
end

return Weights
