--- The ops of a model, as users call them: `fsam.ops`. Each runs its forward kernel at once and
-- records its backward on the tape. A parameter is a view, which a model's weights hand out.
--
-- Owns: what these functions take. Leaves to others: what they do (ops.lua, which the library's own
-- models call).
local C = require("fsam.C")
local arguments = require("fsam.base.arguments")
local ops = require("fsam.pass.ops")
local schema = require("fsam.base.schema")
local tape_shape = require("fsam.pass.tape_face").shape
local tensors = require("fsam.base.tensor")

local arg, optional = arguments.arg, arguments.optional

local TENSOR = arguments.where(tensors.is, "a tensor")
local VIEW = arguments.where(function(value)
  return type(value) == "table" and type(rawget(value, "parameters")) == "table"
    and tensors.is(rawget(value, "value"))
end, "a parameter, a view of fsam.pass.views")
local GROUP = schema.record({ width = schema.integer(1),
  members = schema.list(schema.record({ weight = VIEW, bias = VIEW }), 1),
  weight = optional(VIEW), bias = optional(VIEW), one_gradient = optional(schema.boolean) })
local NORM = arg("norm", schema.closed({ gamma = VIEW, beta = VIEW, eps = schema.number(0) }))
local TABLES = arg("tables", schema.closed({ word = VIEW, position = VIEW,
  token_type = optional(VIEW) }))
local LOSS = arguments.object("a row of fsam.pass.losses", { compute = "function" })
local SETTINGS = schema.closed({ weights = optional(TENSOR),
  smoothing = optional(schema.number(0, 1)) })

local TAPE, X, NAME = arg("tape", tape_shape), arg("x", TENSOR), arg("name", schema.string)
local BIAS = arg("bias", optional(VIEW))
local DROPOUT = arg("dropout", optional(arguments.where(function(value)
  return C.ffi.istype("fsam_dropout", value)
end, "what tape:dropout returns, or nil")))

return arguments.face("fsam.ops", ops, {
  linear = { TAPE, X, arg("weight", VIEW), BIAS, NAME },
  linear_group = { TAPE, X, arg("group", GROUP), NAME },
  activation = { TAPE, X, BIAS, arg("form", schema.one_of({ "gelu", "gelu_tanh", "relu", "silu",
    "tanh" })), NAME },
  tanh = { TAPE, X, NAME },
  residual_layernorm = { TAPE, X, BIAS, arg("residual", TENSOR), NORM, DROPOUT, NAME },
  embedding = { TAPE, TABLES, NORM, DROPOUT, NAME },
  attention = { TAPE, arg("qkv", TENSOR), arg("heads", schema.integer(1)), DROPOUT, NAME },
  gather = { TAPE, X, NAME }, first_rows = { TAPE, X, NAME },
  dropout = { TAPE, X, DROPOUT, NAME },
  loss = { TAPE, arg("loss", LOSS), arg("losses", TENSOR), arg("logits", TENSOR),
    arg("labels", TENSOR), arg("settings", optional(SETTINGS)) },
})
