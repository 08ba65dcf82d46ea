--- Comma-separated files (RFC 4180) whose first row has the columns' names. Spreadsheets write
-- semicolons or tabs in place of the commas where a comma is the decimal point: what stands between
-- the wanted names in the first row is the separator, unless a line `sep=;` stands before it, which
-- some write to name one.
--
-- Owns: the separator, quotes, line ends, and the messages about malformed rows. A field in double
-- quotes may hold separators, line breaks and doubled quotes; a quote inside a field that does not
-- begin with one is a character. Lines end in LF, CR LF or CR; empty lines are no rows.
-- Leaves to others: the encoding (text_file.lua), which columns are wanted (tables.lua).
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local tables = require("fsam.data.tables")
local text_file = require("fsam.data.text_file")

-- What may stand between columns, as messages call it.
local SEPARATORS = { { ",", "comma" }, { ";", "semicolon" }, { "\t", "tab" } }

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
  local text, fields, separator = state.text, {}, state.separator:byte()
  while true do
    local value, stop
    state.column = #fields + 1
    if text:byte(at) == 34 then
      value, stop = quoted(state, at)
      local next_byte = text:byte(stop)
      if next_byte and next_byte ~= separator and next_byte ~= 10 and next_byte ~= 13 then
        errors.raise("%s, line %d: text follows the closing quote of column %d; a quote inside "
          .. "quotes is written twice", state.path, state.row_line, state.column)
      end
    else
      stop = text:find(state.stops, at) or #text + 1
      value = text:sub(at, stop - 1)
    end
    fields[#fields + 1] = value
    local ends = text:byte(stop)
    if ends ~= separator then
      return fields, stop + (text:sub(stop, stop + 1) == "\r\n" and 2 or 1)
    end
    at = stop + 1
  end
end

-- The separator that a first line names, and where the next line begins; nil where it names none.
local function named_separator(text)
  local separator, after = text:match('^"?[sS][eE][pP]=([%p\t])"?\r?\n()')
  if separator ~= '"' then
    return separator, after
  end
end

-- Walks over the rows: fields and the line on which they begin; nil at the end.
local function walk(path, text, separator)
  local _, first = named_separator(text)
  local state = { path = path, text = text, line = 1, counted = 1, separator = separator,
    stops = "[%" .. separator .. "\r\n]" }
  local at = first or 1
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

-- The first row as a separator parts it; nil where its quotes do not fit that.
local function header_by(path, text, separator)
  local ok, header = pcall(walk(path, text, separator))
  if not ok and not errors.is(header) then
    error(header, 0)
  end
  return ok and header or nil
end

local function has_all(header, wanted)
  for _, name in ipairs(wanted) do
    if not registry.contains(header, name) then
      return false
    end
  end
  return true
end

-- The separator by which the first row has the wanted columns. Where none does it is the one that
-- finds most columns, for the message about the missing one.
local function separator_of(path, text, wanted)
  local named = named_separator(text)
  if named then
    return { named, named }
  end
  local best, most, fitting = SEPARATORS[1], 1, {}
  for _, separator in ipairs(SEPARATORS) do
    local header = header_by(path, text, separator[1]) or {}
    if #header > most then
      best, most = separator, #header
    end
    if #header > 1 and has_all(header, wanted) then
      fitting[#fitting + 1] = separator
    end
  end
  if #fitting > 1 then
    errors.raise("%s, line 1: the columns can be read with a %s between them and with a %s; put "
      .. "names that hold one in quotes", path, fitting[1][2], fitting[2][2])
  end
  return fitting[1] or best
end

local function check_header(path, header)
  if not header then
    errors.raise("%s is empty; its first line has the names of the columns", path)
  elseif #header == 1 and header[1]:find("|", 1, true) then
    errors.raise("%s: its only column is %s; columns are separated by commas, semicolons or tabs "
      .. "here, not by |", path, header[1])
  end
end

tables.define("csv", { endings = { "csv" }, read = function(path, wanted)
  local text = text_file.read(path)
  local separator, name = unpack(separator_of(path, text, wanted))
  local next_row = walk(path, text, separator)
  local header = next_row()
  check_header(path, header)
  local places, rows = tables.places(path, header, wanted), {}
  for fields, line in next_row do
    if #fields ~= #header then
      errors.raise("%s, line %d: got %d column%s, expected %d (%s); a text with a %s stands in "
        .. "quotes", path, line, #fields, #fields == 1 and "" or "s", #header,
        table.concat(header, ", "), name)
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
