--- What our own runs write: a run's folder, and a checkpoint whose saving was interrupted. Both
-- lead to a complete checkpoint, which is a Hugging Face folder. Owns: finding it.
local file = require("fsam.base.file")
local folder = require("fsam.formats.atomic_folder")
local huggingface = require("fsam.formats.huggingface")

local M = {}

-- The checkpoint that a path leads to, or nil: of a run, the best one before the last one.
local function checkpoint_of(path, kind)
  if not kind then
    return folder.resolve(path) -- a crash while saving may have left only its neighbour
  elseif kind == "directory" and not file.kind(path .. "/config.json") then
    return folder.resolve(path) or folder.resolve(path .. "/checkpoint_best")
      or folder.resolve(path .. "/checkpoint_last")
  end
end

function M.recognises(path, kind)
  return checkpoint_of(path, kind) ~= nil
end

function M.vocabulary(path)
  return huggingface.vocabulary(checkpoint_of(path, file.kind(path)))
end

function M.open(path)
  return huggingface.open(checkpoint_of(path, file.kind(path)))
end

return M
