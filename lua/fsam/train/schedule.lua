--- Learning rates over time, by name. `define` adds a schedule; the built-in ones are defined the
-- same way, one file each in schedules/.
--
--     fsam.schedule.define("halving", {
--       options = { { name = "half_life", type = "integer", default = 100, min = 1 } },
--       rate = function(p, s, n)            -- n: updates done
--         return p.lr * 0.5 ^ (n / p.half_life)
--       end,
--     })
--
-- A kind of schedule has
--   options            declarations of its flags (form: options/init.lua), or nil
--   rate(p, s, n)      the rate of the update with n updates before it
--   begin(p, s)        checks p, and sets what s begins with (s.lr is p.lr then), or nil
--   begin_epoch(p, s, epoch)   before an epoch's first update, or nil; epochs count from 1
--   end_epoch(p, s, value)     after an epoch; value: the rounded metric of its validation, nil
--                              without one; or nil
--   ending(p)          the rate that it falls to, or nil for 0; peak(p): the largest, or nil for lr
--   several            true: takes several rates (--lr 1e-5,5e-6)
-- p holds its options and lr (the first rate), rates (the list of all), total (updates planned),
-- maximize (is a larger metric better?). s holds numbers alone; it is saved with the run.
--
-- Owns: the register, and calling a kind in fairseq's order. Leaves to others: the formulas
-- (schedules/), how many updates are planned (progress.lua), the flags (flags_of_types.lua).

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local numbers = require("fsam.base.numbers")
local options_of = require("fsam.options")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

local register = registry.new("fsam.train.schedules.", { "constant", "cosine", "fixed",
  "inverse_sqrt", "linear", "manual", "polynomial_decay", "reduce_lr_on_plateau", "step",
  "tri_stage", "triangular" })

--- Adds a kind of schedule.
-- @tparam string name
-- @tparam table kind see above
-- @raise with the author's line
function M.define(name, kind)
  if type(kind.rate) ~= "function" then
    source_line.fail("schedule.define(%q): rate, a function, is needed", name)
  end
  kind.options = options_of.declare(kind.options or {}, { group = "Learning rate and length" })
  register:define(name, kind, ("schedule.define(%q)"):format(name))
end

--- The names, sorted.
-- @treturn {string,…}
function M.names()
  return register:names()
end

--- The kind of a name.
-- @treturn table
-- @raise for an unknown name
function M.get(name)
  return register:get(name) or errors.unknown("--lr-scheduler", name, M.names())
end

local Schedule = {}
Schedule.__index = Schedule

--- The rate of the update with n updates before it. Ask for each n once, in order.
function Schedule:rate(n)
  self.state.lr = self.kind.rate(self.p, self.state, n)
  return self.state.lr
end

Schedule.__call = Schedule.rate

--- Before the first update of an epoch.
-- @tparam integer epoch from 1
function Schedule:begin_epoch(epoch)
  if self.kind.begin_epoch then
    self.kind.begin_epoch(self.p, self.state, epoch)
  end
end

--- After an epoch.
-- @tparam ?number value the metric of its validation, rounded; nil without a validation
function Schedule:end_epoch(value)
  if self.kind.end_epoch then
    self.kind.end_epoch(self.p, self.state, value)
  end
end

-- The kind's options with their defaults; refuses others.
local function parameters(name, kind, given)
  local known = { "lr", "maximize", "total_num_update" }
  for _, d in ipairs(kind.options) do
    known[#known + 1] = d.name
  end
  for key in pairs(given) do
    if not registry.contains(known, key) then
      errors.unknown(("schedule %s: the option"):format(name), tostring(key), known)
    end
  end
  local p = options_of.complete(kind.options, given)
  p.rates = type(given.lr) == "table" and given.lr or { given.lr }
  p.lr, p.total, p.maximize = p.rates[1], given.total_num_update, given.maximize or false
  return p
end

--- Makes a schedule.
-- @tparam string name one of names()
-- @tparam table options lr (a number, or the list of rates of the first epochs), total_num_update
--   (updates planned), maximize (is a larger metric better?), and the kind's own
-- @tparam[opt] table saved the `state` of the same schedule, to go on from
-- @treturn table schedule: rate(n), begin_epoch(epoch), end_epoch(value); state, a table of
--   numbers; peak and ending, the largest and the last rate. Called as a function it is rate(n)
-- @raise for an unknown name or option, or values that contradict each other
function M.new(name, options, saved)
  local kind = M.get(name)
  local p = parameters(name, kind, options)
  if #p.rates > 1 and not kind.several then
    errors.raise("--lr has %d rates, and --lr-scheduler %s takes one; fixed and polynomial_decay "
      .. "take one for each epoch", #p.rates, name)
  elseif p.warmup_updates and p.warmup_updates > p.total then
    errors.raise("--warmup-updates %d is more than the %s planned; lower it or raise "
      .. "--total-num-update", p.warmup_updates, numbers.quantity(p.total, "update"))
  end
  local self = setmetatable({ kind = kind, p = p, state = { lr = p.lr } }, Schedule)
  if kind.begin then
    kind.begin(p, self.state)
  end
  for key, value in pairs(saved or {}) do
    self.state[key] = value
  end
  self.peak = kind.peak and kind.peak(p) or math.max(unpack(p.rates))
  self.ending = kind.ending and kind.ending(p) or 0
  return self
end

local optional, whole, NAME = arguments.optional, schema.integer(0),
  arguments.arg("name", schema.string)
arguments.guard("fsam.schedule", M, {
  names = {}, get = { NAME },
  define = { NAME, arguments.arg("kind", arguments.table), inside = true },
  new = { NAME, arguments.arg("options", schema.record({
    lr = schema.either("a number or a list of numbers", schema.number(),
      schema.list(schema.number(), 1)), total_num_update = whole,
    maximize = optional(schema.boolean), warmup_updates = optional(whole),
    end_learning_rate = optional(schema.number()), power = optional(schema.number()),
  })), arguments.arg("saved", optional(arguments.table)) },
})

return M
