--- fairseq's dict.txt: the symbols of a text or of labels, a line each with its count. A symbol's
-- place gives its id; four symbols that the file does not list come first.
--
--     dictionary.path       the file
--     dictionary.symbols    symbols[id + 1]: the symbol of an id
--     dictionary.ids        symbol → id
--     dictionary.counts     counts[id + 1], as the file says; of the first four 0
--
-- Owns: reading and writing that file. Leaves to others: what a symbol stands for (text/fairseq.lua
-- for pieces of words), symbols that a task adds behind the last.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local schema = require("fsam.base.schema")
local utf8 = require("fsam.base.utf8")

local M = {}

--- The symbols before the first line's, in the order of their ids: 0 to 3.
M.FIRST = { "<s>", "<pad>", "</s>", "<unk>" }

local OVERWRITE = " #fairseq:overwrite"

-- The symbol and the count of a line, and whether it may replace an earlier one; nil when the line
-- is none. A symbol may have spaces within.
local function parse(line)
  line = line:match("^.*%S") or ""
  local replaces = line:sub(-#OVERWRITE) == OVERWRITE
  if replaces then
    line = line:sub(1, -#OVERWRITE - 1)
  end
  local symbol, count = line:match("^(.+) (%d+)$")
  return symbol, tonumber(count), replaces
end

local Dictionary = {}
Dictionary.__index = Dictionary

--- Adds a symbol behind the last.
-- @tparam string symbol
-- @tparam integer count
function Dictionary:add(symbol, count)
  local n = #self.symbols
  self.symbols[n + 1], self.counts[n + 1] = symbol, count
  self.ids[symbol] = n
end

--- The bytes of a dict.txt with these symbols, as fairseq writes it: without the first four.
-- @treturn string
function Dictionary:text()
  local lines = {}
  for i = #M.FIRST + 1, #self.symbols do
    lines[#lines + 1] = ("%s %.0f\n"):format(self.symbols[i], self.counts[i])
  end
  return table.concat(lines)
end

--- A dictionary of the first four alone.
-- @treturn table see the head of this file; it has no path
function M.new()
  local self = setmetatable({ symbols = {}, ids = {}, counts = {} }, Dictionary)
  for _, symbol in ipairs(M.FIRST) do
    self:add(symbol, 0)
  end
  return self
end

--- Reads a dictionary.
-- @tparam string path of a dict.txt
-- @treturn table see the head of this file
-- @raise one line with path and line when it is not UTF-8, a line is not a symbol and its count, or
--   a symbol is there twice (where the line ends in #fairseq:overwrite, the last one has the id)
function M.read(path)
  local text = file.read(path)
  local at = utf8.fault(text)
  if at then
    errors.raise("%s, line %d: byte 0x%02X is not UTF-8", path,
      select(2, text:sub(1, at):gsub("\n", "")) + 1, text:byte(at))
  end
  local self, number = M.new(), 0
  self.path = path
  for line in (text:gsub("([^\n])$", "%1\n")):gmatch("([^\n]*)\n") do
    number = number + 1
    local symbol, count, replaces = parse(line)
    if not symbol then
      errors.raise("%s, line %d is %s, expected a symbol and its count", path, number,
        schema.show(line))
    elseif self.ids[symbol] and not replaces then
      errors.raise("%s, line %d has %s a second time; a line that replaces an earlier one ends "
        .. "in%s", path, number, schema.show(symbol), OVERWRITE)
    end
    self:add(symbol, count)
  end
  return self
end

arguments.guard("fsam.data.dictionary", M, { new = {},
  read = { arguments.arg("path", schema.path) } })

return M
