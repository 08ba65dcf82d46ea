--- The gradients that one pass leaves in a vector, by the views of its parameters
-- (fsam.pass.views). Owns: which parameters get a gradient in this pass, and the rule of writing.
-- Leaves to others: computing them (fsam.pass.ops), the vector (fsam.vector).
--
-- The rule of writing. A kernel overwrites a tensor whose `filled` is 0 and adds to one whose
-- `filled` is 1. The first writer of a view in a pass overwrites, later ones add: other uses of the
-- same weights, other micro-batches. At the pass's end, gradients that nothing wrote become zero.
-- `written` has the views written so far, each with the entry of the tape that wrote it last;
-- `write` sets `filled` from it, and nothing else does. `sealed` has views that ranks sum already.
-- `squared` has those whose squares a GPU has added up (fsam_squares_part), which their norm needs.
local C = require("fsam.C")
local errors = require("fsam.errors")
local lib, check = C.lib, C.check

local VIEWS = 4 -- whose squares are added up in one launch

local Grads = {}
Grads.__index = Grads

--- @tparam table weights fsam.pass.views
-- @tparam table into a vector of the model: g, or the storage of g2
function Grads.new(weights, into)
  local self = setmetatable({ tensors = {}, skip = {}, written = {}, sealed = {}, squared = {},
    entry = 0, layout = weights.params.layout, vector = into.raw }, Grads)
  for _, view in ipairs(weights.views) do
    self.tensors[view] = weights.params:grad(view.parameters, into, view.shape)
  end
  return self
end

--- Starts a pass: nothing is written yet.
-- @tparam[opt] table skip parameter → true: parameters whose gradient is 0 in this pass
-- @tparam[opt] boolean accumulate the pass adds to what the vector holds
-- @tparam[opt] boolean early on a GPU the squares of what is written are added up at once
-- @raise when skip and accumulate are given: what the vector holds and 0 cannot both be a skipped
--   parameter's
function Grads:begin(skip, accumulate, early)
  self.skip, self.accumulate, self.early = skip or {}, accumulate or false, early or false
  self:restart()
  if accumulate and next(self.skip) then
    errors.raise("a pass that adds to a gradient cannot skip parameters; give skip or accumulate")
  end
end

--- Forgets what this pass has written: its micro-batch begins again.
function Grads:restart()
  self.written, self.sealed, self.squared, self.run = {}, {}, {}, nil
end

--- What was added up is no longer of the vector: a pass begins to write into it.
function Grads:forget_squares()
  lib.fsam_squares_of(self.layout, nil)
end

--- From here on no op may write into these views: ranks sum them.
function Grads:seal(views)
  for _, view in ipairs(views) do
    self.sealed[view] = true
  end
end

--- True when some parameter of the view gets a gradient in this pass. The gradient of a fused view
-- is whole even if some of its parameters are skipped, so that skipping changes the shape of no
-- product, and with it no bit of what is kept.
function Grads:wants(view)
  for _, parameter in ipairs(view.parameters) do
    if not (parameter.frozen or self.skip[parameter]) then
      return true
    end
  end
  return false
end

--- The gradient tensor of a view, for the kernel that writes it next; nil when it is not wanted.
function Grads:write(view)
  if not self:wants(view) then
    return nil
  end
  if self.sealed[view] then
    errors.raise("the gradient of %s is written after it was sent to the other ranks",
      view.parameters[1].name)
  end
  local t = self.tensors[view]
  t.filled = (self.accumulate or self.written[view]) and 1 or 0
  self.written[view] = self.entry
  return t
end

--- Adds up the squares of a view whose gradient was just queued, where that is wanted: `early`. A
-- later writer of the view does so again. Views that lie one before another go in one launch, up
-- to four of them, which are about a layer.
function Grads:square(view)
  if not self.early then
    return
  end
  local count = 0
  for _, parameter in ipairs(view.parameters) do
    count = count + parameter.count
  end
  local first, run = view.parameters[1].offset, self.run
  if run and first + count == run.first then
    run.first, run.count, run.views = first, run.count + count, run.views + 1
  else
    self:square_run()
    self.run = { first = first, count = count, views = 1 }
  end
  self.squared[first] = count
  if self.run.views == VIEWS then
    self:square_run()
  end
end

--- Adds up those that wait for more.
function Grads:square_run()
  local run = self.run
  self.run = nil
  if run then
    check(lib.fsam_squares_part(self.layout, self.vector, run.first, run.count))
  end
end

--- Adds up the squares of all the rest, when nothing will write into the vector any more before the
-- next program runs.
function Grads:square_rest()
  local firsts, total = {}, tonumber(self.vector.shape[0])
  for first in pairs(self.squared) do
    firsts[#firsts + 1] = first
  end
  table.sort(firsts)
  firsts[#firsts + 1] = total
  local at = 0
  for _, first in ipairs(firsts) do
    if first > at then
      check(lib.fsam_squares_part(self.layout, self.vector, at, first - at))
    end
    at = math.max(at, first + (self.squared[first] or 0))
  end
  lib.fsam_squares_of(self.layout, self.vector)
end

--- Ends a pass: gradients of skipped parameters, and those that no op has written, become zero.
function Grads:finish()
  if self.accumulate then
    return
  end
  local written = {}
  for view in pairs(self.written) do
    for _, parameter in ipairs(view.parameters) do
      written[parameter] = not self.skip[parameter]
    end
  end
  for view, t in pairs(self.tensors) do
    local parameter = view.parameters[1]
    -- A frozen parameter's gradient is always zero. Fused views share the memory of single ones.
    if not view.parameters[2] and not written[parameter] and not parameter.frozen then
      t:fill(0)
    end
  end
end

return Grads
