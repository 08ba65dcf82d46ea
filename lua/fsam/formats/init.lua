--- Checkpoints of any format through one interface: `formats.open(path)` returns a source.
--
--     source.config        the fields of config.json, unchecked
--     source.config_path   the file that they come from, for messages
--     source.tensors       names, find(name), get(name), close() (see safetensors/init.lua)
--     source.vocabulary    where (a folder), files: role → path (see huggingface.lua)
--     source.where         the folder of these files         source.path   the file of the weights
--
-- Owns: recognising a format. Leaves to others: what a configuration and names of tensors mean
-- (fsam.models). A new format is a file with `recognises(path, kind)`, `vocabulary(path)` and
-- `open(path)`, and a row in FORMATS.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local hub = require("fsam.formats.hub")
local others = require("fsam.formats.others")
local schema = require("fsam.base.schema")

local M = {}

-- Module, and its name in messages (nil: not listed there). The first that recognises a path opens
-- it.
local FORMATS = {
  { "run_folder" },
  { "fairseq_folder" },
  { "huggingface", "a Hugging Face folder" },
  { "weights_file", "a .safetensors file" },
  { "pytorch_file", "a .pt or .bin file" },
}

local function kinds(separator)
  local list = {}
  for _, row in ipairs(FORMATS) do
    list[#list + 1] = row[2]
  end
  return table.concat(list, separator)
end

--- What can be opened, in words for messages and --help.
M.KINDS = kinds(" or ")

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

--- Does a path exist, or lead to a checkpoint that a crash left beside it?
-- @tparam string path
-- @treturn boolean
function M.exists(path)
  return file.kind(path) ~= nil or format_of(file.bare(path)) ~= nil
end

local function refuse(path)
  local hint = file.kind(path) == "file" and others.file_hint(path)
  if hint then
    errors.raise("%s %s", path, hint)
  elseif not file.kind(path) then
    errors.raise("%s does not exist; give %s%s", path, M.KINDS, hub.hint(path))
  end
  errors.raise("%s is neither %s", path, kinds(" nor "))
end

--- Opens a checkpoint: reads the configuration and the header of the weights, no weights yet.
-- @tparam string path
-- @treturn table a source; close its tensors when done
-- @raise one line that names what is missing, broken or not supported
function M.open(path)
  path = file.bare(path)
  local format = format_of(path)
  if format then
    return format.open(path)
  end
  return refuse(path)
end

--- The files of a checkpoint's tokenizer. The weights need not be there.
-- @tparam string path
-- @treturn table where (a folder) and files (role → path)
-- @raise one line when no format recognises the path
function M.vocabulary(path)
  path = file.bare(path)
  local format = format_of(path)
  return format and format.vocabulary(path) or refuse(path)
end

--- Copies the files of a tokenizer unchanged into another folder; what is there already stays.
-- @tparam table vocabulary where and files, of `vocabulary` or a source
-- @tparam string folder that exists
-- @treturn integer how many were copied
-- @raise one line that names the file that cannot be read or written
function M.copy_vocabulary(vocabulary, folder)
  local copied = 0
  for role, path in pairs(vocabulary.files) do
    local target = file.bare(folder) .. "/" .. path:match("[^/]*$")
    if role ~= "model" and not file.kind(target) then -- config.json describes the model
      file.write(target, file.read(path, file.VOCABULARY))
      copied = copied + 1
    end
  end
  return copied
end

local PATH = arguments.arg("path", schema.path)
arguments.guard("fsam.formats", M, {
  exists = { PATH }, open = { PATH }, vocabulary = { PATH },
  copy_vocabulary = { arguments.arg("vocabulary", schema.record({
    where = schema.string, files = schema.map(schema.string) })),
    arguments.arg("folder", schema.path) },
})

return M
