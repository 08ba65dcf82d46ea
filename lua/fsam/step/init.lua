--- One training step: the only file that knows the order of things. What a sam-type's
-- parts, a mask policy and a base optimizer compute is theirs.
--
--   [mask, if its policy has passes] [explore] pass 1 [mask] [every?] e = ascend, masked; c = w + e
--   [select] pass 2, d = descend, clip, base update, c = w
--
-- With --m-sharpness, pass 1 to pass 2 run once for each group of samples (fsam.step.groups), and d
-- is the sum of the groups' shares. Nothing persistent changes before everything is known to be
-- finite: then one commit, else discard.
local Diagnosis = require("fsam.step.diagnosis")
local Log = require("fsam.step.log")
local Passes = require("fsam.step.passes")
local build = require("fsam.step.build")
local clip = require("fsam.step.clip")
local errors = require("fsam.errors")
local finite = require("fsam.step.finite")
local groups = require("fsam.step.groups")
local layer_decay = require("fsam.step.layer_decay")
local observe = require("fsam.step.observe")
local ranks = require("fsam.ranks")
local source_line = require("fsam.base.source_line")
local unused = require("fsam.step.unused")
local view = require("fsam.step.view")
local working_copy = require("fsam.step.working_copy")

local set = view.set

local M = {}

local Optimizer = {}
Optimizer.__index = Optimizer

-- -- the algorithm --------------------------------------------------------------------------------

-- From w to the first gradient, of a group's samples (`whole`: of everything). Returns whether it
-- is the gradient of all samples and all parameters.
local function first_gradient(self, s, passes, group)
  local t, params, watch = self.type, self.params, passes.observer
  -- c ← round(w). A mask that is due is made now, at w, if its policy has passes of its own.
  self.working:rest(s.step)
  self.masking:before_gradient(s, passes)
  -- explore: c ← round(w + explore); no mask touches it.
  if t.explore then
    local x = t.explore(s)
    watch:explored(x)
    self.working:write(params.w + x, s.step)
  end
  -- Pass 1: g ← the mean gradient over the samples.
  local needs_all = group.whole or self.masking:needs_all(s.step)
  local skip = not needs_all and t.skip and t.skip(s) or nil
  local result = passes:run({ into = params.g, backward = true, choice = group.first,
    skip = skip, alone = group.alone }, "the loss")
  local norm = passes:norm(params.g:norm(), "the gradient's norm")
  watch:first(result, norm, skip)
  set(s, "g2", nil)
  set(s, "losses", result:losses())
  set(s, "g", self.compat:first(params.g, norm))
  -- A mask that is due is made now, from this very g, if its policy has no passes.
  self.masking:after_gradient(s, passes)
  return not (skip or group.first)
end

-- e ← ascend(s); e ← m ⊙ e; c ← round(w + e).
local function ascend(self, s, passes)
  if not self.type.ascend then
    passes.observer:ascended()
    return
  end
  local g = s.g
  set(s, "g", groups.gradient(self.settings, s))
  local e = self.type.ascend(s)
  set(s, "g", g)
  local masked = self.masking:apply(e)
  passes.observer:ascended(e, masked)
  self.working:write(self.params.w + masked, s.step)
end

-- select(s): k chosen samples. Pass 2: g2 ← the mean gradient over them, or the group's share.
local function second_gradient(self, s, passes, group)
  local choice = group.second or self.type.select and self.type.select(s)
  local result, samples = passes:run({ into = self.second, backward = true, choice = choice,
    mean_over = group.mean_over, accumulate = group.accumulate, alone = group.alone },
    "the loss at the perturbed point")
  if group.sum then
    passes:sum(self.second)
  end
  set(s, "g2", self.compat:second(self.second, group.mean_over or samples))
  passes.observer:second(result, group.mean_over)
end

-- All passes of the step. Without a second one s.g2 stays nil.
local function gradients(self, s, passes)
  local t = self.type
  if t.passes == 1 then
    first_gradient(self, s, passes, {})
    return
  end
  for k, group in ipairs(groups.of(self.settings, s, self.seed)) do
    local complete = first_gradient(self, s, passes, group)
    -- every(s): no second pass on this step? An update then wants all of the gradient.
    if k == 1 and t.every and not t.every(s) then
      if not complete then
        passes.observer:again()
        first_gradient(self, s, passes, { whole = true })
      end
      return
    end
    ascend(self, s, passes)
    second_gradient(self, s, passes, group)
  end
end

-- d ← descend(s), or g2, or g; everything is known to be finite; d ← clip(d).
local function direction(self, s, passes, info)
  local d = self.type.descend and self.type.descend(s) or s.g2 or s.g
  if s.g2 and not rawequal(d, s.g2) then
    passes:norm(s.g2:norm(), "the second gradient's norm")
  end
  local norm = passes:norm(d:norm(), "the update direction's norm")
  self.params:flush()
  passes:check()
  info.dnorm = norm:read()
  passes.observer:measured(info)
  return clip(d, norm, self.compat.clip_norm)
end

-- Base update from w and d; after(s) joins it; c ← round(w) in the same program.
local function update(self, s, passes, d)
  local t, params = self.type, self.params
  set(self.base_s, "g", d)
  set(s, "d", d)
  local before = params.w.now
  local u = t.update and t.update(s) or self.base.update(self.base_s)
  if t.after then
    t.after(s)
  end
  local w = self.rates and layer_decay.apply(self.rates, before, params.w.now, u) or params.w - u
  self.working:rest(s.step + 1, params.w:set(w))
  passes.observer:updated()
  self.masking:keep()
  params:commit()
