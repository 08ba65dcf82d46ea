--- Files whose columns have names, read in one way whatever their format:
-- `tables.read("a.csv", { "text", "label" })`.
--
-- Owns: which format a name means, the register of formats, and the messages about columns that a
-- file lacks. Leaves to others: the formats (csv.lua and others), what columns mean
-- (corpus.lua, own_files.lua). A new format is a file with
--
--     tables.define("NAME", { endings = { "csv", … }, read = function(path, wanted) … end })
--
-- A row is a list of values in the order of `wanted`, with `line`, its place in the file from 1. A
-- value is a text; JSON has numbers, true, false and lists as well, and nil where a row lacks it.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local foreign = require("fsam.base.foreign")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")

local M = {}

local formats = registry.new("fsam.data.", { "csv", "fasttext", "jsonl", "tsv" })

--- Adds a format.
-- @tparam string name
-- @tparam table format see the head of this file
function M.define(name, format)
  formats:define(name, format, ("tables.define(%q)"):format(name))
end

local function endings()
  local list, by_ending = {}, {}
  for _, name in ipairs(formats:names()) do
    for _, ending in ipairs(formats:get(name).endings) do
      list[#list + 1], by_ending[ending] = "." .. ending, formats:get(name)
    end
  end
  return by_ending, table.concat(list, ", ")
end

--- The format of a file, by the end of its name.
-- @tparam string path
-- @treturn ?table nil when the name has none of the endings
function M.format_of(path)
  return (endings())[(path:lower():match("%.([^./]*)$"))]
end

--- The name's endings, for messages: ".csv, .json, …".
-- @treturn string
function M.endings()
  return (select(2, endings()))
end

--- Refuses a column that a file does not have.
-- @tparam string place file, and line where there is one
-- @tparam string column
-- @tparam {string,…} names those that it has
-- @raise one line, with the nearest name
function M.missing(place, column, names)
  errors.raise("%s has no column %s%s (its columns: %s)", place, column,
    errors.suggestion(column, names), #names > 0 and table.concat(names, ", ") or "none")
end

--- The places of columns in a header.
-- @tparam string path
-- @tparam {string,…} header the file's names
-- @tparam {string,…} wanted
-- @treturn {integer,…} one for each of `wanted`
-- @raise one line when one is missing or there twice
function M.places(path, header, wanted)
  local place, twice = {}, {}
  for i, name in ipairs(header) do
    twice[name] = place[name] ~= nil
    place[name] = place[name] or i
  end
  local list = {}
  for i, name in ipairs(wanted) do
    if not place[name] then
      M.missing(path, name, header)
    elseif twice[name] then
      errors.raise("%s, line 1: two columns are called %s; rename one of them", path, name)
    end
    list[i] = place[name]
  end
  return list
end

--- Reads the named columns of a file.
-- @tparam string path
-- @tparam {string,…} wanted names
-- @tparam[opt] string format its name; default: by the end of the file's name
-- @treturn {table,…} rows, at least one, see the head of this file
-- @raise one line that names the file, and the line and column where there is one
function M.read(path, wanted, format)
  local found = format and formats:get(format) or not format and M.format_of(path)
  if not found then
    local hint = foreign.hint_of_name(path)
    errors.raise("%s%s (what is read: %s)", path, hint and " " .. hint
      or ": the end of its name says no format; give it one that does", M.endings())
  end
  local rows = found.read(path, wanted)
  if #rows == 0 then
    errors.raise("%s has no samples", path)
  end
  return rows
end

local PATH, NAMES = arguments.arg("path", schema.path),
  arguments.arg("wanted", schema.list(schema.string))
arguments.guard("fsam.data.tables", M, {
  define = { arguments.arg("name", schema.string), arguments.arg("format", schema.record({
    endings = schema.list(schema.string), read = arguments.func })) },
  format_of = { PATH }, endings = {},
  missing = { arguments.arg("place", schema.string), arguments.arg("column", schema.string),
    arguments.arg("names", schema.list(schema.string)) },
  places = { PATH, arguments.arg("header", schema.list(schema.string)), NAMES },
  read = { PATH, NAMES, arguments.arg("format", schema.optional(schema.string)) },
})

return M
