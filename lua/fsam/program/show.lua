--- Readable text of any value, for the REPL and for people who print while debugging.
--
-- A table with a metamethod `__show(value)`, else `__tostring`, decides itself how it looks. Other
-- tables are shown as Lua would write them: sorted by key, aligned, cut at a depth and a length,
-- cycles marked.
--
-- Owns: the look of plain values, tables and tensors. Its text is for people; no program reads it.
local arguments = require("fsam.base.arguments")
local schema = require("fsam.base.schema")
local source_line = require("fsam.base.source_line")

local M = {}

local DEPTH = 3 -- tables inside tables
local ITEMS = 40 -- entries of one table
local ROWS, COLUMNS = 8, 8 -- of a tensor
local STRING_BYTES = 400

local show -- forward: every part below may hold any value

-- -- plain values ---------------------------------------------------------------------------------

--- A number in at most six significant digits; whole numbers in full.
-- @tparam number x
-- @treturn string
function M.number(x)
  if x == math.floor(x) and math.abs(x) < 1e15 then
    return ("%.0f"):format(x)
  end
  return ("%.6g"):format(x)
end

--- A string in quotes, control characters escaped, long ones cut.
local function quoted(text)
  local cut = #text > STRING_BYTES
  local shown = cut and text:sub(1, STRING_BYTES) or text
  shown = shown:gsub('[%c"\\]', function(c)
    local short = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\" }
    return short[c] or ("\\%03d"):format(c:byte())
  end)
  return '"' .. shown .. '"' .. (cut and (" … (%d bytes)"):format(#text) or "")
end

local function show_function(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" or info.linedefined < 0 then
    return "function (built in)"
  end
  local file = info.short_src:match("/lua/(fsam/.*)$") or info.short_src
  return ("function (%s:%d)"):format(file, info.linedefined)
end

-- -- tensors --------------------------------------------------------------------------------------

--- Lines of cells, right-aligned in columns. rows: lists of strings.
local function grid(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for j, cell in ipairs(row) do
      widths[j] = math.max(widths[j] or 0, #cell)
    end
  end
  local lines = {}
  for i, row in ipairs(rows) do
    local cells = {}
    for j, cell in ipairs(row) do
      cells[j] = (" "):rep(widths[j] - #cell) .. cell
    end
    lines[i] = "  " .. table.concat(cells, "  ")
  end
  return lines
end

--- A tensor: its description, then its first rows and columns. All dimensions after the first count
-- as columns.
local function show_tensor(t)
  local ok, values = pcall(t.read, t)
  if not ok then
    return tostring(t) .. "  (" .. tostring(values) .. ")"
  end
  local dims = t:dims()
  local rows = #dims > 1 and dims[1] or 1
  local columns = rows > 0 and #values / rows or 0
  local cells = {}
  for i = 1, math.min(rows, ROWS) do
    cells[i] = {}
    for j = 1, math.min(columns, COLUMNS) do
      cells[i][j] = M.number(values[(i - 1) * columns + j])
    end
  end
  local lines = grid(cells)
  for i = 1, #lines do
    lines[i] = lines[i] .. (columns > COLUMNS and "  …" or "")
  end
  if rows > ROWS then
    lines[#lines + 1] = ("  … %d more rows"):format(rows - ROWS)
  end
  return tostring(t) .. (#lines > 0 and "\n" .. table.concat(lines, "\n") or "")
end

local function show_cdata(value)
  local tensor = package.loaded["fsam.base.tensor"]
  if tensor and tensor.is(value) then
    return show_tensor(value)
  end
  return tostring(value)
end

-- -- tables ---------------------------------------------------------------------------------------

local RANK = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local ra, rb = RANK[type(a)] or 4, RANK[type(b)] or 4
  if ra ~= rb then
    return ra < rb
  elseif ra <= 2 then
    return a < b
  end
  return tostring(a) < tostring(b)
end

local function key_text(key)
  if type(key) == "string" and key:match("^[%a_][%w_]*$") then
    return key
  end
  return "[" .. show(key, { depth = 0, seen = {} }) .. "]"
end

--- The entries of a table in order, each {key, value}; the key is nil in the array part.
local function entries_of(t)
  local entries, keys, length = {}, {}, #t
  for i = 1, length do
    entries[i] = { nil, rawget(t, i) }
  end
  for key in next, t do
    if type(key) ~= "number" or key < 1 or key > length or key % 1 ~= 0 then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, before)
  for _, key in ipairs(keys) do
    entries[#entries + 1] = { key, rawget(t, key) }
  end
  return entries
end

--- A long list of numbers as lines of aligned cells.
local function number_rows(cells, width)
  local cell = 0
  for _, text in ipairs(cells) do
    cell = math.max(cell, #text)
  end
  local each = math.max(1, math.floor((width - 2) / (cell + 2)))
  local lines, row = {}, {}
  for i, text in ipairs(cells) do
    row[#row + 1] = (" "):rep(cell - #text) .. text
    if #row == each or i == #cells then
      lines[#lines + 1] = "  " .. table.concat(row, ", ") .. (i < #cells and "," or "")
      row = {}
    end
  end
  return lines
end

local function indent(text)
  return (text:gsub("\n", "\n  "))
end

local function show_entries(entries, inner, width)
  local cells, lines, numbers, longest = {}, {}, true, 0
  for i = 1, math.min(#entries, ITEMS) do
    local key, value = entries[i][1], entries[i][2]
    cells[i] = { key ~= nil and key_text(key) or nil, show(value, inner) }
    numbers = numbers and key == nil and type(value) == "number"
    longest = math.max(longest, cells[i][1] and #cells[i][1] or 0)
  end
  local more = #entries > ITEMS and ("  … %d more"):format(#entries - ITEMS) or nil
  local flat = {}
  for i, cell in ipairs(cells) do
    flat[i] = cell[1] and cell[1] .. " = " .. cell[2] or cell[2]
  end
  local line = "{ " .. table.concat(flat, ", ") .. " }"
  if not more and #line <= width and not line:find("\n") then
    return line
  elseif numbers then
    lines = number_rows(flat, width)
  else
    longest = math.min(longest, 24)
    for i, cell in ipairs(cells) do
      local key = cell[1] and cell[1] .. (" "):rep(longest - #cell[1]) .. " = " or ""
      lines[i] = "  " .. key .. indent(cell[2]) .. ","
    end
  end
  lines[#lines + 1] = more
  return "{\n" .. table.concat(lines, "\n") .. "\n}"
end

-- What an object says of itself. A user's own function may fail, or return no text.
local function text_by(own, t)
  local made, text = pcall(own, t)
  if made and type(text) == "string" then
    return text
  elseif not made and type(text) == "table" then
    error(text, 0) -- Ctrl-C, or a line for the user
  end
  return ("{ … its own __tostring %s }"):format(made and "returned a " .. type(text) .. " value"
    or "fails: " .. source_line.said(text))
end

local function show_table(t, state)
  local meta = getmetatable(t)
  local own = type(meta) == "table" and (meta.__show or meta.__tostring)
  if own then
    return text_by(own, t)
  elseif next(t) == nil then
    return "{}"
  elseif state.seen[t] then
    return "{ … itself }"
  elseif state.depth <= 0 then
    return "{ … }"
  end
  state.seen[t] = true
  local inner = { depth = state.depth - 1, seen = state.seen, width = state.width - 2 }
  local text = show_entries(entries_of(t), inner, state.width)
  state.seen[t] = nil
  return text
end

function show(value, state)
  local kind = type(value)
  if kind == "number" then
    return M.number(value)
  elseif kind == "string" then
    return quoted(value)
  elseif kind == "table" then
    return show_table(value, state)
  elseif kind == "cdata" then
    return show_cdata(value)
  elseif kind == "function" then
    return show_function(value)
  end
  return tostring(value)
end

--- The text of a value. A string by itself is shown plain; inside tables strings are quoted.
-- @param value anything
-- @tparam[opt] number width columns to fill (default 80)
-- @treturn string one or more lines, no line end behind the last
function M.show(value, width)
  if type(value) == "string" then
    return value
  end
  return show(value, { depth = DEPTH, seen = {}, width = width or 80 })
end

local VALUE = arguments.arg("value", arguments.any)
arguments.guard("fsam.show", M, { number = { arguments.arg("x", arguments.where(function(value)
  return type(value) == "number"
end, "a number")) }, show = { VALUE, arguments.arg("width", arguments.optional(
  schema.integer(1))) } })

return M
