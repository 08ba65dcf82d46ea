--- Declarations as a parser of lua-argparse: it splits words into flags and values and lays out
-- --help.
--
-- Owns what --help says of each flag: its values, its text, its defaults. Values stay text here;
-- options/values.lua converts them.

local argparse = require("argparse")
local values = require("fsam.options.values")

local M = {}

local function default_text(d, profiles)
  local parts = {}
  if d.type ~= "flag" and d.default ~= nil then
    parts[1] = "default " .. values.show(d, d.default)
  end
  for _, profile in ipairs(profiles) do
    local value = profile.values[d.name]
    if value ~= nil and values.show(d, value) ~= values.show(d, d.default) then
      parts[#parts + 1] = values.show(d, value) .. " " .. profile.label
    end
  end
  return #parts > 0 and " (" .. table.concat(parts, "; ") .. ")" or ""
end

local function label(d)
  if d.type == "choice" and #table.concat(d.choices, "|") <= 30 then
    return table.concat(d.choices, "|")
  end
  return d.metavar or ({ integer = "N", number = "X", list = "A,B" })[d.type] or "NAME"
end

local function add_flag(parser, d, profiles, flag_of)
  local kind = d.type == "flag" and "flag" or "option"
  local element = parser[kind](parser, flag_of(d.name))
  local help = d.help or ""
  -- argparse lays several names of an option with a value out over several lines.
  for _, alias in ipairs(d.alias or {}) do
    element:hidden_name(flag_of(alias))
    help = ("%s; also %s"):format(help, flag_of(alias))
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
-- @tparam function flag_of name → its spelling
-- @treturn table an argparse parser; get_help() lays out --help, pparse(words) splits words
function M.parser(spec, flag_of)
  local parser = argparse(spec.name, spec.summary, spec.epilog):add_help(false)
  parser:usage("usage: " .. (spec.usage or spec.name)):help_max_width(100)
    :help_description_margin(30):help_usage_margin(2)
  if spec.positional then
    parser:argument(spec.positional.metavar, spec.positional.help):target(spec.positional.name)
      :args("?")
  end
  local groups, order = {}, {}
  for _, d in ipairs(spec.flags) do
    local name = d.group or "Other"
    if not groups[name] then
      groups[name] = {}
      order[#order + 1] = name
    end
    table.insert(groups[name], add_flag(parser, d, spec.profiles or {}, flag_of))
  end
  local help = parser:flag("-h --help", "show this and stop"):target("help")
  table.insert(groups[order[#order]], help)
  for _, name in ipairs(order) do
    parser:group(name, unpack(groups[name]))
  end
  return parser
end

return M
