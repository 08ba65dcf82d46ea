--- Folders of fairseq's: a published model (model.pt) and the checkpoints of a training
-- (checkpoint_best.pt, checkpoint_last.pt). Owns: which file of such a folder is meant. Leaves to
-- others: reading it (pytorch_file.lua).
local file = require("fsam.base.file")
local pytorch_file = require("fsam.formats.pytorch_file")

local M = {}

-- The file that a folder stands for: the model, else the best checkpoint, as of a run of ours.
local FILES = { "model.pt", "checkpoint_best.pt", "checkpoint_last.pt" }

local function meant(path)
  for _, name in ipairs(FILES) do
    if file.kind(path .. "/" .. name) == "file" then
      return path .. "/" .. name
    end
  end
end

--- Is this such a folder? One with a config.json is a Hugging Face folder. (The functions of a
-- format: fsam.formats.)
-- @tparam string path
-- @tparam ?string kind what is there (base/file.lua); nil: nothing
function M.recognises(path, kind)
  return kind == "directory" and not file.kind(path .. "/config.json") and meant(path) ~= nil
end

--- The files of its tokenizer.
-- @treturn table where and files, see huggingface.lua
function M.vocabulary(path)
  return pytorch_file.vocabulary(meant(path))
end

--- Opens it.
-- @treturn table a source (fsam.formats)
-- @raise one line that names what is missing or broken
function M.open(path)
  return pytorch_file.open(meant(path))
end

return M
