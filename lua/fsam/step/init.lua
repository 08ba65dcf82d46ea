--- One training step. With w the master weights, c the working copy that passes read, g and g2 the
-- two gradients, e the perturbation, m the mask and d the direction:
--
--               c ← round(w)
--   mask due?   a policy with passes of its own makes m now, at w
--   explore(s)  c ← round(w + explore), not masked
--   pass 1      g ← the mean gradient over the samples
--   mask due?   a policy without passes makes m now, from this very g
--   every(s)    is there a second pass on this step? If not, s.g2 stays nil
--   ascend(s)   e ← m ⊙ e, with --renorm at e's length before the mask; c ← round(w + e)
--   select(s)   the samples of the second pass
--   pass 2      g2 ← the mean gradient over them
--   descend(s)  d, else g2, else g; d ← clip(d)
--   update(s)   or the base's: w ← w - u; after(s) joins it; c ← round(w) in the same program
--
-- With --m-sharpness, all from c ← round(w) to pass 2 comes once for each group of samples, and g2
-- is the sum of the groups' shares. So it is with --rank-sharpness local, where each rank's samples
-- are a group of its own.
--
-- Owns: this order, and that a step happens whole or not at all. Nothing persistent changes before
-- every loss and norm is known to be finite, and where it is in doubt what the update makes
-- (new_values.lua); then one commit changes everything. Leaves to others:
-- what the parts compute (fsam.sam, fsam.optim, fsam.mask), and the rest of the room: passes.lua
-- runs passes, masking.lua makes masks, groups.lua divides the samples, working_copy.lua rounds,
-- observe.lua lets others look on.
local arguments = require("fsam.base.arguments")
local Diagnosis = require("fsam.step.diagnosis")
local Log = require("fsam.step.log")
local Passes = require("fsam.step.passes")
local build = require("fsam.step.build")
local clip = require("fsam.step.clip")
local errors = require("fsam.errors")
local finite = require("fsam.step.finite")
local groups = require("fsam.step.groups")
local layer_decay = require("fsam.step.layer_decay")
local new_values = require("fsam.step.new_values")
local observe = require("fsam.step.observe")
local ranks = require("fsam.ranks")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")
local unused = require("fsam.step.unused")
local view = require("fsam.step.view")
local working_copy = require("fsam.step.working_copy")

local set = view.set

local M = {}

local Optimizer = {}
Optimizer.__index = Optimizer

-- -- the algorithm --------------------------------------------------------------------------------

-- From w to the first gradient of a group. Returns whether it is the gradient of all samples and
-- all parameters; group.whole asks for that.
local function first_gradient(self, s, passes, group)
  local t, params, watch = self.type, self.params, passes.observer
  -- c ← round(w). Mask due? A policy with passes of its own makes it now.
  self.working:rest(s.step)
  self.masking:before_gradient(s, passes)
  -- explore(s): c ← round(w + explore).
  if t.explore then
    local x = t.explore(s)
    watch:explored(x)
    self.working:write(params.w + x, s.step)
  end
  -- Pass 1: g ← the mean gradient, 0 for parameters that the type skips. A mask needs all of it.
  local needs_all = group.whole or self.masking:needs_all(s.step)
  local skip = not needs_all and t.skip and t.skip(s) or nil
  local result = passes:run({ into = params.g, backward = true, choice = group.first,
    skip = skip, alone = group.alone }, "the loss")
  local norm = passes:norm(params.g:norm(), "the gradient's norm")
  watch:first(result, norm, skip)
  set(s, "g2", nil)
  set(s, "losses", result:losses())
  set(s, "g", self.compat:first(params.g, norm))
  -- Mask due? A policy without passes makes it now, from this very g.
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
  -- With --ascent-decay, and only here, s.g is g + weight_decay · w.
  set(s, "g", groups.gradient(self.settings, s))
  local e = self.type.ascend(s)
  set(s, "g", g)
  local masked = self.masking:apply(e)
  passes.observer:ascended(e, masked)
  self.working:write(self.params.w + masked, s.step)
end

-- select(s): the samples. Pass 2: g2 ← the mean gradient over them; of several groups, the sum of
-- their shares.
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
  for k, group in ipairs(groups.of(self.settings, s, self.seed, passes.ranks.size)) do
    local complete = first_gradient(self, s, passes, group)
    -- every(s): without a second pass the update needs the whole gradient.
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

-- d ← descend(s), or g2, or g; the step ends here unless everything is finite; d ← clip(d).
local function direction(self, s, passes, info)
  local d = self.type.descend and self.type.descend(s) or s.g2 or s.g
  if s.g2 and not rawequal(d, s.g2) then
    passes:norm(s.g2:norm(), "the second gradient's norm")
  end
  local norm = passes:norm(d:norm(), "the update direction's norm")
  self.params:flush()
  info.largest = passes:check()
  info.dnorm = norm:read()
  passes.observer:measured(info)
  return clip(d, norm, self.compat.clip_norm)
end

-- update(s), or the base's, from w and d; after(s) joins it; c ← round(w) in the same program.
local function update(self, s, passes, d, info)
  local t, params = self.type, self.params
  set(self.base_s, "g", d)
  set(s, "d", d)
  local before = params.w.now
  local u = t.update and t.update(s) or self.base.update(self.base_s)
  if t.after then
    t.after(s)
  end
  local w = self.rates and layer_decay.apply(self.rates, before, params.w.now, u) or params.w - u
  w = params.w:set(w)
  new_values.check(self.extreme, params, s.lr, info.largest)
  self.working:rest(s.step + 1, w)
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

-- The stream of s:random that parts which call math.random draw from.
local LUA_STREAM = 2 ^ 32 - 1

