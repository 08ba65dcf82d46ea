--- Files of a run or a model, by their names and what lies beside them.
--
-- Owns: the rule by which results that a user names (`--out`) never take their place. Leaves to
-- others: what these files are (huggingface.lua, run_folder.lua).
local file = require("fsam.base.file")

local M = {}

-- A file that is beside → how the names of its companions begin.
local COMPANIONS = {
  { "checkpoint_best", { "results%.json$", "train%.log$" } },
  { "checkpoint_last", { "results%.json$", "train%.log$" } },
  { "config.json", { "config", "model%.", "merges", "special_tokens", "state%.", "tokenizer",
    "trainer", "vocab", "pytorch_model" } },
}

--- Is there a file of a run or a model?
-- @tparam string path
-- @treturn boolean
-- @raise one line, when the system does not say what is there
function M.is(path)
  local folder, name = file.parent(path), path:match("[^/]*$")
  if file.kind(path) ~= "file" then
    return false
  end
  for _, row in ipairs(COMPANIONS) do
    for _, beginning in ipairs(file.kind(folder .. "/" .. row[1]) and row[2] or {}) do
      if name:find("^" .. beginning) then
        return true
      end
    end
  end
  return false
end

return M
