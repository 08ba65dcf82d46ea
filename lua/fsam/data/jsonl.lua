--- JSON lines: an object on each line, whose members are the columns.
--
-- Owns: that each line is an object, and which values a column may have: texts, numbers, true,
-- false, lists of these, objects, and null, which is as good as absent. Blank lines are no rows.
-- Leaves to others: JSON (base/json.lua), the encoding (text_file.lua), which columns are wanted
-- (tables.lua).
local errors = require("fsam.errors")
local json = require("fsam.base.json")
local registry = require("fsam.base.registry")
local schema = require("fsam.base.schema")
local tables = require("fsam.data.tables")
local text_file = require("fsam.data.text_file")

local function object_of(line, place)
  local object = json.decode(line, place)
  if type(object) ~= "table" or json.is_array(object) then
    errors.raise("%s: got %s, expected an object, such as {\"text\": \"…\", \"label\": \"…\"}",
      place, type(object) == "table" and "a list" or schema.show(object))
  end
  return object
end

tables.define("jsonl", { endings = { "jsonl", "ndjson", "json" }, read = function(path, wanted)
  local rows, seen, names = {}, {}, {}
  local text = text_file.read(path)
  if text:find("^%s*%[") then
    errors.raise("%s is one JSON list; put each of its objects on a line (jq -c '.[]')", path)
  end
  for line, number in text_file.lines(text) do
    if line:find("%S") then
      local object = object_of(line, ("%s, line %d"):format(path, number))
      local values = { line = number }
      for i, name in ipairs(wanted) do
        local value = object[name]
        if value ~= nil then
          seen[name] = true
        end
        if value ~= json.null then
          values[i] = value
        end
      end
      if #rows == 0 then
        names = registry.sorted(object)
      end
      rows[#rows + 1] = values
    end
  end
  for _, name in ipairs(#rows > 0 and wanted or {}) do
    if not seen[name] then
      tables.missing(path, name, names)
    end
  end
  return rows
end })

return {}
