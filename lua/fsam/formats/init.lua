--- Checkpoints of any format, seen alike: `formats.open(path)` gives a source.
--
--     source.config        the fields of config.json, unchecked
--     source.config_path   the file that they come from, for messages
--     source.tensors       names, find(name), get(name), close() (see safetensors/init.lua)
--     source.vocabulary    where (a folder), files: role → path (see huggingface.lua)
--     source.where         the folder of it all              source.path   the file of the weights
--
-- Owns: recognising a format. Formats know no model: what a configuration and names mean is
-- fsam.models'. A new format is a file with `recognises(path, kind)`, `vocabulary(path)` and
-- `open(path)`, and a row in FORMATS.
local errors = require("fsam.errors")
local file = require("fsam.base.file")

local M = {}

-- Module and, for messages, what it reads. The first that recognises a path opens it.
local FORMATS = {
  { "run_folder" },
  { "huggingface", "a Hugging Face folder" },
  { "weights_file", "a .safetensors file" },
}

local function kinds(separator)
  local list = {}
  for _, row in ipairs(FORMATS) do
    list[#list + 1] = row[2]
  end
  return table.concat(list, separator)
end

--- What can be opened, in words.
M.KINDS = kinds(" or ")

local function bare(path)
  return #path > 1 and path:gsub("/+$", "") or path
end

-- The format of a path, or nil.
local function format_of(path)
  local kind = file.kind(path)
  for _, row in ipairs(FORMATS) do
    local format = require("fsam.formats." .. row[1])
    if format.recognises(path, kind) then
      return format
    end
  end
  return nil
end

--- Is there something to open?
function M.exists(path)
  return file.kind(path) ~= nil or format_of(bare(path)) ~= nil
end

--- Opens a checkpoint: reads the configuration and the header of the weights, no weights yet.
-- @tparam string path
-- @treturn table a source; close its tensors when done
-- @raise one line that names what is missing, broken or not supported
function M.open(path)
  path = bare(path)
  local format = format_of(path)
  if format then
    return format.open(path)
  elseif not file.kind(path) then
    errors.raise("%s does not exist; give %s", path, M.KINDS)
  end
  return errors.raise("%s is neither %s", path, kinds(" nor "))
end

--- The vocabulary of a checkpoint, whose weights need not be there.
-- @tparam string path
-- @treturn ?table where and files; nil when no format knows the path
function M.vocabulary(path)
  path = bare(path)
  local format = format_of(path)
  return format and format.vocabulary(path)
end

return M
