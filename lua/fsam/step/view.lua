--- What a sam-type or base optimizer sees as `s`: the model's vectors, its own state and options,
-- and the step's plain numbers. Names it does not have are errors that suggest one.
--
--   s.w s.g s.g2 s.mask     vectors of the whole model (g2: nil before the second pass; mask: nil
--                           without a fisher- form)
--   s.d                     the clipped direction, in a type's update
--   s.NAME                  its state, scratch vectors and scalars, and every option
--   s.base.NAME             the base optimizer's state and options (in a sam-type)
--   s.step s.t s.lr s.rho s.progress s.N s.K     numbers: updates tried and applied before this
--                           one, learning rate, radius, 0 … 1 of the run, samples, micro-batches
--   s.train_samples         samples of the training set; nil where the caller did not say
--   s.parameters              the model's parameters: name, kind, layer, shape, index, frozen
--   s.weight_decay          the number, or a row of it where some parameters have no decay
--   s.losses, s:losses_at_e()        per-sample losses of pass 1, and at w + e (same dropout)
--   s:each(f) s:normal() s:uniform() s:random() s:read(scalar) s:keeps(name)
--   s.ANYTHING = value      what a part hands to a later one of the same step
local errors = require("fsam.errors")
local C = require("fsam.C")
local node = require("fsam.vector.expression")
local policies = require("fsam.mask")
local source_line = require("fsam.base.source_line")
local radius = require("fsam.sam.radius")
local storage = require("fsam.vector.storage")

source_line.own()

local methods = {}

local View = {}

-- What s has only at times: reading it otherwise gives nil.
local ABSENT = { g2 = true, d = true, base = true, losses = true, mask = true,
  train_samples = true }

-- Scratch vectors are zero at the start of each step.
local function clear_scratch(self)
  for _, name in ipairs(self.spec.scratch or {}) do
    self.own[name]:set(0)
  end
end

--- @tparam table optimizer fsam.step
-- @tparam table spec the definition; @tparam string prefix of its state's names in the checkpoint
function View.new(optimizer, spec, prefix)
  local params, own = optimizer.params, {}
  for _, name in ipairs(spec.state or {}) do
    own[name] = params:vector(prefix .. name)
  end
  for _, name in ipairs(spec.scratch or {}) do
    own[name] = params:scratch(prefix .. name)
  end
  for _, name in ipairs(spec.scalars or {}) do
    own[name] = params:scalar(prefix .. name)
  end
  return setmetatable({ optimizer = optimizer, spec = spec, own = own, params = params, given = {},
    handed = {} }, View)
end

-- Where names are looked for, in this order: what the step gives, state, methods, options, what
-- parts hand on, declared defaults. Nil when nothing has the name.
local function find(self, name)
  local found = self.given[name]
  if found ~= nil then
    return found
  end
  found = self.own[name]
  if found ~= nil then
    return found
  end
  found = methods[name]
  if found ~= nil then
    return found
  end
  found = self.optimizer.options[name]
  if found ~= nil then
    return found
  end
  found = self.handed[name]
  if found ~= nil then
    return found
  end
  local declared = methods.declared(self, name)
  return declared and declared.default
end

