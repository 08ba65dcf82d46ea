--- A parser of lua-argparse, made from declarations. It splits words into flags and values and lays
-- out --help.
--
-- Owns: what --help shows for each flag, which is its values, its text and its defaults. Leaves to
-- others: converting values (options/values.lua); here they stay text.
local argparse = require("argparse")
local registry = require("fsam.base.registry")
local resolve = require("fsam.options.resolve")
local values = require("fsam.options.values")

local M = {}

-- The declarations of a flag by their owner's name. One that is `masked`, the fisher- form of a
-- sam-type, is left out: it has its plain type's default. A flag with one owner has one
-- declaration, under the empty name.
local function owners_of(d)
  local owners = {}
  for _, by_name in pairs(d.declared or { { [""] = d } }) do
    for name, declared in pairs(by_name) do
      owners[name] = not (d.masked or {})[name] and declared or nil
    end
  end
  return owners
end

-- A flag's defaults under a profile: "0.02 without --restore-file". A value that does not hold for
-- every owner with the usual default names the owners that it holds for.
local function profile_text(d, profile)
  local order, names, usual, total = {}, {}, {}, 0
  local owners = owners_of(d)
  for _, name in ipairs(registry.sorted(owners)) do
    local own = values.show(d, owners[name].default)
    local value = resolve.profiled(profile.values[d.name], owners[name], name)
    local text = value == nil and own or values.show(d, value)
    if text ~= own and not names[text] then
      order[#order + 1], names[text] = text, {}
    end
    if text ~= own then
      table.insert(names[text], name)
    end
    if own == values.show(d, d.default) then
      usual[text], total = (usual[text] or 0) + 1, total + 1
    end
  end
  for i, text in ipairs(order) do
    order[i] = usual[text] == total and text
      or text .. " with " .. table.concat(names[text], ", ")
  end
  return #order > 0 and table.concat(order, ", ") .. " " .. profile.label or nil
end

local function default_text(d, profiles)
  local parts = {}
  if d.type ~= "flag" and d.default ~= nil then
    parts[1] = "default " .. values.show(d, d.default)
  end
  for _, profile in ipairs(profiles) do
    parts[#parts + 1] = profile_text(d, profile)
  end
  return #parts > 0 and " (" .. table.concat(parts, "; ") .. ")" or ""
end

local function label(d)
  if d.type == "choice" and #table.concat(d.choices, "|") <= 30 then
    return table.concat(d.choices, "|")
  end
  return d.metavar or ({ integer = "N", number = "X", list = "A,B", series = "A,B" })[d.type]
    or "NAME"
end

local function add_flag(parser, d, profiles)
  local kind = d.type == "flag" and "flag" or "option"
  local element = parser[kind](parser, resolve.flag(d.name))
  local help = d.help or ""
  -- argparse lays several names of an option with a value out over several lines.
  for _, alias in ipairs(d.alias or {}) do
    element:hidden_name(resolve.flag(alias))
    help = ("%s; also %s"):format(help, resolve.flag(alias))
  end
  if d.type == "choice" and label(d) == "NAME" then
    help = help .. ": " .. table.concat(d.choices, ", ")
  end
  element:target(d.name):description(help .. default_text(d, profiles)):hidden(d.hidden or false)
  if d.type ~= "flag" then
    element:argname(label(d))
  end
  return element
end

--- A parser for a recipe's flags.
-- @tparam table spec see options.read
-- @treturn table an argparse parser; get_help() lays out --help, pparse(words) splits words
function M.parser(spec)
  local parser = argparse(spec.name, spec.summary, spec.epilog):add_help(false)
  parser:usage("usage: " .. (spec.usage or spec.name)):help_max_width(100)
    :help_description_margin(30):help_usage_margin(2)
  for _, p in ipairs(resolve.positionals(spec)) do
    parser:argument(p.metavar, p.help):target(p.name):args("?")
  end
  local groups, order = {}, {}
  for _, d in ipairs(spec.flags) do
    local name = d.group or "Other"
    if not groups[name] then
      groups[name] = {}
      order[#order + 1] = name
    end
    table.insert(groups[name], add_flag(parser, d, spec.profiles or {}))
  end
  for _, name in ipairs(order) do
    parser:group(name, unpack(groups[name]))
  end
  parser:group("Help", parser:flag("-h --help", "show this and stop"):target("help"))
  return parser
end

return M
