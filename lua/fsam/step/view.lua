--- What a sam-type, base optimizer or mask policy sees as `s`: the fields of a step
-- (fsam.define.fields), the names that its definition declares, and what its parts hand on. Owns
-- how they are held, read, refused and suggested. Leaves to others: the fields' values.
--
--   s.NAME        a field, a state, scratch vector or scalar, an option
--   s.NAME = x    hands x to a later part of the same step; every other name is refused
--
-- The library sets fields with `set` and `begin` here, which a part cannot reach through s. Reading
-- goes through one table, `values`; `missing` answers for names that are not in it.
local C = require("fsam.C")
local errors = require("fsam.errors")
local fields = require("fsam.define.fields")
local finite = require("fsam.step.finite")
local habits = require("fsam.vector.habits")
local node = require("fsam.vector.expression")
local radius = require("fsam.sam.radius")
local source_line = require("fsam.base.source_line")
local storage = require("fsam.vector.storage")

source_line.own()

local M = {}

local RANDOM = 0x72616e64 -- "rand": a stream of its own

-- -- names ----------------------------------------------------------------------------------------

-- A name without a value: nil where it may be absent, else an error that suggests another.
local function missing(view, name)
  local field = fields.of[name]
  if field and field.absent or view.own[name] then
    return nil
  elseif field and field.by == "declarations" then
    source_line.fail("s.%s is unknown in %s; declare it: options = { %s = … }", name, view.name,
      name)
  end
  local names = {}
  for known in pairs(view.values) do
    names[#names + 1] = known
  end
  for _, known in ipairs(fields.list) do
    names[#names + 1] = known.name
  end
  table.sort(names)
  local nearest = habits.fields[name] or errors.nearest(tostring(name), names)
  return source_line.fail("s.%s is unknown in %s%s", tostring(name), view.name,
    nearest and "; did you mean s." .. nearest .. "?" or "")
end

-- A part hands a value on under a new name. A name that has a meaning already is refused.
local function hand_on(view, name, value)
  local known = fields.of[name] or view.own[name]
  if known and getmetatable(rawget(view.values, name)) == node.Storage then
    source_line.fail("s.%s = … would only rename it; change it with s.%s:set(…)", name, name)
  elseif known then
    source_line.fail("s.%s cannot be changed by a part; keep the value in a local variable", name)
  end
  view.handed[name], view.values[name] = true, value
end

-- -- methods --------------------------------------------------------------------------------------

-- s:each(f): a row of per-parameter constants, f(parameter) → number or boolean.
local function each(view)
  return function(_, f)
    return (view.params:each(f))
  end
end

-- s:normal(stream), s:uniform(stream): vectors keyed by seed, step, stream (0) and element.
local function vector_of(view, kind)
  return function(s, stream)
    return view.params[kind](view.params, { seed = view.seed, step = s.step, stream = stream })
  end
end

-- s:random(stream): a number in (0, 1) by seed, step and stream, the same on all ranks.
local function random(view)
  local out = C.ffi.new("uint32_t[4]")
  return function(s, stream)
    if stream ~= nil and type(stream) ~= "number" then
      source_line.fail("random: the stream is a number, got %s", node.describe(stream))
    end
    C.lib.fsam_philox(out, stream or 0, 0, 0, RANDOM, view.seed, s.step)
    return (out[0] + 0.5) / 4294967296
  end
end

-- s:read(scalar): its value. The step waits for it, and is skipped when it is not finite.
local function read(_, scalar)
  local value = storage.read(scalar)
  return type(value) == "number" and finite.check(value, "a value that the type reads") or value
end

-- s:keeps(name): is there a state of this name? (s.base:keeps("exp_avg"))
local function keeps(view)
  return function(_, name)
    return view.own[name] ~= nil and view.own[name] ~= "options"
  end
end

-- s:losses_at_e(): losses at the perturbed point, in the order of s.losses; forward only, with the
-- step's dropout.
local function losses_at_e(view)
  return function()
    return view.passes:run({ backward = false }, "a loss at the perturbed point"):losses()
  end
end

-- s:per_sample_squares(): Σ_b g_b² over the step's samples, from passes of its own.
local function per_sample_squares(view)
  return function(s)
    return view.passes:squares({ N = s.N, into = view.params:scratch("sample_squares"),
      sum = "sample_squares_sum" }, "a loss of single samples")
  end
end

-- -- views ----------------------------------------------------------------------------------------

-- The vectors and scalars that a definition declares; scratch vectors are listed.
local function declare(view, spec, prefix)
  local params = view.params
  for _, part in ipairs({ "state", "scratch", "scalars" }) do
    local make = part == "state" and params.vector or part == "scratch" and params.scratch
      or params.scalar
    for _, name in ipairs(spec[part] or {}) do
      view.own[name], view.values[name] = part, make(params, prefix .. name)
      view.scratch[#view.scratch + 1] = part == "scratch" and view.values[name] or nil
    end
  end
end

--- A new view.
-- @tparam table o params; spec, the definition; prefix of its state's names in the checkpoint;
--   options, its own, complete; declared, their declarations; seed
-- @treturn table s
function M.new(o)
  local view = { name = o.spec.name, params = o.params, seed = o.seed, options = o.options,
    schedule = o.spec.schedule, values = {}, own = {}, handed = {}, scratch = {} }
  local values = view.values
  for _, d in ipairs(o.declared) do
    view.own[d.name], values[d.name] = "options", o.options[d.name]
  end
  declare(view, o.spec, o.prefix)
  values.each, values.random, values.read, values.keeps, values.losses_at_e = each(view),
    random(view), read, keeps(view), losses_at_e(view)
  values.per_sample_squares = per_sample_squares(view)
  values.normal, values.uniform = vector_of(view, "normal"), vector_of(view, "uniform")
  setmetatable(values, { __index = function(_, name)
    return missing(view, name)
  end })
  view.__index = values
  function view.__newindex(_, name, value)
    hand_on(view, name, value)
  end
  return setmetatable({}, view)
end

--- Sets a field of the step; nil where it may be absent.
function M.set(s, name, value)
  getmetatable(s).values[name] = value
end

--- A field's value, nil where it has none.
function M.get(s, name)
  return rawget(getmetatable(s).values, name)
end

--- Starts a step: gives every field its first value, and scratch vectors zeros.
-- @tparam table s
-- @tparam table now the library's fields, by name
-- @tparam table passes the step's (fsam.step.passes)
function M.begin(s, now, passes)
  local view = getmetatable(s)
  local values = view.values
  view.passes = passes
  for name in pairs(view.handed) do
    view.handed[name], values[name] = nil, nil
  end
  for _, field in ipairs(fields.list) do
    if field.by == "library" then
      values[field.name] = now[field.name]
    end
  end
  for _, vector in ipairs(view.scratch) do
    vector:set(0)
  end
  values.rho = radius.at(view.options, now)
  if view.schedule then
    values.rho = view.schedule(s)
  end
end

--- The library's fields as a view has them at this moment, for another view to begin with.
-- @tparam table s
-- @treturn table name → value
function M.fields(s)
  local now = {}
  for _, field in ipairs(fields.list) do
    if field.by == "library" then
      now[field.name] = s[field.name]
    end
  end
  return now
end

return M
