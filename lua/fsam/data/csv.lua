--- Comma-separated files (RFC 4180) whose first row has the columns' names.
--
-- Owns: quotes, line ends, and the messages about malformed rows. A field in double quotes may hold
-- commas, line breaks and doubled quotes; a quote inside a field that does not begin with one is a
-- character. Lines end in LF, CR LF or CR; empty lines are no rows. Leaves to others: the encoding
-- (text_file.lua), which columns are wanted (tables.lua).
local errors = require("fsam.errors")
local tables = require("fsam.data.tables")
local text_file = require("fsam.data.text_file")

-- How many lines end between two places of a text. `state` is at the first one and is moved.
local function count_lines(state, stop)
  local at = state.counted
  while true do
    local from = state.text:find("[\r\n]", at)
    if not from or from >= stop then
      break
    end
    local crlf = state.text:sub(from, from + 1) == "\r\n"
    at = from + (crlf and 2 or 1)
    state.line = state.line + 1
  end
  state.counted = math.max(at, stop)
end

-- The quoted field whose opening quote is at `at`; and the place after its closing quote.
local function quoted(state, at)
  local text, parts, from = state.text, {}, at + 1
  while true do
    local quote = text:find('"', from, true)
    if not quote then
      errors.raise("%s, line %d: the quote that opens column %d is never closed; close it, or "
        .. "double it if it is part of the text", state.path, state.row_line, state.column)
    end
    parts[#parts + 1] = text:sub(from, quote - 1)
    if text:byte(quote + 1) ~= 34 then
      return table.concat(parts, '"'), quote + 1
    end
    from = quote + 2
  end
end

-- The row that begins at `at`: its fields, and where the next one begins.
local function row(state, at)
  local text, fields = state.text, {}
  while true do
    local value, stop
    state.column = #fields + 1
    if text:byte(at) == 34 then
      value, stop = quoted(state, at)
      local next_byte = text:byte(stop)
      if next_byte and next_byte ~= 44 and next_byte ~= 10 and next_byte ~= 13 then
        errors.raise("%s, line %d: text follows the closing quote of column %d; a quote inside "
          .. "quotes is written twice", state.path, state.row_line, state.column)
      end
    else
      stop = text:find("[,\r\n]", at) or #text + 1
      value = text:sub(at, stop - 1)
    end
    fields[#fields + 1] = value
    local ends = text:byte(stop)
    if ends ~= 44 then
      return fields, stop + (text:sub(stop, stop + 1) == "\r\n" and 2 or 1)
    end
    at = stop + 1
  end
end

-- Walks over the rows: fields and the line on which they begin; nil at the end.
local function walk(path)
  local state = { path = path, text = text_file.read(path), line = 1, counted = 1 }
  local at = 1
  return function()
    while at <= #state.text do
      count_lines(state, at)
      state.row_line = state.line
      local blank = state.text:match("^[\r\n]+()", at)
      if not blank then
        local fields, after = row(state, at)
        at = after
        return fields, state.row_line
      end
      at = blank
    end
  end
end

local function of_separator(header)
  local other = #header == 1 and header[1]:match("[;\t|]")
  return other and ("; columns are separated by commas here, not by %s"):format(
    other == "\t" and "tabs (call the file .tsv)" or other) or ""
end

tables.define("csv", { endings = { "csv" }, read = function(path, wanted)
  local next_row = walk(path)
  local header = next_row()
  if not header then
    errors.raise("%s is empty; its first line has the names of the columns", path)
  elseif of_separator(header) ~= "" then
    errors.raise("%s: its only column is %s%s", path, header[1], of_separator(header))
  end
  local places, rows = tables.places(path, header, wanted), {}
  for fields, line in next_row do
    if #fields ~= #header then
      errors.raise("%s, line %d: got %d column%s, expected %d (%s); a text with a comma stands in "
        .. "quotes", path, line, #fields, #fields == 1 and "" or "s", #header,
        table.concat(header, ", "))
    end
    local values = { line = line }
    for i, place in ipairs(places) do
      values[i] = fields[place]
    end
    rows[#rows + 1] = values
  end
  return rows
end })

return {}