-- Begins both views, takes the step, and returns its report. Lua's own random numbers begin anew by
-- seed and step, so that a part that draws them draws the same on every rank and in a resumed run.
local function take(self, o, passes)
  local t, s, info = self.type, self.s, {}
  local now = fields(self, o)
  view.begin(self.base_s, now, passes)
  now.base = self.base_s
  view.begin(s, now, passes)
  math.randomseed(s:random(LUA_STREAM))
  gradients(self, s, passes)
  local d = direction(self, s, passes, info)
  update(self, s, passes, d, info)
  info.rho = (t.ascend or t.explore) and view.get(s, "rho") or nil
  info.clipped = self.compat:clipped(info.gnorm, info.dnorm)
  info.mask = self.masking:report()
  return info
end

-- What was raised, as `step` hands it on: the reason why a step was left, or an error with a line.
local function explain(raised)
  if finite.reason(raised) or errors.is(raised) then
    return raised
  end
  local placed = source_line.explain(raised, 2)
  if placed then
    placed.cause = raised
  end
  return placed or type(raised) == "table" and raised
    or debug.traceback(source_line.said(raised), 2)
end

--- One step.
-- @tparam table o evaluate (fsam.pass); step (number of the update, from 0); lr; lr_peak (default:
--   lr) and lr_end (0), for schedules of rho; progress (0 … 1, default 0); samples and
--   micro_batches (1), of all ranks; train_samples; ranks (fsam.ranks; default: this process
--   alone); diagnose (true: also measure what fsam.step.diagnosis says; the weights do not change
--   by it); observers (a list of further ones: fsam.step.observe)
-- @treturn table loss, losses, correct (or nil), seen (samples) of the first pass; perturbed (mean
--   loss at w + e); gnorm, dnorm, enorm; clipped; rho; mask (a report, on the steps that made one);
--   diagnosis; or only skipped, the reason why nothing has changed. In both cases evaluations, the
--   number of samples' gradients that it took
-- @raise what a part raises, with its author's line; nothing has changed then
function Optimizer:step(o)
  local all = o.ranks or ranks.alone
  local params, log = self.params, Log.new(all)
  params:begin_step()
  local watching = { log, unpack(o.observers or {}) }
  watching[#watching + 1] = unused.watch(self.unused)
  -- A diagnosis looks at gradients of all ranks; with --m-sharpness each rank has its own, and with
  -- --rank-sharpness local.
  local settings = self.settings
  local shared = all.size == 1
    or settings.m_sharpness == 1 and settings.rank_sharpness == "global"
  watching[#watching + 1] = o.diagnose and shared
    and Diagnosis.new(params, self.s, self.masking, o.evaluate) or nil
  local passes = Passes.new(o.evaluate, observe.all(watching), all)
  local kept, info = xpcall(take, explain, self, o, passes)
  passes.observer:finished()
  if kept then
    self.applied = self.applied + 1
    info.evaluations = log.evaluations
    return info
  end
  params:discard()
  self:prepare_evaluation()
  self.masking:drop()
  local overflow, reason = source_line.overflow_unhandled(info), finite.reason(info)
  if not reason then
    error(overflow or info, 0)
  end
  return { skipped = reason, evaluations = log.evaluations }
end

--- c ← nearest(w): before evaluation and saving, whatever an exploration or rounding left there.
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

-- Where g2 goes: to storage of its own if the type may read g after pass 2, or if several groups
-- add to it; else over g. A type with state reads g late: what it sets before pass 2 is computed at
-- the end of the step.
local function storage_of_second(params, t, settings)
  local reads_g = t.descend or t.after or t.update or t.state and #t.state > 0
  return (reads_g or settings.m_sharpness > 1) and params:scratch("g2") or params.g
end

--- An optimizer for a model: plain, or a base wrapped by a sam-type.
-- @tparam table o params, those of the model; optimizer, "sam" or the name of a base;
--   base_optimizer; sam_type; options, name → value; seed. What is missing has its declared default
--   (fsam.step.choice and the options of each owner). sampler(n, seed, step, first_ordinal) → host
--   batches of one sample each, for mask policies that look at single samples
-- @treturn table an optimizer: step, prepare_evaluation, state, restore
-- @raise one line where a name is unknown, or two choices do not go together
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

--- Raises unless an optimizer, its sam-type and the options go together (step/build.lua). A command
-- asks this before it loads anything.
M.check = build.check
local optional, whole = arguments.optional, schema.integer(0)
local name = optional(schema.string)
local OPTIMIZER = arguments.object("an optimizer, of fsam.step.build",
  { working = "table", params = "table", applied = "number" })
local STEP = { evaluate = arguments.func, step = whole, lr = schema.number(),
  lr_peak = optional(schema.number()), lr_end = optional(schema.number()),
  progress = optional(schema.number(0, 1)), samples = schema.integer(1),
  micro_batches = optional(schema.integer(1)), train_samples = optional(whole),
  ranks = optional(ranks.shape), diagnose = optional(schema.boolean),
  observers = optional(schema.list(arguments.table)) }

arguments.guard("fsam.step", M, {
  build = { arguments.fields({ optimizer = name, base_optimizer = name, sam_type = name,
    params = arguments.object("a model's params", { queue = "table", w = "table" }),
    options = optional(build.options_shape), seed = optional(whole),
    sampler = optional(arguments.func) }) },
  check = { arguments.arg("choice", arguments.table), arguments.arg("values", arguments.table) },
})
arguments.guard("optimizer:", Optimizer, {
  step = { self = OPTIMIZER, arguments.fields(STEP) },
  prepare_evaluation = { self = OPTIMIZER }, state = { self = OPTIMIZER },
  restore = { self = OPTIMIZER, arguments.fields({ applied = whole, masking = arguments.any }) },
})

return M
