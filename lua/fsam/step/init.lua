--- One training step: the only file that knows the order of things. It runs passes, a mask policy,
-- a sam-type's parts and a base optimizer; what each of them computes is theirs.
--
--   [mask, if its policy has passes] [explore] pass 1 [mask] [every?] e = ascend, masked; c = w + e
--   [select] pass 2, d = descend, clip, base update, c = w
--
-- With --m-sharpness, pass 1 to pass 2 run once for each group of samples (fsam.step.groups), and d
-- is the sum of the groups' shares. Nothing persistent changes before everything is known to be
-- finite: then one commit, else discard.
local Findings = require("fsam.step.findings")
local View = require("fsam.step.view")
local ascent = require("fsam.step.groups")
local diagnosis = require("fsam.step.diagnosis")
local errors = require("fsam.errors")
local evaluations = require("fsam.step.evaluations")
local layer_decay = require("fsam.step.layer_decay")
local masking = require("fsam.step.masking")
local ranks = require("fsam.ranks")
local working_copy = require("fsam.step.working_copy")
local parts = require("fsam.define")
local source_line = require("fsam.base.source_line")

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
    working = working_copy.new(o.params, o.options, o.seed),
    rates = layer_decay.row(o.params, o.options.layer_decay or 1),
    watch = parts.watch(o.type),
  }, Optimizer)
  -- A base that the type replaces keeps no state.
  local replaced = o.type and o.type.update and { name = o.base.name, options = o.base.options }
  self.base_view = View.new(self, replaced or o.base, o.base.name .. ".")
  self.view = View.new(self, o.type or { name = "plain" }, "sam.")
  self.view.base = self.base_view
  local t = o.type
  if t then
    ascent.check(t, o.options)
  end
  if t and t.masked then
    self.masking = masking.new(o)
  end
  -- g2 needs storage of its own if somebody reads g after the second pass.
  self.keeps_g = t and (t.descend or t.after or t.update or (t.state and #t.state > 0)) and true
    or false
  return self
end

-- Raised inside a step to leave it; caught by Optimizer.step.
local Skip = {}

-- Stops the step when x is not finite.
local function finite(x, what)
  if not (x == x and x > -math.huge and x < math.huge) then
    error(setmetatable({ reason = ("%s is %s"):format(what, tostring(x)) }, Skip), 0)
  end
  return x
end

Optimizer.finite = finite -- for fsam.step.view's own passes

-- Stops the step when the mean loss of a pass is not finite. What a rank finds alone waits for the
-- report, where all ranks learn of it.
local function finite_loss(result, o, group, what)
  if not group.alone or o.ranks.size == 1 then
    finite(result:mean(), what)
  end
end

-- Makes the mask that is due, if its policy is of the kind asked for: with passes of its own or
-- without.
local function refresh_mask(self, s, o, with_passes)
  local mask = self.masking
  if mask and mask:is_due(o.step) and (mask.policy.passes or false) == with_passes then
    mask:refresh(s, { params = self.params, evaluate = o.evaluate, seed = self.seed,
      finite = function(x) return finite(x, "the loss or gradient of a mask's sample") end })
  end
end

-- Clipping: d scaled to at most C (fairseq's coefficient). C = 0 only measures.
local function clip(d, norm, limit)
  if not limit or limit == 0 then
    return d
  end
  return d * (limit / (norm + 1e-6)):min(1)
end

-- c ← w + what a type explores.
local function explore(self, s, o, findings, look)
  if look then
    look:before_explore()
  end
  local x = self.type.explore(s)
  if look then
    look:explored(x)
  end
  self.working:write(self.params.w + x, o.step)
  findings:exploration(x:norm())
end

-- Pass 1 of a group. Returns whether it saw all of the step's samples and gave every gradient.
local function first_pass(self, s, o, group, findings, look)
  local t, params = self.type or {}, self.params
  self.working:rest(o.step)
  refresh_mask(self, s, o, true)
  if t.explore then
    explore(self, s, o, findings, look)
  end
  local mask = self.masking
  local whole = group.complete or mask and mask:wants_all(o.step)
  local left_out = not whole and t.skip and t.skip(s) or nil
  local result = o.evaluate({ into = params.g, backward = true, skip = left_out,
    choice = group.first, alone = group.alone })
  finite_loss(result, o, group, "the loss")
  if look then
    look:first(result, left_out)
  end
  s.g, s.g2, s.losses = params.g, nil, result:losses()
  local gnorm = findings:first(result, params.g:norm())
  if self.options.clip_at == "first" then
    s.g = clip(s.g, gnorm, self.options.clip_norm)
  end
  if mask and mask:is_due(o.step) then
    finite(gnorm:read(), "the gradient's norm")
    refresh_mask(self, s, o, false)
  end
  if mask and mask:is_pause() then
    s.g = params.g:set(0)
  end
  return not (left_out or group.first)
end

-- c ← w + e. Returns e's norm, requested, or nil when the type has no e.
local function ascend(self, s, o, findings, look)
  local params, t, g = self.params, self.type, s.g
  if not t.ascend then
    return nil
  end
  s.g = ascent.gradient(self.options, s)
  local e = t.ascend(s)
  s.g = g
  if look and self.masking then
    look:unmasked(e)
  end
  e = self.masking and self.masking:apply(e) or e
  self.working:write(params.w + e, o.step)
  return findings:perturbation(e:norm())
end

-- Pass 2 of a group: over all its samples, or the selected ones.
local function second_pass(self, s, o, group, findings, look)
  local params = self.params
  local choice = group.second or self.type.select and self.type.select(s)
  local into = (self.keeps_g or group.second or look) and params:scratch("g2") or params.g
  local result = o.evaluate({ into = into, backward = true, choice = choice, of = group.of,
    add = group.add, alone = group.alone })
  finite_loss(result, o, group, "the loss at the perturbed point")
  if group.sum then
    o.ranks:sum(into)
  end
  s.g2 = into
  if self.options.second_gradient == "sum" then
    s.g2 = into * (group.of or #result:losses())
  end
  findings:second(result)
  return result
end

-- All passes of the step. Leaves s.g, and s.g2 unless the type wants no second pass: `every` is
-- asked once, after the first. Of several groups the first is looked at.
local function passes(self, s, o, findings, look)
  local t = self.type
  local groups = ascent.groups(t and self.options or {},
    { step = o.step, N = o.samples, seed = self.seed })
  for k, group in ipairs(groups) do
    local closer = k == 1 and look or nil
    local complete = first_pass(self, s, o, group, findings, closer)
    local single = not t or t.passes == 1
    if single or k == 1 and t.every and not t.every(s) then
      if not complete and not single then
        -- What this pass left out was for the perturbation; an update wants all of the gradient.
        findings:clear()
        first_pass(self, s, o, { complete = true }, findings)
      end
      return
    end
    local enorm = ascend(self, s, o, findings, closer)
    local second = second_pass(self, s, o, group, findings, closer)
    if closer then
      closer:second(second, enorm, group.of)
    end
  end
end

-- The base update, what joins it, and c ← round(w), in one commit.
local function update(self, s, d, step)
  local params, b = self.params, self.base_view
  b.g, s.d = d, d
  local before = params.w.now
  local u = self.type and self.type.update and self.type.update(s) or self.base.update(b)
  if self.type and self.type.after then
    self.type.after(s)
  end
  local w = self.rates and layer_decay.apply(self.rates, before, params.w.now, u) or params.w - u
  self.working:rest(step + 1, params.w:set(w))
  if self.masking then
    self.masking:keep()
  end
  self.watch:check(params, s)
  params:commit()
end

local function run(self, s, o)
  local t, params, findings = self.type, self.params, Findings.new(o.ranks)
  local look = o.diagnose and diagnosis.new(params, s) or nil
  passes(self, s, o, findings, look)
  local d = t and t.descend and t.descend(s) or s.g2 or s.g
  local dnorm = d:norm():request()
  local g2norm = s.g2 and not rawequal(d, s.g2) and s.g2:norm():request()
  params:flush()
  local info = findings:report(finite)
  info.rho = t and (t.ascend or t.explore) and s.given.rho or nil
  finite(g2norm and g2norm:read() or 0, "the second gradient's norm")
  info.dnorm = finite(dnorm:read(), "the update direction's norm")
  if self.options.clip_at ~= "first" then
    d = clip(d, dnorm, self.options.clip_norm)
  end
  update(self, s, d, o.step)
  info.mask = self.masking and self.masking:report() or nil
  info.diagnosis = look and look:report(info.gnorm, self.masking) or nil
  return info
end

--- One step.
-- @tparam table o evaluate (fsam.pass); step (number of the update, from 0); lr; lr_peak, lr_end
--   (for schedules of rho); progress (0 … 1); samples and micro_batches (of all ranks);
--   train_samples; ranks (fsam.ranks; default: this process alone); diagnose (true: look closer,
--   fsam.step.diagnosis; the weights do not change by it)
-- @treturn table loss, losses, correct (or nil), seen (samples) of the first pass; perturbed (mean
--   loss at w + e); gnorm, dnorm, enorm; rho; mask (a report, on the steps that made one);
--   diagnosis; or skipped (the reason: nothing has changed); and always evaluations, the number of
--   samples' gradients it took
function Optimizer:step(o)
  o = evaluations.counting(o)
  o.ranks = o.ranks or ranks.alone
  local s, params = self.view, self.params
  s:begin(o, self.applied)
  self.base_view:begin(o, self.applied)
  params:begin_step()
  self.watch:begin(params)
  local ok, info = xpcall(run, function(e)
    return (getmetatable(e) == Skip or errors.is(e)) and e or source_line.explain(e, 2)
      or debug.traceback(tostring(e), 2)
  end, self, s, o)
  params:trace(false)
  if ok then
    self.applied = self.applied + 1
    info.evaluations = o.evaluations
    return info
  end
  params:discard()
  self:prepare_evaluation()
  if self.masking then
    self.masking:drop()
  end
  if getmetatable(info) ~= Skip then
    error(info, 0)
  end
  return { skipped = info.reason, evaluations = o.evaluations }
end

--- c ← nearest(w): before evaluation and saving, whatever a type or rounding left there.
function Optimizer:prepare_evaluation()
  self.working:reset()
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
