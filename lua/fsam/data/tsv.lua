--- Tab-separated files as GLUE writes them: no quoting, a double quote is a character like any
-- other.
--
-- Owns: reading a file into rows, and the messages about malformed ones. Leaves to others: the
-- encoding (text_file.lua), what the columns mean (corpus.lua), which are wanted by name
-- (tables.lua). Both line endings are accepted, and so are a byte order mark and a missing last
-- newline; blank lines are no rows.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local tables = require("fsam.data.tables")
local text_file = require("fsam.data.text_file")

local M = {}

local function split(line)
  local fields = {}
  for field in (line .. "\t"):gmatch("([^\t]*)\t") do
    fields[#fields + 1] = field
  end
  return fields
end

local function wrong_count(path, number, got, columns, names)
  errors.raise("%s, line %d: got %d tab-separated columns, expected %d%s", path, number, got,
    columns, names and " (" .. table.concat(names, ", ") .. ")" or "")
end

-- Where a header has each of the names, false for one that it lacks and may lack; nil when all
-- stand in their own order.
local function order_of(path, fields, names, needed)
  local place, order, own = {}, {}, #fields == #names
  for i, field in ipairs(fields) do
    if place[field] and registry.contains(needed or names, field) then
      errors.raise("%s, line 1: two columns are called %s; rename one of them", path, field)
    end
    place[field] = i
  end
  for i, name in ipairs(names) do
    if not place[name] and (not needed or registry.contains(needed, name)) then
      if #fields ~= #names then
        wrong_count(path, 1, #fields, #names, names)
      end
      errors.raise("%s, line 1: got the header \"%s\" for column %d, expected \"%s\"", path,
        fields[i], i, name)
    end
    order[i], own = place[name] or false, own and place[name] == i
  end
  return not own and order or nil
end

local function in_order(fields, order)
  local sorted = {}
  for i, place in ipairs(order) do
    sorted[i] = place and fields[place] or ""
  end
  return sorted
end

--- Reads a file of rows that all have the same number of columns.
-- @tparam string path
-- @tparam integer columns expected in every row, the header's included
-- @tparam[opt] {string,…} header names that the first line must have, in any order; that line is
--   no row then, and the rows' fields are in the order of `header`
-- @tparam[opt] boolean ragged rows with another number of columns are left out
-- @tparam[opt] {string,…} needed those of the header's names that a file must have: it may lack the
--   others, whose fields are empty then, and have more. Default: all, and no more
-- @treturn {{string,…,line=integer},…} rows of fields with their line number, from 1
-- @raise one line with the path when the file cannot be read, has more than 1 GB, or a line of more
--   than 1 MB; with path and line when the header or the number of columns is another
function M.read(path, columns, header, ragged, needed)
  local rows, order = {}, nil
  for line, number in text_file.lines(text_file.read(path)) do
    local fields = split(line)
    local is_header = header and number == 1
    if is_header and needed and #fields ~= columns then
      order = order_of(path, fields, header, needed)
      columns = #fields
    end
    local fits = #fields == columns and (columns > 1 or line:find("[^ ]") ~= nil)
    local left_out = not fits and (ragged and number > 1 or not line:find("[^ ]"))
    if not fits and not left_out then
      wrong_count(path, number, #fields, columns, is_header and header)
    elseif is_header then
      order = order or order_of(path, fields, header, needed)
    elseif fits then
      fields = order and in_order(fields, order) or fields
      fields.line = number
      rows[#rows + 1] = fields
    end
  end
  return rows
end

tables.define("tsv", { endings = { "tsv" }, read = function(path, wanted)
  local first = text_file.lines(text_file.read(path))()
  if not first then
    errors.raise("%s is empty; its first line has the names of the columns", path)
  end
  local header, rows = split(first), {}
  local places = tables.places(path, header, wanted)
  for i, fields in ipairs(M.read(path, #header, header)) do
    rows[i] = { line = fields.line }
    for k, place in ipairs(places) do
      rows[i][k] = fields[place]
    end
  end
  return rows
end })

arguments.guard("fsam.data.tsv", M, {
  read = { arguments.arg("path", schema.path), arguments.arg("columns", schema.integer(1)),
    arguments.arg("header", function(value, place)
      return value and schema.list(schema.string)(value, place) or nil -- false: there is none
    end), arguments.arg("ragged", arguments.optional(schema.boolean)),
    arguments.arg("needed", arguments.optional(schema.list(schema.string))) },
})

return M
