--- What our own runs write: a run's folder, and a checkpoint whose saving was interrupted. Both
-- lead to a complete checkpoint, which is a Hugging Face folder. Owns: finding that checkpoint.
-- Leaves to others: reading it (huggingface.lua), what else is in a run's folder (fsam.train).
local file = require("fsam.base.file")
local folder = require("fsam.formats.atomic_folder")
local huggingface = require("fsam.formats.huggingface")

local M = {}

-- The folder of the checkpoint that a path leads to, or nil. A run leads to its best one, else to
-- its last one.
local function checkpoint_of(path, kind)
  if not kind then
    return folder.resolve(path) -- a crash while saving may have left only its neighbour
  elseif kind == "directory" and not file.kind(path .. "/config.json") then
    return folder.resolve(path) or folder.resolve(path .. "/checkpoint_best")
      or folder.resolve(path .. "/checkpoint_last")
  end
end

--- Does this path lead to one of our checkpoints? (The functions of a format: fsam.formats.)
-- @tparam string path
-- @tparam ?string kind what is there (base/file.lua); nil: nothing
function M.recognises(path, kind)
  return checkpoint_of(path, kind) ~= nil
end

--- The files of its tokenizer.
-- @treturn table where and files, see huggingface.lua
function M.vocabulary(path)
  return huggingface.vocabulary(checkpoint_of(path, file.kind(path)))
end

--- Opens it.
-- @treturn table a source (fsam.formats)
-- @raise one line that names what is missing or broken
function M.open(path)
  return huggingface.open(checkpoint_of(path, file.kind(path)))
end

return M
