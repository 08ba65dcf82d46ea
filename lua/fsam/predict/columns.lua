--- The columns of a file of texts: those that the flags name, else those that the model's run was
-- trained on; and how many texts a sample had there.
--
-- Owns: finding them. Leaves to others: what a run writes down (fsam.train), reading the file
-- (fsam.data.tables).
local arguments = require("fsam.base.arguments")
local file = require("fsam.base.file")
local formats = require("fsam.formats")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")

local M = {}

local TRAINER = schema.record({
  options = schema.optional(schema.record({
    text_column = schema.optional(schema.string),
    text_pair_column = schema.optional(schema.string),
  })),
  data = schema.optional(schema.record({ texts = schema.optional(schema.integer(1, 2)) })),
})

-- What the run that a model comes from wrote down; an empty table where it comes from none.
local function run_of(path)
  local name = formats.vocabulary(path).where .. "/trainer.json"
  if not file.kind(name) then
    return {}
  end
  return schema.check(json.decode(file.read(name), name), TRAINER, name, "")
end

--- The columns.
-- @tparam table o model (a path), text_column, text_pair_column (the flags' values, or nil)
-- @treturn ?string of the text; nil where neither flags nor run name one
-- @treturn ?string of the second text
-- @raise one line when the run's trainer.json is damaged
function M.of(o)
  if o.text_column then
    return o.text_column, o.text_pair_column
  end
  local run = run_of(o.model).options or {}
  return run.text_column, o.text_pair_column or run.text_pair_column
end

--- How many texts a sample of the model's run had.
-- @tparam ?string path the model's
-- @treturn ?int 1 or 2; nil where no run says
-- @raise as `of`
function M.texts(path)
  local data = path and run_of(path).data
  return data and data.texts
end

local TEXT = schema.optional(schema.string)
arguments.guard("fsam.predict.columns", M, {
  of = { arguments.arg("options", schema.record({ model = schema.string, text_column = TEXT,
    text_pair_column = TEXT })) },
  texts = { arguments.arg("path", schema.optional(schema.path)) },
})

return M
