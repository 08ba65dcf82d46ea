--- The command line of a recipe: flags declared as one table, checked before anything is loaded.
--
-- Owns: the way from `arg` to a table of values, and spelling (fairseq's; underscores count as
-- dashes). Leaves to others: which source decides a value (options/resolve.lua), one value's type
-- and range (options/values.lua), the layout of --help (options/parser.lua), answers to other
-- programs' names (options/foreign.lua), and what the flags mean (the modules that declare them).
--
-- A declaration is
--   { name = "keep_ratio", type = "number", default = 0.1, above = 0, max = 1, metavar = "K",
--     group = "Masks", help = "share of the weights that are perturbed", alias = { "keep" } }
-- types: number, integer, string, flag, choice (choices, same = { other spelling → choice }),
-- list (of = "number" | "integer" | "string", count), series (of = "number" | "integer": one value
-- for each epoch, the last for all later ones; a single value stays a plain number). Bounds: min
-- and max are inclusive, above and below exclusive. `owner` names the table that holds the value.
-- `implies` maps a choice to the values that it sets for other flags, or to a function that
-- computes these from the values of the flags with one owner. `free` marks what a continued run
-- may change. `hidden` keeps a flag out of --help. The short form { rho = 0.5, eta = 0.01 }
-- declares numbers with defaults.

local public = require("fsam.base.arguments")
local environment = require("fsam.ranks.environment")
local errors = require("fsam.errors")
local foreign = require("fsam.options.foreign")
local parsing = require("fsam.options.parser")
local registry = require("fsam.base.registry")
local resolve = require("fsam.options.resolve")
local schema = require("fsam.base.schema")
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

-- Part of this module's interface; options/resolve.lua documents them.
M.flag, M.default, M.complete, M.in_use = resolve.flag, resolve.default, resolve.complete,
  resolve.in_use

-- What a table of options holds beside the values.
local RESERVED = { command = true, given = true, help = true, notes = true, origin = true,
  owned = true, spec = true }

