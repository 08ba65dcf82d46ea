--- JSON in both directions, as users call it: `fsam.json`.
--
-- decode(text, name) reads, encode(value, { indent =, order = }) writes; array(t) marks a table
-- that is written with brackets even when it is empty, is_array(t) tells, and null stands for null.
--
-- Owns: what these functions take. Leaves to others: what they do (json.lua, json_reader.lua).
local arguments = require("fsam.base.arguments")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")

local arg, optional = arguments.arg, arguments.optional
local FLAG = optional(schema.boolean)
local OPTIONS = arguments.optional_fields({ indent = FLAG,
  order = optional(schema.list(schema.string)) })

return arguments.face("fsam.json", json, {
  decode = { arg("text", schema.string), arg("name", optional(schema.string)),
    arg("keep_null", FLAG), arg("python", FLAG) },
  encode = { arg("value", arguments.any), OPTIONS },
  array = { arg("table", optional(arguments.table)) }, is_array = { arg("value", arguments.any) },
})
