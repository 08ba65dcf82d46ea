--- The parts of sam-types and base optimizers, as their authors write them: what a definition may
-- hold, calling a part, and what it must return. A mistake is one line with the author's file and
-- line. What the parts are for, and when they are called, is fsam.sam's and fsam.step's.
local code = require("fsam.vector.instructions")
local node = require("fsam.vector.expression")
local options = require("fsam.options")
local source_line = require("fsam.base.source_line")
local values = require("fsam.options.values")

source_line.own()

local M = {}

-- -- what parts return ----------------------------------------------------------------------------

local function is_vector(x)
  return node.rank(x) == code.VECTOR
end

local function is_ordinals(list, s)
  if type(list) ~= "table" or #list == 0 then
    return false
  end
  for _, ordinal in ipairs(list) do
    if type(ordinal) ~= "number" or ordinal % 1 ~= 0 or ordinal < 0 or ordinal >= s.N then
      return false
    end
  end
  return true
end

local function none(x)
  return x == nil
end

local function either(first, second)
  return function(x, s)
    return first(x, s) or second(x, s)
  end
end

local VECTOR = ", a vector of the whole model"

-- Of each part: is this a fitting result, and what was expected.
local RESULTS = {
  explore = { is_vector, "the perturbation before the first pass" .. VECTOR },
  ascend = { is_vector, "the perturbation" .. VECTOR },
  descend = { either(none, is_vector), "the direction of the update" .. VECTOR
    .. " (or nothing: g2)" },
  update = { is_vector, "what is subtracted from w" .. VECTOR },
  every = { function(x) return x == nil or type(x) == "boolean" end,
    "true or false (a scalar is read first: s:read(x))" },
  select = { either(none, is_ordinals),
    "a list of ordinals from 0 to s.N - 1 (or nothing: all samples)" },
  skip = { either(none, function(x) return type(x) == "table" end),
    "a table parameter → true (or nothing)" },
  schedule = { function(x) return type(x) == "number" and x == x end, "rho, a number" },
}

--- A part that calls the author's function and checks what it returned.
-- @tparam string owner the type's or optimizer's name; @tparam string part; @tparam function func
function M.wrap(owner, part, func)
  local expected = RESULTS[part]
  return function(s)
    local result = source_line.call(func, s)
    if expected and not expected[1](result, s) then
      source_line.fail_at(source_line.of(func), "%s of %s returned %s; it must return %s", part,
        owner, node.describe(result), expected[2])
    end
    return result
  end
end

-- -- definitions ----------------------------------------------------------------------------------

--- The declarations of a definition's options, checked.
-- @tparam string what begins the message: sam.define("name")
function M.options(what, list)
  local declared = options.declare(list or {})
  for _, d in ipairs(declared) do
    if type(d.name) ~= "string" or not values.is_type(d.type) then
      source_line.fail("%s: option %s: its type %s is unknown (%s)", what, tostring(d.name),
        tostring(d.type), table.concat(values.types(), ", "))
    elseif (d.type == "number" or d.type == "integer") and d.default ~= nil
        and type(d.default) ~= "number" then
      source_line.fail("%s: option %s: the default %s is no number; declare { name = %q, type = …, "
        .. "default = … } with one of the types %s", what, d.name, tostring(d.default), d.name,
        table.concat(values.types(), ", "))
    end
  end
  return declared
end

local RESERVED = { w = true, g = true, g2 = true, d = true, mask = true, losses = true, base = true,
  step = true, t = true, lr = true, progress = true, N = true, K = true }

--- The names of state, scratch or scalars, checked.
function M.names(what, part, list)
  for key, name in pairs(list) do
    if type(key) ~= "number" or type(name) ~= "string" then
      source_line.fail("%s: %s is a list of names, such as { \"m\" }", what, part)
    elseif RESERVED[name] then
      source_line.fail("%s: %s: s.%s is taken; choose another name", what, part, name)
    end
  end
  return list
end

-- -- results that nobody uses ---------------------------------------------------------------------

-- Finding them costs a position for every expression, so only the first steps are watched: until
-- there was one with and one without a second pass, where a type has both.
local MOST = 100

local Watch = {}
Watch.__index = Watch

--- Watches the steps of an optimizer with this type (nil: plain).
function M.watch(type_)
  return setmetatable({ steps = 0, both = type_ and type_.every ~= nil, one = false, two = false },
    Watch)
end

--- At a step's start.
function Watch:begin(params)
  local seen = self.one and self.two or not self.both and (self.one or self.two)
  self.on = not seen and self.steps < MOST
  self.steps = self.steps + 1
  params:trace(self.on)
end

--- Before a step's commit: fails at the first result of an author's file that nothing used.
function Watch:check(params, s)
  if not self.on then
    return
  end
  self.one, self.two = self.one or not s.g2, self.two or s.g2 ~= nil
  for _, unused in ipairs(params:unused()) do
    if source_line.is_users(unused.line) then
      source_line.fail_at(unused.line, "%s is computed here and never used; return it, keep it "
        .. "with s.NAME:set(…)%s, or leave it out", node.describe(unused.node),
        node.rank(unused.node) == code.SCALAR and ", read it with s:read(x)" or "")
    end
  end
end

return M