-- A name that nothing has is an error that suggests one.
function View.__index(self, name)
  local found = find(self, name)
  if found ~= nil or ABSENT[name] or methods.declared(self, name) then
    return found
  end
  local names = {}
  for _, option in ipairs(self.spec.options or {}) do
    names[#names + 1] = option.name
  end
  for _, list in ipairs({ self.own, self.given, self.optimizer.options, methods, ABSENT }) do
    for known in pairs(list) do
      names[#names + 1] = known
    end
  end
  table.sort(names)
  local nearest = errors.nearest(tostring(name), names)
  source_line.fail("s.%s is unknown in %s%s", tostring(name), self.spec.name,
    nearest and "; did you mean s." .. nearest .. "?" or "")
end

-- The step's own values are set by the library. A part may hand a value of a new name to a later
-- part; what already has a meaning it must change as its kind is changed.
function View.__newindex(self, name, value)
  if not source_line.is_users(debug.getinfo(2, "f").func) then
    self.given[name] = value
  elseif self.own[name] ~= nil or getmetatable(self.given[name]) == node.Storage then
    source_line.fail("s.%s = … would only rename it; change it with s.%s:set(…)", name, name)
  elseif self.given[name] ~= nil or methods[name] or ABSENT[name] or methods.declared(self, name)
      or self.optimizer.options[name] ~= nil then
    source_line.fail("s.%s cannot be changed by a part; keep the value in a local variable", name)
  else
    self.handed[name] = value
  end
end

-- The declaration of an option of the type or its mask policy, or nil. Its default stands for what
-- the caller did not give.
function methods.declared(self, name)
  for _, list in ipairs({ self.spec.options or {}, self.spec.masked and policies.options or {} }) do
    for _, declared in ipairs(list) do
      if declared.name == name then
        return declared
      end
    end
  end
  return nil
end

--- Starts a step: plain numbers and the model's vectors.
function methods.begin(self, o, applied)
  local params, given = self.params, self.given
  for _, name in ipairs({ "w", "g" }) do
    given[name] = params[name]
  end
  given.g2, given.d = nil, nil
  given.losses = nil
  given.parameters = params.parameters
  given.mask = self.optimizer.masking and self.optimizer.masking.mask
  given.evaluate = o.evaluate
  given.step = o.step
  given.t = applied
  given.lr = o.lr
  given.lr_peak = o.lr_peak or o.lr
  given.lr_end = o.lr_end or 0
  given.progress = o.progress or 0
  given.N = o.samples
  given.K = o.micro_batches or 1
  given.train_samples = o.train_samples
  given.weight_decay = methods.decay_row(self)
  given.rho = nil
  self.handed = {}
  given.rho = radius.at(self)
  if self.spec.schedule then
    given.rho = self.spec.schedule(self)
  end
  clear_scratch(self)
end

-- weight_decay as a number, or as a row where --no-decay leaves parameters out.
function methods.decay_row(self)
  local value = self.optimizer.options.weight_decay or 0
  for _, parameter in ipairs(self.params.parameters) do
    if not parameter.decay then
      return self.params:each(function(seg)
        return seg.decay and value or 0
      end)
    end
  end
  return value
end

--- A row of per-parameter constants: f(parameter) → number or boolean; parameter has name, kind,
-- layer, shape, decay, frozen.
function methods.each(self, f)
  return (self.params:each(f))
end

--- Standard normal and uniform (0,1) vectors, keyed by seed, step and element.
function methods.normal(self, stream)
  return self.params:normal({ seed = self.optimizer.seed,
    step = self.step, stream = stream })
end

function methods.uniform(self, stream)
  return self.params:uniform({ seed = self.optimizer.seed,
    step = self.step, stream = stream })
end

--- A number in (0,1) by seed and step, the same on all ranks; another for each `stream`.
function methods.random(self, stream)
  if stream ~= nil and type(stream) ~= "number" then
    source_line.fail("random: the stream is a number, got %s", node.describe(stream))
  end
  local out = C.ffi.new("uint32_t[4]")
  C.lib.fsam_philox(out, stream or 0, 0, 0, 0x72616e64, self.optimizer.seed,
    self.step)
  return (out[0] + 0.5) / 4294967296
end

--- The value of a scalar, now: the step waits for it. One that is not finite ends the step, as a
-- gradient does.
function methods.read(self, scalar)
  local value = storage.read(scalar)
  return type(value) == "number" and self.optimizer.finite(value, "a value that the type reads")
    or value
end

--- Is there a state of this name? (s.base:keeps("exp_avg"))
function methods.keeps(self, name)
  return self.own[name] ~= nil
end

--- Per-sample losses at the perturbed point: forward only, same dropout.
function methods.losses_at_e(self)
  local result = self.evaluate({ backward = false })
  self.optimizer.finite(result:mean(), "a loss at the perturbed point")
  return result:losses()
end

return View
