--- One training step: the only file that knows the order of things. It runs passes, a mask policy,
-- a sam-type's parts and a base optimizer; what each of them computes is theirs.
--
--   [mask, if its policy has passes] [explore] pass 1 [mask] [every?] e = ascend, masked; c = w + e
--   [select] pass 2, d = descend, clip, base update, c = w
--
-- Nothing persistent changes before everything is known to be finite: then one commit, else
-- discard.
local View = require("fsam.step_view")
local diagnosis = require("fsam.step_diagnosis")
local masking = require("fsam.sam.masking")
local errors = require("fsam.errors")

local Optimizer = {}
Optimizer.__index = Optimizer

local M = {}

--- @tparam table o params; base (fsam.optim); type (fsam.sam) or nil; options; seed; sampler
function M.new(o)
  local self = setmetatable({
    params = o.params,
    type = o.type,
    base = o.base,
    options = o.options,
    seed = o.seed,
    applied = 0,
  }, Optimizer)
  -- A base that the type replaces keeps no state.
  local replaced = o.type and o.type.update and { name = o.base.name, options = o.base.options }
  self.base_view = View.new(self, replaced or o.base, o.base.name .. ".")
  self.view = View.new(self, o.type or { name = "plain" }, "sam.")
  self.view.base = self.base_view
  if o.type and o.type.masked then
    self.masking = masking.new(o.params, o.options, o.sampler, o.seed)
  end
  -- g2 needs storage of its own if somebody reads g after the second pass.
  local t = o.type
  self.keeps_g = t and (t.descend or t.after or t.update or (t.state and #t.state > 0)) and true
    or false
  return self
end

local function is_finite(x)
  return x == x and x > -math.huge and x < math.huge
end

-- Raised inside a step to leave it; caught by Optimizer.step.
local Skip = {}

local function skip(reason)
  error(setmetatable({ reason = reason }, Skip), 0)
end

-- Stops the step when x is not finite.
local function finite(x, what)
  if not is_finite(x) then
    skip(("%s is %s"):format(what, tostring(x)))
  end
  return x
end
Optimizer.finite = finite -- for fsam.step_view's own passes

-- Clipping: d scaled to at most C (fairseq's coefficient). C = 0 only measures.
local function clip(d, norm, limit)
  if not limit or limit == 0 then
    return d
  end
  return d * (limit / (norm + 1e-6)):min(1)
end

-- Pass 1 and, where they apply, exploration and the masks before and after it. Returns its result
-- and, as requested scalars, the norms of its gradient and of the exploration.
local function first_pass(self, s, o, look)
  local t, params, mask = self.type or {}, self.params, self.masking
  local context = { params = params, evaluate = o.evaluate, seed = self.seed,
    finite = function(x) return finite(x, "the loss of a mask's sample") end }
  if mask and mask:is_due(o.step) and mask.policy.passes then
    mask:refresh(s, context)
  end
  local explored
  if t.explore then
    if look then
      look:before_explore()
    end
    local x = t.explore(s)
    if look then
      look:explored(x)
    end
    params.c:set(params.w + x)
    explored = x:norm():request()
  end
  local whole = mask and mask:wants_all(o.step)
  local left_out = not whole and t.skip and t.skip(s) or nil
  local result = o.evaluate({ into = params.g, backward = true, skip = left_out })
  finite(result:mean(), "the loss")
  if look then
    look:first(result, left_out)
  end
  s.g, s.losses = params.g, result:losses()
  local norm = params.g:norm():request()
  if self.options.clip_at == "first" then
    s.g = clip(s.g, norm, self.options.clip_norm)
  end
  if mask and mask:is_due(o.step) and not mask.policy.passes then
    finite(norm:read(), "the gradient's norm")
    mask:refresh(s, context)
  end
  if mask and mask:is_pause() then
    s.g = params.g:set(0)
  end
  return result, norm, explored
end

-- c ← w + e. Returns e's norm as a requested scalar.
local function ascend(self, s, look)
  local params, e = self.params, self.type.ascend and self.type.ascend(s)
  if not e then
    if self.type.ascend then
      errors.raise("sam-type %s: ascend returned nothing; return the perturbation", self.type.name)
    end
    return nil
  end
  if look and self.masking then
    look:unmasked(e)
  end
  e = self.masking and self.masking:apply(e) or e
  params.c:set(params.w + e)
  return e:norm():request()
end

-- Pass 2 over all samples or the selected ones.
local function second_pass(self, s, o, look)
  local params = self.params
  local choice = self.type.select and self.type.select(s)
  local into = (self.keeps_g or look) and params:scratch("g2") or params.g
  local result = o.evaluate({ into = into, backward = true, choice = choice })
  finite(result:mean(), "the loss at the perturbed point")
  s.g2 = self.options.second_gradient == "sum" and into * #result:losses() or into
  return result
end

-- The base update, what joins it, and c ← round(w), in one commit.
local function update(self, s, d)
  local params, b = self.params, self.base_view
  b.g, s.d = d, d
  local u = self.type and self.type.update and self.type.update(s) or self.base.update(b)
  if self.type and self.type.after then
    self.type.after(s)
  end
  local w = params.w:set(params.w - u)
  params.c:set(w)
  if self.masking then
    self.masking:keep()
  end
  params:commit()
end

local function run(self, s, o)
  local t, params = self.type, self.params
  local look = o.diagnose and diagnosis.new(params, s) or nil
  local first, gnorm, enorm = first_pass(self, s, o, look)
  local info = { loss = first:mean(), losses = s.losses, correct = first:correct(),
    rho = t and (t.ascend or t.explore) and rawget(s, "rho") or nil }
  local two = t and (t.passes or 2) == 2 and (not t.every or t.every(s))
  if two then
    enorm = ascend(self, s, look) or enorm
    local second = second_pass(self, s, o, look)
    info.perturbed = second:mean()
    if look then
      look:second(second, enorm)
    end
  end
  local d = t and t.descend and t.descend(s) or s.g2 or s.g
  local dnorm = d:norm():request()
  local g2norm = s.g2 and not rawequal(d, s.g2) and s.g2:norm():request()
  params:flush()
  info.gnorm, info.dnorm = finite(gnorm:read(), "the gradient's norm"),
    finite(dnorm:read(), "the update direction's norm")
  finite(g2norm and g2norm:read() or 0, "the second gradient's norm")
  info.enorm = enorm and enorm:read() or 0
  if self.options.clip_at ~= "first" then
    d = clip(d, dnorm, self.options.clip_norm)
  end
  update(self, s, d)
  info.mask = self.masking and self.masking:report() or nil
  info.diagnosis = look and look:report(info.gnorm, self.masking) or nil
  return info
end

--- One step.
-- @tparam table o evaluate (fsam.pass); step (number of the update, from 0); lr; lr_peak, lr_end
--   (for schedules of rho); progress (0 … 1); samples; micro_batches; train_samples; diagnose
--   (true: look closer, fsam.step_diagnosis; the weights do not change by it)
-- @treturn table loss, losses, correct (or nil) of the first pass; perturbed (mean loss at w + e);
--   gnorm, dnorm, enorm; rho; mask (a report, on the steps that made one); diagnosis; or skipped
--   alone (the reason: nothing has changed)
function Optimizer:step(o)
  local s, params = self.view, self.params
  s:begin(o, self.applied)
  self.base_view:begin(o, self.applied)
  params:begin_step()
  local ok, info = xpcall(run, function(e)
    return (getmetatable(e) == Skip or errors.is(e)) and e or debug.traceback(tostring(e), 2)
  end, self, s, o)
  if ok then
    self.applied = self.applied + 1
    return info
  end
  params:discard()
  self:prepare_evaluation()
  if getmetatable(info) ~= Skip then
    error(info, 0)
  end
  return { skipped = info.reason }
end

--- c ← round(w): before evaluation and saving, whatever a type left there.
function Optimizer:prepare_evaluation()
  self.params:sync()
end

--- What a checkpoint must hold beside the vectors (params:state()).
function Optimizer:state()
  return { applied = self.applied, masking = self.masking and self.masking:state() or nil }
end

--- The inverse of state().
function Optimizer:restore(state)
  self.applied = state.applied
  if self.masking then
    self.masking:restore(state.masking)
  end
end

return M
