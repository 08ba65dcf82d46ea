--- Files of fastText: a text a line, in front of it its labels as words that begin with __label__.
-- The columns are `text`, and `label`: the only label, or a list where a line has none or several.
--
-- Owns: what a line means. Leaves to others: the encoding and lines (text_file.lua), what a label
-- may be (own_files.lua).
local tables = require("fsam.data.tables")
local text_file = require("fsam.data.text_file")

-- A label at the beginning of what is left of a line.
local PREFIX = "^%s*__label__(%S+)"

-- The labels and the text of a line.
local function parts(line)
  local labels, text = {}, line
  local label, after = text:match(PREFIX .. "()")
  while label do
    labels[#labels + 1], text = label, text:sub(after)
    label, after = text:match(PREFIX .. "()")
  end
  return labels, text:match("^%s*(.-)%s*$")
end

tables.define("fasttext", { endings = { "ft", "fasttext" }, read = function(path, wanted)
  local rows, several = {}, false
  for line, number in text_file.lines(text_file.read(path)) do
    if line:find("%S") then
      local labels, text = parts(line)
      rows[#rows + 1] = { text = text, label = labels, line = number }
      several = several or #labels ~= 1
    end
  end
  local places = tables.places(path, { "text", "label" }, wanted)
  for i, row in ipairs(rows) do
    local columns = { row.text, several and row.label or row.label[1] }
    rows[i] = { line = row.line }
    for k, place in ipairs(places) do
      rows[i][k] = columns[place]
    end
  end
  return rows
end })

return {}
