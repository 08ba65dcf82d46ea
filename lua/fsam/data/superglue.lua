--- What SuperGLUE's tasks have in common: JSON lines in files of the same names, and a file of
-- answers that its server wants. Owns: these names. Leaves to others: the columns and labels of a
-- task (data/tasks/NAME.lua).
local arguments = require("fsam.base.arguments")
local schema = require("fsam.base.schema")

local M = {}

--- The part `files` of a task's row (data/tasks.lua).
-- @tparam string name of the task, as its folder and its answers are called ("WiC")
-- @tparam {string,…} columns those that every split has; train and dev also have "label"
-- @treturn table
function M.files(name, columns)
  local labelled = { unpack(columns) }
  labelled[#labelled + 1] = "label"
  return {
    train = { name = "train.jsonl", format = "jsonl", columns = labelled },
    dev = { name = "val.jsonl", format = "jsonl", columns = labelled },
    test = { name = "test.jsonl", format = "jsonl", columns = columns, answers = name .. ".jsonl" },
  }
end

--- The part `data`: what DATA is, in words.
-- @tparam string name as for `files`
-- @treturn string
function M.data(name)
  return ("SuperGLUE's %s folder (train.jsonl, val.jsonl)"):format(name)
end

local NAME = arguments.arg("name", schema.string)
arguments.guard("fsam.data.superglue", M, {
  files = { NAME, arguments.arg("columns", schema.list(schema.string, 1)) }, data = { NAME },
})

return M