-- flag spelling → declaration, for every name and alias.
local function index(flags)
  local by_flag, spellings = {}, {}
  for _, d in ipairs(flags) do
    if RESERVED[d.name] then
      errors.raise("an option cannot have the name %s", d.name)
    end
    for _, name in ipairs({ d.name, unpack(d.alias or {}) }) do
      by_flag[M.flag(name)] = d
      spellings[#spellings + 1] = M.flag(name)
    end
  end
  return by_flag, spellings
end

local SHOWN = 6 -- names that a line has room for

local function unknown(flag, typed, spellings)
  local full = foreign.completions(flag, spellings)
  if #full == 1 then
    errors.raise("%s is the beginning of %s; write the whole name", typed, full[1])
  elseif #full > 1 then
    errors.raise("%s is the beginning of %s%s; write the whole name", typed,
      table.concat(full, ", ", 1, math.min(#full, SHOWN)), #full > SHOWN and " and others" or "")
  end
  errors.raise("%s is unknown%s (--help lists all flags)", typed,
    errors.suggestion(flag, spellings))
end

-- The words in the form that argparse needs: names with dashes, negative numbers joined to their
-- flag. A foreign flag is dropped or replaced where we accept it; otherwise its answer is raised.
-- Returns also the foreign flags that have no effect.
local function normalise(arguments, by_flag, spellings, task)
  local words, idle, i = {}, {}, 1
  while i <= #arguments do
    local word = arguments[i]
    local name, value = word:match("^(%-%-[^=]+)=(.*)$")
    name = name or word:match("^%-%-.+")
    if name and name ~= "--help" then
      local flag = "--" .. name:sub(3):gsub("_", "-")
      local d = by_flag[flag]
      local next_word = value == nil and arguments[i + 1] or nil
      if not d then
        local answer = foreign.answer(flag, name, value or next_word, task)
        if not answer then
          unknown(flag, name, spellings)
        end
        if answer.words[1] and not by_flag[answer.words[1]] then
          errors.raise("%s is %s here", name, table.concat(answer.words, " "))
        end
        for _, replacement in ipairs(answer.words) do
          words[#words + 1] = replacement
        end
        if answer.idle and not registry.contains(idle, flag) then
          idle[#idle + 1] = flag
        end
        i = i + (answer.value and value == nil and 1 or 0)
      elseif d.type ~= "flag" and foreign.drops(flag, value or next_word) then
        i = i + (value == nil and 1 or 0)
      elseif next_word and d.type ~= "flag" and next_word:match("^%-[%d.]") then
        words[#words + 1] = flag .. "=" .. next_word
        i = i + 1
      elseif next_word and d.type ~= "flag" and next_word:match("^%-[^-]") then
        errors.raise("%s %s: a value that begins with a dash is written %s=%s", name, next_word,
          name, next_word)
      else
        words[#words + 1] = flag .. (value and "=" .. value or "")
      end
    elseif values.has_dash(word, "^%-?") then
      errors.raise("%s begins with a dash that is not the hyphen -; flags begin with two hyphens, "
        .. "which must be typed", word)
    elseif word:match("^%-[^-]") and word ~= "-h" then
      errors.raise("%s is unknown; flags begin with two dashes (--help lists them all), and a path "
        .. "that begins with one is written ./%s", word, word)
    else
      words[#words + 1] = word
    end
    i = i + 1
  end
  return words, idle
end

-- A message of argparse in our words.
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

--- Reads a command line.
-- @tparam {string,…} arguments the words after the program's name
-- @tparam table spec name, usage, summary, epilog; positional { name, metavar, help }, or a
--   list of such, or nil;
--   flags; profiles { { label, when = fn(typed) → boolean, values = { name → value or rule } }, … }
--   (resolve.profiled has the rules); in_use, see resolve.resolve; task, see options/foreign.lua;
--   check(options), which may raise, or add remarks to options.notes
-- @treturn table options: name → value, and beside the values
--   given   name → true for what was typed
--   origin  name → where the value comes from, see resolve.resolve
--   owned   role → that owner's own values
--   notes   remarks for the user
--   spec    the spec
--   With --help or -h among the words the table has one field, help, the text, and nothing is
--   decided.
-- @raise one line that names the flag, what is wrong and what is valid
function M.read(arguments, spec)
  local by_flag, spellings = index(spec.flags)
  resolve.check_profiles(spec)
  local parser = parsing.parser(spec)
  for _, word in ipairs(arguments) do
    if word == "--help" or word == "-h" then
      return { help = parser:get_help() }
    end
  end
  local words, idle = normalise(arguments, by_flag, spellings, spec.task)
  local ok, raw = parser:pparse(words)
  if not ok then
    errors.raise("%s", reword(raw))
  end
  local typed, given = {}, {}
  for name, text in pairs(raw) do
    local d = by_flag[M.flag(name)]
    typed[name] = d and values.convert(d, text, M.flag(name)) or text
    given[name] = true
  end
  local options, origin, owned = resolve.resolve(spec, typed)
  for _, p in ipairs(resolve.positionals(spec)) do
    options[p.name] = typed[p.name]
  end
  options.given, options.origin, options.owned = given, origin, owned
  options.notes, options.spec = { #idle > 0 and foreign.remark(idle) or nil }, spec
  if spec.check then
    spec.check(options)
  end
  return options
end

-- The words of a command, quoted for the shell where they need it.
local function command_line(arguments)
  local words = { arguments[0] }
  for _, word in ipairs(arguments) do
    words[#words + 1] = word:find("^[%w%-_./=,:+@]+$") and word
      or "'" .. word:gsub("'", "'\\''") .. "'"
  end
  return table.concat(words, " ")
end

--- Does the script read its words with `parse`? Then it is a command.
M.parsed = false

--- As `read`, for a recipe: --help is printed and ends the program.
-- @tparam {string,…} arguments `arg`, with the script at 0
-- @tparam table spec as for `read`; alone: it does not work as several processes of a launcher
-- @treturn table options, with `command`: the command line, ready to be typed again
-- @raise as `read`
function M.parse(arguments, spec)
  M.parsed = true
  local options = M.read(arguments, spec)
  options.command = "fsam-lua " .. command_line(arguments)
  if options.help then
    io.write(options.help, "\n")
    os.exit(0)
  end
  local here = spec.alone and environment.read() or { size = 1 }
  if here.size > 1 then
    errors.raise("this works in one process, and %s started %d: start it without %s", here.launcher,
      here.size, here.launcher)
  end
  return options
end

local TABLE = public.arg("declarations", public.table)
local WORDS = public.arg("arguments", public.table)
local SPEC = public.arg("spec", schema.record({ flags = public.table }))
local VALUES = public.arg("values", public.optional(public.table))
public.guard("fsam.options", M, {
  declare = { TABLE, VALUES }, flag = { public.arg("name", schema.string) },
  default = { TABLE, more = true }, complete = { TABLE, VALUES }, in_use = { TABLE, TABLE },
  read = { WORDS, SPEC }, parse = { WORDS, SPEC },
})

return M
