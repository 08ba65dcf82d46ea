--- Names of models at Hugging Face's hub, given where a path belongs. Nothing is fetched here: the
-- message says the command that does it, or where Transformers already keeps a copy.
--
-- Owns: what such a name looks like, and the layout of that cache (huggingface_hub, "Understand
-- caching"): CACHE/models--ORGANISATION--NAME has the file refs/main, whose text is the name of a
-- folder of snapshots/. Leaves to others: opening checkpoints (formats).
local file = require("fsam.base.file")

local M = {}

-- The longest name that the hub accepts.
local LONGEST = 96

-- "roberta-base", "google/electra-base" or the address of such a page → the name, or nil.
local function name_of(path)
  local name = path:gsub("^https?://huggingface%.co/", ""):gsub("^hf://", ""):gsub("/tree/.*$", "")
  local is_name = #name <= LONGEST
    and (name:find("^%w[%w._-]*$") or name:find("^%w[%w._-]*/%w[%w._-]*$"))
  return is_name and name or nil
end

local function cache_folder()
  local set = os.getenv("HF_HUB_CACHE") or os.getenv("HUGGINGFACE_HUB_CACHE")
  local home = os.getenv("HF_HOME") or os.getenv("HOME") and os.getenv("HOME")
    .. "/.cache/huggingface"
  return set or home and home .. "/hub"
end

-- The folder of a model's newest copy in the cache, or nil.
local function cached(name)
  local cache = cache_folder()
  local model = cache and ("%s/models--%s"):format(cache, (name:gsub("/", "--")))
  if not model or file.kind(model .. "/refs/main") ~= "file" then
    return nil
  end
  local commit = file.read(model .. "/refs/main", 1000):match("^%s*(%x+)%s*$")
  local snapshot = commit and model .. "/snapshots/" .. commit
  return snapshot and file.kind(snapshot) == "directory" and snapshot or nil
end

--- What to do about a path that does not exist, if it may be the name of a model at the hub.
-- @tparam string path
-- @treturn string the end of a message, from its comma on; "" for other paths
function M.hint(path)
  local name = name_of(path)
  local is_readable, copy = pcall(cached, name or "") -- where it is not, the command serves, too
  if name and is_readable and copy then
    return (", such as the copy of %s at %s"):format(name, copy)
  elseif name and (name ~= path or name:lower():find("bert") or name:lower():find("electra")) then
    return (", such as the folder that `hf download %s --local-dir %s` makes"):format(name,
      name:match("[^/]+$"))
  end
  return ""
end

return M
