--- What our own runs write: a run's folder, and a checkpoint whose saving was interrupted. Both
-- lead to a complete checkpoint, which is a Hugging Face folder. Owns: finding that checkpoint, and
-- knowing a folder of a run's, which models saved by hand must not change. Leaves to others:
-- reading it (huggingface.lua), what else is in a run's folder (fsam.train).
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local folder = require("fsam.formats.atomic_folder")
local huggingface = require("fsam.formats.huggingface")

local M = {}

local CHECKPOINTS = { "checkpoint_best", "checkpoint_last" } -- of a run, the one to open first

-- The complete folder of a run's checkpoint; nil where it has none. One that is there and cannot be
-- read is not passed over: the user would get other weights than those that he asked for.
local function checkpoint_in(run, name)
  local path = run .. "/" .. name
  local complete = folder.resolve(path)
  if complete ~= path and file.kind(path) then
    errors.raise("%s is damaged or cannot be read now: it has no readable trainer.json; give the "
      .. "path of another checkpoint to open that", path)
  end
  return complete
end

-- The folder of the checkpoint that a path leads to, or nil. A run leads to its best one, else to
-- its last one.
local function checkpoint_of(path, kind)
  if not kind then
    return folder.resolve(path) -- a crash while saving may have left only its neighbour
  elseif kind == "directory" and not file.kind(path .. "/config.json") then
    local found = folder.resolve(path)
    for _, name in ipairs(CHECKPOINTS) do
      found = found or checkpoint_in(path, name)
    end
    return found
  end
end

--- Does this path lead to one of our checkpoints? (The functions of a format: fsam.formats.)
-- @tparam string path
-- @tparam ?string kind what is there (base/file.lua); nil: nothing
-- @raise one line that names a checkpoint of the run which cannot be read
function M.recognises(path, kind)
  return checkpoint_of(path, kind) ~= nil
end

--- Refuses a folder of a run's: a model saved into one would be taken for the run's own weights.
-- @tparam string path
-- @raise one line with the path, when this is a run's folder or a checkpoint
function M.check_free(path)
  for _, name in ipairs(CHECKPOINTS) do
    if file.kind(path .. "/" .. name) then
      errors.raise("%s is a run's folder, and a model in it would hide the run's checkpoints; give "
        .. "another folder, such as %s/saved", path, path)
    end
  end
  if file.kind(path .. "/trainer.json") then
    errors.raise("%s is a checkpoint of a run, which goes on from its own weights; give another "
      .. "folder", path)
  end
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