end

-- -- one step -------------------------------------------------------------------------------------

-- weight_decay as a number, or as a row where --no-decay leaves parameters out.
local function decay_of(params, value)
  for _, parameter in ipairs(params.parameters) do
    if not parameter.decay then
      return (params:each(function(one)
        return one.decay and value or 0
      end))
    end
  end
  return value
end

-- The fields of the step that the library sets, as it begins.
local function fields(self, o)
  local params = self.params
  return { w = params.w, g = params.g, mask = self.masking.mask, parameters = params.parameters,
    step = o.step, t = self.applied, lr = o.lr, lr_peak = o.lr_peak or o.lr, lr_end = o.lr_end or 0,
    progress = o.progress or 0, N = o.samples, K = o.micro_batches or 1,
    train_samples = o.train_samples, weight_decay = decay_of(params, self.settings.weight_decay) }
end

local function run(self, o, passes)
  local s, info = self.s, {}
  local now = fields(self, o)
  view.begin(self.base_s, now, passes)
  now.base = self.base_s
  view.begin(s, now, passes)
  gradients(self, s, passes)
  local d = direction(self, s, passes, info)
  update(self, s, passes, d)
  local t = self.type
  info.rho = (t.ascend or t.explore) and view.get(s, "rho") or nil
  info.clipped = self.compat:clipped(info.gnorm, info.dnorm)
  info.mask = self.masking:report()
  return info
end

local function explain(raised)
  return (finite.reason(raised) or errors.is(raised)) and raised or source_line.explain(raised, 2)
    or debug.traceback(tostring(raised), 2)
end

--- One step.
-- @tparam table o evaluate (fsam.pass); step (number of the update, from 0); lr; lr_peak, lr_end
--   (for schedules of rho); progress (0 … 1); samples and micro_batches, of all ranks;
--   train_samples; ranks (fsam.ranks; default: this process alone); diagnose (true: look closer,
--   fsam.step.diagnosis; the weights do not change by it); observers (a list of others:
--   fsam.step.observe)
-- @treturn table loss, losses, correct (or nil), seen (samples) of the first pass; perturbed (mean
--   loss at w + e); gnorm, dnorm, enorm; clipped; rho; mask (a report, on the steps that made one);
--   diagnosis; or skipped (the reason: nothing has changed); and always evaluations, the number of
--   samples' gradients it took
function Optimizer:step(o)
  local all = o.ranks or ranks.alone
  local params, log = self.params, Log.new(all)
  params:begin_step()
  local watching = { log, unpack(o.observers or {}) }
  watching[#watching + 1] = unused.watch(self.unused)
  -- A diagnosis looks at what the ranks have made together.
  local shared = all.size == 1 or self.settings.m_sharpness == 1
  watching[#watching + 1] = o.diagnose and shared
    and Diagnosis.new(params, self.s, self.masking, o.evaluate) or nil
  local passes = Passes.new(o.evaluate, observe.all(watching), all)
  local kept, info = xpcall(run, explain, self, o, passes)
  passes.observer:finished()
  if kept then
    self.applied = self.applied + 1
    info.evaluations = log.evaluations
    return info
  end
  params:discard()
  self:prepare_evaluation()
  self.masking:drop()
  local reason = finite.reason(info)
  if not reason then
    error(info, 0)
  end
  return { skipped = reason, evaluations = log.evaluations }
end

--- c ← nearest(w): before evaluation and saving, whatever a type or rounding left there.
function Optimizer:prepare_evaluation()
  self.working:reset()
end

--- What a checkpoint must hold beside the vectors (params:state()).
function Optimizer:state()
  return { applied = self.applied, masking = self.masking:state() }
end

--- The inverse of state().
function Optimizer:restore(state)
  self.applied = state.applied
  self.masking:restore(state.masking)
end

-- -- building one ---------------------------------------------------------------------------------

-- Where the second gradient goes: to storage of its own if the type reads g after it, or if several
-- groups add to it; else over g.
local function storage_of_second(params, t, settings)
  local reads_g = t.descend or t.after or t.update or t.state and #t.state > 0
  return (reads_g or settings.m_sharpness > 1) and params:scratch("g2") or params.g
end

--- An optimizer for a model: plain, or a base wrapped by a sam-type.
-- @tparam table o params, those of the model; optimizer, "sam" or the name of a base;
--   base_optimizer; sam_type; options, a flat table of values; seed. What is missing is as declared
--   (fsam.step.choice and the options of each owner). sampler(n, seed, step, first_ordinal) → host
--   batches of one sample each, for mask policies that look at single samples
-- @treturn table an optimizer: step, prepare_evaluation, state, restore
-- @raise one line where names are unknown or do not go together
function M.build(o)
  local self = setmetatable(build.prepare(o), Optimizer)
  local params, settings = self.params, self.settings
  self.applied = 0
  self.working = working_copy.new(params, settings, self.seed)
  self.rates = layer_decay.row(params, settings.layer_decay)
  self.unused = unused.new(params, self.type, self.s)
  self.second = storage_of_second(params, self.type, settings)
  return self
end

--- Raises unless a choice of optimizer goes with the options: before any work (fsam.step.build).
M.check = build.check

return M
