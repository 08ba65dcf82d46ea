--- A .safetensors file by itself, or an index of its shards. Owns: that its folder
-- describes it.
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local huggingface = require("fsam.formats.huggingface")

local M = {}

function M.recognises(path, kind)
  return kind == "file"
    and (path:find("%.safetensors$") or path:find("%.safetensors%.index%.json$")) ~= nil
end

--- The files of a tokenizer beside it.
function M.vocabulary(path)
  return huggingface.vocabulary(file.parent(path))
end

--- Opens it.
-- @raise one line when nothing beside it describes its model
function M.open(path)
  local where = file.parent(path)
  if not file.kind(where .. "/config.json") then
    errors.raise("%s has no config.json beside it, which describes its model", path)
  end
  return huggingface.source(where, path)
end

return M
