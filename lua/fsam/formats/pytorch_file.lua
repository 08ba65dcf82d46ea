--- A file of weights that PyTorch wrote, by itself: .pt, .pth, .bin, or an index of .bin shards.
--
-- Owns: the rule that the files beside it describe its model and tokenizer; only fairseq's
-- checkpoints describe their model themselves. Leaves to others: reading all of them (pytorch/,
-- fairseq.lua, huggingface.lua).
local fairseq = require("fsam.formats.fairseq")
local file = require("fsam.base.file")
local huggingface = require("fsam.formats.huggingface")
local pytorch = require("fsam.formats.pytorch")

local M = {}

--- Is this such a file? (The functions of a format: fsam.formats.)
-- @tparam string path
-- @tparam ?string kind what is there (base/file.lua); nil: nothing
function M.recognises(path, kind)
  return kind == "file" and (path:find("%.pth?$") or path:find("%.bin$")
    or path:find("%.bin%.index%.json$")) ~= nil
end

--- The files of a tokenizer beside it.
-- @treturn table where and files, see huggingface.lua
function M.vocabulary(path)
  return huggingface.vocabulary(file.parent(path))
end

--- Opens it.
-- @treturn table a source (fsam.formats); of a file that we converted to fairseq's names also
--   config_text, the text of its config.json
-- @raise one line when nothing describes its model, or a file is broken
function M.open(path)
  local where = file.parent(path)
  local tensors = not path:find("%.json$") and pytorch.open(path) or nil
  if tensors and fairseq.recognises(tensors) then
    local config, translated, text = fairseq.read(tensors)
    return { path = path, where = where, config = config, config_path = path, config_text = text,
      tensors = translated, vocabulary = huggingface.vocabulary(where) }
  end
  return huggingface.source(where, path, tensors)
end

return M
