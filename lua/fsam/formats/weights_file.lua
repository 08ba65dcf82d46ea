--- A file of weights by itself: .safetensors, PyTorch's .pt and .bin, or an index of shards. Owns:
-- the rule that the files beside it describe its model and tokenizer; only fairseq's checkpoints
-- describe their model themselves. Leaves to others: reading all of them (huggingface.lua,
-- pytorch/, fairseq.lua).
local errors = require("fsam.errors")
local fairseq = require("fsam.formats.fairseq")
local file = require("fsam.base.file")
local huggingface = require("fsam.formats.huggingface")
local pytorch = require("fsam.formats.pytorch")

local M = {}

--- Is this a file of weights? (The functions of a format: fsam.formats.)
-- @tparam string path
-- @tparam ?string kind what is there (base/file.lua); nil: nothing
function M.recognises(path, kind)
  return kind == "file" and (path:find("%.safetensors$") or path:find("%.pt$")
    or path:find("%.bin$") or path:find("%.safetensors%.index%.json$")
    or path:find("%.bin%.index%.json$")) ~= nil
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
  local where = file.parent(path)
  local tensors = (path:find("%.pt$") or path:find("%.bin$")) and pytorch.open(path)
  if tensors and fairseq.recognises(tensors) then
    local config, translated, text = fairseq.read(tensors)
    return { path = path, where = where, config = config, config_path = path,
      config_text = text, tensors = translated, vocabulary = huggingface.vocabulary(where) }
  end
  if not file.kind(where .. "/config.json") then
    errors.raise("%s has no config.json beside it, which describes its model", path)
  end
  return huggingface.source(where, path, tensors or nil)
end

return M
