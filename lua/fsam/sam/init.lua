--- Sam-types by name. A type is a small table of mathematics; nothing else knows the types.
--
--     fsam.sam.define("asam", {                       -- Kwon et al. 2021, eq. 5
--       options = { rho = 0.5, eta = 0.01 },
--       ascend = function(s)                          -- the perturbation e
--         local t = s.w:abs() + s.eta
--         return t * t * s.g * (s.rho / (t * s.g):norm())
--       end,
--     })
--
-- The parts. All are optional, but a type has at least one of ascend, explore, descend, after and
-- update:
--   options    declarations like a recipe's flags, or { name = default }
--   explore(s) a perturbation before the first pass (not masked)
--   passes     1 or 2 (default 2)
--   every(s)   asked after the first pass: is there a second one?
--   ascend(s)  the perturbation e, relative to w
--   select(s)  the ordinals of the samples that the second pass sees (s.losses, s:losses_at_e())
--   descend(s) the direction d; runs also without a second pass (s.g2 == nil)
--   after(s)   sets that join the base's update
--   update(s)  replaces the base, which keeps no state then: what is subtracted from w, from the
--              clipped direction s.d
--   skip(s)    parameters (parameter → true) that get no gradient in the first pass
--   schedule(s) rho of this step; s.rho holds what --rho-schedule gives (fsam.sam.radius)
--   state, scratch, scalars   names of vectors and numbers of its own
-- What s holds is in fsam.define.fields. "fisher-X" is X with a mask policy (fsam.mask), for every
-- X that ascends.
--
-- Owns: the register of types and their parts' names. Leaves to others: when a part is called and
-- what happens to its result (fsam.step).
local arguments = require("fsam.base.arguments")
local define = require("fsam.define")
local errors = require("fsam.errors")
local radius = require("fsam.sam.radius")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

local register = registry.new("fsam.sam.types.", { "aesam", "asam", "bsam", "esam", "friendly",
  "gsam", "looksam", "msam", "natural-sam", "rst", "sam", "sam-k", "sam-on", "stable", "wsam" })
local PARTS = {
  options = "table", explore = "function", passes = "number", every = "function",
  ascend = "function", select = "function", descend = "function", after = "function",
  update = "function", skip = "function", schedule = "function", state = "table",
  scratch = "table", scalars = "table",
}
local ACTIVE = { "ascend", "explore", "descend", "after", "update" }

--- Defines a sam-type, and with it its fisher- form if it ascends.
-- @tparam string name without fisher-; one that is not taken
-- @tparam table spec the parts
-- @raise with the author's line
function M.define(name, spec)
  if type(name) ~= "string" or name:find("^fisher%-") or type(spec) ~= "table" then
    source_line.fail("sam.define: a name without fisher- and a table of parts are needed")
  end
  local what = ("sam.define(%q)"):format(name)
  local sam_type = define.definition(what, name, spec, PARTS, radius.complete)
  local active = false
  for _, part in ipairs(ACTIVE) do
    active = active or spec[part] ~= nil
  end
  if not active then
    source_line.fail("%s: a type must do something; give one of %s", what,
      table.concat(ACTIVE, ", "))
  end
  sam_type.passes = sam_type.passes or 2
  if sam_type.passes ~= 1 and sam_type.passes ~= 2 then
    source_line.fail("%s: passes is %g, expected 1 or 2", what, sam_type.passes)
  end
  register:define(name, sam_type, what)
end

--- Is a type one of ours, not a user's?
-- @tparam string plain its name without fisher-
-- @treturn boolean
function M.is_built_in(plain)
  return register:is_built_in(plain)
end

--- All names, plain and fisher-, sorted.
function M.names()
  local names = register:names()
  for i = 1, #names do
    if register:get(names[i]).ascend then
      names[#names + 1] = "fisher-" .. names[i]
    end
  end
  table.sort(names)
  return names
end

--- The definition of a name; of "fisher-X" that of X with `masked = true`. `plain` is X in both.
function M.get(name)
  local plain = name:match("^fisher%-(.+)") or name
  local found = register:get(plain)
  if not found then
    errors.unknown("--sam-type", name, M.names())
  elseif plain ~= name and not found.ascend then
    errors.raise("--sam-type %s: %s does not ascend, so a mask has nothing to restrict; use %s",
      name, plain, plain)
  end
  return setmetatable({ name = name, plain = plain, masked = plain ~= name }, { __index = found })
end

--- The declarations of a type's own options.
function M.options(name)
  return M.get(name).options
end

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.sam", M, {
  define = { NAME, arguments.arg("parts", arguments.table), inside = true }, names = {},
  get = { NAME }, is_built_in = { NAME }, options = { NAME },
})

return M
