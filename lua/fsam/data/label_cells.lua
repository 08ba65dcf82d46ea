--- Labels as the cells of a table hold them: words, numbers, lists, columns of 0 and 1.
--
-- Owns: reading the cells, and telling from them which problem they are. Leaves to others: rows and
-- their columns (tables.lua), what the user asked for, and the labels' order (own_files.lua).
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local numbers = require("fsam.base.numbers")
local schema = require("fsam.base.schema")

local M = { SEVERAL = "multi_label_classification", SINGLE = "single_label_classification",
  SCORES = "regression" }

-- A label as a word: numbers and truth values have a name too.
local function word_of(value, place, column)
  local kind = type(value)
  if kind == "number" then
    return ("%.17g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind ~= "string" or value == "" then
    errors.raise("%s: column %s has %s, expected a label", place, column,
      (value == nil or value == "") and "nothing" or schema.show(value))
  end
  return value
end

local TRUE = { ["1"] = true, ["0"] = false, ["true"] = true, ["false"] = false, ["1.0"] = true,
  ["0.0"] = false, ["True"] = true, ["False"] = false }

-- The labels whose columns have 1.
local function words_of_columns(row, first, columns, place)
  local words = {}
  for i = first, #columns do
    local truth = TRUE[word_of(row[i], place, columns[i])]
    if truth == nil then
      errors.raise("%s: column %s is %s, expected 0 or 1", place, columns[i], schema.show(row[i]))
    elseif truth then
      words[#words + 1] = columns[i]
    end
  end
  return words
end

-- The words between separators; none in an empty text.
local function split(text, separator)
  local words, at = {}, 1
  while at <= #text + 1 do
    local from, to = text:find(separator, at, true)
    local word = text:sub(at, (from or #text + 1) - 1):match("^%s*(.-)%s*$")
    if word ~= "" then
      words[#words + 1] = word
    end
    at = (to or #text + 1) + 1
  end
  return words
end

local function words_of_cell(value, o, place)
  local column, words = o.label_column, {}
  if type(value) == "table" and schema.list(arguments.any)(value, "") == nil then
    for i, item in ipairs(value) do
      words[i] = word_of(item, place, column)
    end
    return words
  elseif type(value) == "table" then
    errors.raise("%s: column %s is an object, expected a label or a list of labels", place, column)
  elseif o.label_separator and (type(value) == "string" or value == nil) then
    return split(value or "", o.label_separator)
  end
  return { word_of(value, place, column) }
end

--- The words of each row's label.
-- @tparam table read as for `problem`
-- @tparam table o the options that name columns of labels, and their separator
-- @tparam boolean several may a row have several?
-- @treturn {{string,…},…}
-- @raise one line with the row's place when a cell holds none
function M.words(read, o, several)
  local list = {}
  for i, row in ipairs(read.rows) do
    local place, value = read.place(i), row[read.first]
    if o.label_columns then
      list[i] = words_of_columns(row, read.first, read.columns, place)
    elseif several then
      list[i] = words_of_cell(value, o, place)
    else
      list[i] = { word_of(value, place, o.label_column) }
    end
  end
  return list
end

-- -- which problem --------------------------------------------------------------------------------

--- A decimal number, as JSON and Python write it: no hexadecimal, no "nan".
-- @tparam string word
-- @treturn ?number nil for other words, and for what f32 does not hold
function M.number(word)
  local number = word:find("^%s*[+-]?%.?%d[%d.eE+-]*%s*$") and tonumber(word)
  return number and math.abs(number) <= numbers.F32_MOST and number or nil
end

-- Numbers with a comma would be as many classes, or are several labels: only the user knows.
local function refuse_commas(read, i, word)
  errors.raise("%s: column %s has %s; write numbers with a point, give --label-separator , for "
    .. "several labels, or --problem-type %s for classes of these names", read.place(i),
    read.columns[read.first], word, M.SINGLE)
end

-- How tables write that a value is missing, or infinite.
local MISSING = { nan = true, na = true, ["n/a"] = true, null = true, none = true, inf = true,
  ["-inf"] = true, ["?"] = true, ["-"] = true }

-- Labels that are numbers but for a few: of one that is none all the others would become classes.
-- The few may be a class among whole numbers, unless they say that a value is missing.
local function refuse_odd(read, odd, count, fraction)
  local first = odd[1]
  if not first or #odd * 2 >= count then
    return
  end
  for _, i in ipairs(odd) do
    local word = tostring(read.rows[i][read.first])
    if fraction or MISSING[word:lower()] then
      errors.raise("%s: column %s has %s among numbers; correct it or leave the sample out, or "
        .. "give --problem-type %s for classes of these names", read.place(i),
        read.columns[read.first], schema.show(word), M.SINGLE)
    end
  end
end

--- What the labels of a training file look like: lists are several labels, numbers of which one has
-- a fraction are scores, all else are classes.
-- @tparam table read rows, columns and first (the label's) of a file; place(i), what messages call
--   row i
-- @treturn string a problem's name
-- @raise one line when only the user can know
function M.problem(read)
  local all_numbers, fraction, comma, odd = true, false, nil, {}
  for i, row in ipairs(read.rows) do
    local value = row[read.first]
    if type(value) == "table" then
      return M.SEVERAL
    end
    local word = word_of(value, read.place(i), read.columns[read.first])
    local with_comma = word:find("^%s*[+-]?%d+,%d+%s*$") ~= nil
    comma = comma or with_comma and i
    local is_number = with_comma or M.number(word) ~= nil
    odd[#odd + 1] = not is_number and i or nil
    all_numbers = all_numbers and is_number
    fraction = fraction or is_number and word:find("[.eE]") ~= nil
  end
  refuse_odd(read, odd, #read.rows, fraction)
  if all_numbers and comma then
    refuse_commas(read, comma, read.rows[comma][read.first])
  end
  return all_numbers and fraction and M.SCORES or M.SINGLE
end

local READ = arguments.arg("read", schema.record({ rows = arguments.table,
  columns = arguments.table, first = schema.integer(1), place = arguments.func }))

arguments.guard("fsam.data.label_cells", M, {
  number = { arguments.arg("word", schema.string) }, problem = { READ },
  words = { READ, arguments.arg("options", arguments.table),
    arguments.arg("several", schema.boolean) },
})

return M
