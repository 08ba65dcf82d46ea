--- The command line of a recipe: flags declared as one table, checked before anything is loaded.
--
-- Owns the way from `arg` to a table of values: spelling (fairseq's, with underscores tolerated),
-- defaults, and the order in which they apply. One value's type and range are
-- options/values.lua's, the layout of --help options/parser.lua's, answers to other programs' names
-- options/foreign.lua's. What the flags mean is their users' business.
--
-- A declaration is
--   { name = "keep_ratio", type = "number", default = 0.1, above = 0, max = 1, metavar = "K",
--     group = "Masks", help = "share of the weights that are perturbed", alias = { "keep" } }
-- types: number, integer, string, flag, choice (choices, same = { other spelling → choice }),
-- list (of = "number" | "string", count). Bounds: min, max inclusive, above, below exclusive.
-- `implies` gives, for each choice, defaults of other flags, or a function from the options so far
-- to them; `free` marks what a continued run may change. The short form { rho = 0.5, eta = 0.01 }
-- declares numbers with defaults.

local errors = require("fsam.errors")
local foreign = require("fsam.options.foreign")
local parsing = require("fsam.options.parser")
local values = require("fsam.options.values")

local M = {}

--- A declaration list from either form.
-- @tparam table list declarations, or the short form name → default
-- @tparam[opt] table extra fields for those that lack them (group, help)
-- @treturn {table,…} declarations; the short form's sorted by name
function M.declare(list, extra)
  local declared = {}
  for key, value in pairs(list) do
    if type(key) == "string" then
      declared[#declared + 1] = type(value) == "table" and value
        or { type = "number", default = value }
      declared[#declared].name = declared[#declared].name or key
    end
  end
  table.sort(declared, function(a, b)
    return a.name < b.name
  end)
  for _, value in ipairs(list) do
    declared[#declared + 1] = value
  end
  for _, d in ipairs(declared) do
    d.name = d.name:gsub("-", "_")
    for key, value in pairs(extra or {}) do
      d[key] = d[key] or value
    end
  end
  return declared
end

--- One owner's values: a new table with a value for each declaration that has one.
-- @tparam {table,…} declarations
-- @tparam table values name → value: what was decided already; what is missing gets its declared
--   default, a flag without one false
-- @treturn table name → value
function M.complete(declarations, values)
  local complete = {}
  for _, d in ipairs(declarations) do
    local value = values[d.name]
    if value == nil then
      value = d.default
    end
    if value == nil and d.type == "flag" then
      value = false
    end
    complete[d.name] = value
  end
  return complete
end

--- "keep_ratio" → "--keep-ratio".
function M.flag(name)
  return "--" .. name:gsub("_", "-")
end

-- flag spelling → declaration, for every name and alias.
local function index(flags)
  local by_flag, spellings = {}, {}
  for _, d in ipairs(flags) do
    for _, name in ipairs({ d.name, unpack(d.alias or {}) }) do
      by_flag[M.flag(name)] = d
      spellings[#spellings + 1] = M.flag(name)
    end
  end
  return by_flag, spellings
end

local function unknown(flag, typed, spellings)
  local nearest = errors.nearest(flag, spellings)
  errors.raise("%s is unknown%s (--help lists all flags)", typed,
    nearest and "; did you mean " .. nearest .. "?" or "")
end

-- Words as argparse wants them: names with dashes, negative numbers joined to their flag, foreign
-- flags answered or dropped.
local function normalise(arguments, by_flag, spellings)
  local words, i = {}, 1
  while i <= #arguments do
    local word = arguments[i]
    local name, value = word:match("^(%-%-[^=]+)=(.*)$")
    name = name or word:match("^%-%-.+")
    if name and name ~= "--help" then
      local flag = "--" .. name:sub(3):gsub("_", "-")
      local d = by_flag[flag]
      local next_word = value == nil and arguments[i + 1] or nil
      if not d then
        local used = foreign.answer(flag, name, value or next_word)
        if not used then
          unknown(flag, name, spellings)
        end
        i = i + (used == "value" and value == nil and 1 or 0)
      elseif next_word and d.type ~= "flag" and next_word:match("^%-[%d.]") then
        words[#words + 1] = flag .. "=" .. next_word
        i = i + 1
      else
        words[#words + 1] = flag .. (value and "=" .. value or "")
      end
    else
      words[#words + 1] = word
    end
    i = i + 1
  end
  return words
end

-- argparse's messages in our words.
local function reword(message)
  local flag = message:match("^option '(.-)' requires an argument$")
  if flag then
    return flag .. " needs a value"
  end
  flag = message:match("^option '(.-)' does not take arguments$")
  if flag then
    return flag .. " takes no value"
  end
  if message == "too many arguments" then
    return "more than one word that is not a flag; quote paths with spaces (--help shows the usage)"
  end
  return (message:gsub("\n", " "):gsub("unknown option '(.-)'", "%1 is unknown"))
end

-- Takes values for what is not set yet.
local function underlay(options, defaults)
  for name, value in pairs(defaults or {}) do
    if options[name] == nil then
      options[name] = value
    end
  end
end

-- Choices may set the defaults of other flags (--preset).
local function imply(options, flags)
  for _, d in ipairs(flags) do
    if d.implies and options[d.name] ~= nil then
      local implied = d.implies[options[d.name]]
      underlay(options, type(implied) == "function" and implied(options) or implied)
    end
  end
end

-- What was typed wins over what typed choices imply, that over the profile, that over defaults.
local function fill_defaults(options, spec, given)
  imply(options, spec.flags)
  for _, profile in ipairs(spec.profiles or {}) do
    if profile.when(given) then
      underlay(options, profile.values)
    end
  end
  for _, d in ipairs(spec.flags) do
    if d.implies and options[d.name] == nil then
      options[d.name] = d.default
    end
  end
  imply(options, spec.flags)
  for _, d in ipairs(spec.flags) do
    if options[d.name] == nil then
      options[d.name] = d.default
      if d.type == "flag" and d.default == nil then
        options[d.name] = false
      end
    end
  end
end

--- Reads a command line.
-- @tparam {string,…} arguments the words after the program's name
-- @tparam table spec name, usage, summary, epilog; positional { name, metavar, help } or nil;
--   flags; profiles { { label, when = fn(given) → boolean, values = { name → default } }, … };
--   check, called with the options
-- @treturn table options: name → value; given: name → true for what was typed; help: the text
--   of --help if it was asked for (nothing is checked then)
-- @raise one line that names the flag, what is wrong and what is valid
function M.read(arguments, spec)
  local by_flag, spellings = index(spec.flags)
  local parser = parsing.parser(spec, M.flag)
  for _, word in ipairs(arguments) do
    if word == "--help" or word == "-h" then
      return { help = parser:get_help() }
    end
  end
  local ok, raw = parser:pparse(normalise(arguments, by_flag, spellings))
  if not ok then
    errors.raise("%s", reword(raw))
  end
  local options, given = {}, {}
  for name, text in pairs(raw) do
    local d = by_flag[M.flag(name)]
    options[name] = d and values.convert(d, text, M.flag(name)) or text
    given[name] = true
  end
  fill_defaults(options, spec, given)
  options.given = given
  if spec.check then
    spec.check(options)
  end
  return options
end

-- The command as one could type it again.
local function command_line(arguments)
  local words = { arguments[0] }
  for _, word in ipairs(arguments) do
    words[#words + 1] = word:find("^[%w%-_./=,:+@]+$") and word
      or "'" .. word:gsub("'", "'\\''") .. "'"
  end
  return table.concat(words, " ")
end

--- As `read`, for a recipe: --help is printed and ends the program. `options.command` is the
-- command as one could type it again.
-- @tparam {string,…} arguments `arg`
-- @tparam table spec
function M.parse(arguments, spec)
  local options = M.read(arguments, spec)
  options.command = "fsam-lua " .. command_line(arguments)
  if options.help then
    io.write(options.help, "\n")
    os.exit(0)
  end
  return options
end

return M
