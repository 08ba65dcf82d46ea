--- A .safetensors file by itself, or an index of its shards. Owns: the rule that the files beside
-- it describe its model and tokenizer. Leaves to others: reading all of them (huggingface.lua).
local file = require("fsam.base.file")
local huggingface = require("fsam.formats.huggingface")

local M = {}

--- Is this a file of weights? (The functions of a format: fsam.formats.)
-- @tparam string path
-- @tparam ?string kind what is there (base/file.lua); nil: nothing
function M.recognises(path, kind)
  return kind == "file"
    and (path:find("%.safetensors$") or path:find("%.safetensors%.index%.json$")) ~= nil
end

--- The files of a tokenizer beside it.
-- @treturn table where and files, see huggingface.lua
function M.vocabulary(path)
  return huggingface.vocabulary(file.parent(path))
end

--- Opens it.
-- @treturn table a source (fsam.formats)
-- @raise one line when no config.json beside it describes its model, or one of the two is broken
function M.open(path)
  return huggingface.source(file.parent(path), path)
end

return M
