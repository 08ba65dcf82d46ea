--- Tab-separated files as GLUE uses them: no quoting, a double quote is a character like any other.
--
-- Owns reading a file into rows and the messages about malformed ones. What the columns mean is the
-- caller's (corpus.lua). Both line endings are accepted, a byte order mark and a missing last
-- newline too.

local errors = require("fsam.errors")
local lfs = require("lfs")

local M = {}

local function read_all(path)
  if lfs.attributes(path, "mode") == "directory" then
    errors.raise("%s is a folder, expected a file", path)
  end
  local file, reason = io.open(path, "rb") -- the reason begins with the path
  if not file then
    errors.raise("cannot read %s", reason)
  end
  local text, failure = file:read("*a")
  file:close()
  if not text then
    errors.raise("cannot read %s: %s", path, failure or "unknown reason")
  end
  return text
end

local function split(line)
  local fields = {}
  for field in (line .. "\t"):gmatch("([^\t]*)\t") do
    fields[#fields + 1] = field
  end
  return fields
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
-- @tparam[opt] {string,…} header names that the first line must have; it is left out
-- @treturn {{string,…,line=integer},…} rows of fields with their line number, from 1
-- @raise when the file cannot be read or a row has another number of columns
function M.read(path, columns, header)
  local text = read_all(path):gsub("^\239\187\191", "")
  if text ~= "" and text:sub(-1) ~= "\n" then
    text = text .. "\n"
  end
  local rows, number = {}, 0
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    local fields = split((line:gsub("\r$", "")))
    if #fields ~= columns then
      errors.raise("%s, line %d: got %d tab-separated columns, expected %d", path, number, #fields,
        columns)
    end
    if header and number == 1 then
      check_header(path, fields, header)
    else
      fields.line = number
      rows[#rows + 1] = fields
    end
  end
  return rows
end

return M
