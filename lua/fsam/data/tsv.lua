--- Tab-separated files as GLUE writes them: no quoting, a double quote is a character like any
-- other.
--
-- Owns: reading a file into rows, and the messages about malformed ones. Leaves to others: what the
-- columns mean (corpus.lua). Both line endings are accepted, and so are a byte order mark and a
-- missing last newline; blank lines are no rows. Text that is not UTF-8 is an error: a model would
-- be trained on other characters than the file's.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local schema = require("fsam.base.schema")
local utf8 = require("fsam.base.utf8")

local M = {}

local MOST = 2 ^ 30 -- bytes of a file

local function split(line)
  local fields = {}
  for field in (line .. "\t"):gmatch("([^\t]*)\t") do
    fields[#fields + 1] = field
  end
  return fields
end

-- What spreadsheets call "Unicode text" begins with one of these marks.
local UTF16 = { ["\255\254"] = true, ["\254\255"] = true }

local function check_encoding(path, text)
  if UTF16[text:sub(1, 2)] then
    errors.raise("%s is UTF-16, expected UTF-8; convert it (iconv -f UTF-16 -t UTF-8)", path)
  end
  local at = utf8.fault(text)
  if at then
    local _, lines = text:sub(1, at):gsub("\n", "")
    errors.raise("%s, line %d: byte 0x%02X is not UTF-8; if the file is ISO-8859-1, convert it "
      .. "(iconv -f ISO-8859-1 -t UTF-8)", path, lines + 1, text:byte(at))
  end
end

local function check_header(path, fields, names)
  for i, name in ipairs(names) do
    if fields[i] ~= name then
      errors.raise("%s, line 1: got the header \"%s\" for column %d, expected \"%s\"", path,
        fields[i], i, name)
    end
  end
end

--- Reads a file of rows that all have the same number of columns.
-- @tparam string path
-- @tparam integer columns expected in every row, the header's included
-- @tparam[opt] {string,…} header names that the first line must have; that line is no row then
-- @tparam[opt] boolean ragged rows with another number of columns are left out
-- @treturn {{string,…,line=integer},…} rows of fields with their line number, from 1
-- @raise one line with the path when the file cannot be read, has more than 1 GB, or a line of more
--   than 1 MB; with path and line when the header or
--   the number of columns is another
function M.read(path, columns, header, ragged)
  if file.kind(path) == "directory" then
    errors.raise("%s is a folder, expected a file", path)
  end
  local text = file.read(path, MOST, true):gsub("^\239\187\191", "")
  check_encoding(path, text)
  if text ~= "" and text:sub(-1) ~= "\n" then
    text = text .. "\n"
  end
  local rows, number = {}, 0
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    local fields = split((line:gsub("\r$", "")))
    local fits = #fields == columns
    local left_out = not fits and (ragged and number > 1 or not line:find("[^ \r]"))
    if not fits and not left_out then
      errors.raise("%s, line %d: got %d tab-separated columns, expected %d", path, number, #fields,
        columns)
    elseif header and number == 1 then
      check_header(path, fields, header)
    elseif fits then
      fields.line = number
      rows[#rows + 1] = fields
    end
  end
  return rows
end

arguments.guard("fsam.data.tsv", M, {
  read = { arguments.arg("path", schema.string), arguments.arg("columns", schema.integer(1)),
    arguments.arg("header", function(value, place)
      return value and schema.list(schema.string)(value, place) or nil -- false: there is none
    end), arguments.arg("ragged", arguments.optional(schema.boolean)) },
})

return M
