--- Files of text that hold samples, whole in memory.
--
-- Owns: that they are UTF-8, for a model would be trained on other characters than the file's, and
-- dropping a byte order mark. Leaves to others: lines and columns (tsv.lua, csv.lua, jsonl.lua).
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local schema = require("fsam.base.schema")
local utf8 = require("fsam.base.utf8")

local M = {}

local MOST = 2 ^ 30 -- bytes of a file

local function check_encoding(path, text)
  local at = utf8.fault(text)
  if at then
    local _, lines = text:sub(1, at):gsub("\n", "")
    errors.raise("%s, line %d: byte 0x%02X is not UTF-8; if the file is ISO-8859-1, convert it "
      .. "(iconv -f ISO-8859-1 -t UTF-8)", path, lines + 1, text:byte(at))
  end
end

--- Reads one.
-- @tparam string path
-- @treturn string its text, without a byte order mark
-- @raise one line with the path when it cannot be read, has more than 1 GB or a line of more than
--   1 MB, or (with the line) is not UTF-8
function M.read(path)
  if file.kind(path) == "directory" then
    errors.raise("%s is a folder, expected a file", path)
  end
  local text = file.read(path, MOST, true):gsub("^\239\187\191", "")
  check_encoding(path, text)
  return text
end

--- Walks over the lines of a text, each without its end, which is a line feed, also after a
-- carriage return. The last one needs none.
-- @tparam string text
-- @treturn function () → line, its number from 1; nil at the end
function M.lines(text)
  local at, number, length = 1, 0, #text
  return function()
    if at > length then
      return nil
    end
    local stop = text:find("\n", at, true) or length + 1
    local line = text:sub(at, stop - 1)
    at, number = stop + 1, number + 1
    if line:byte(-1) == 13 then
      line = line:sub(1, -2)
    end
    return line, number
  end
end

arguments.guard("fsam.data.text_file", M, {
  read = { arguments.arg("path", schema.path) }, lines = { arguments.arg("text", schema.string) },
})

return M
