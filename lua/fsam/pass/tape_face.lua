--- The tape of one micro-batch, as users make and call it: `fsam.tape.new{ … }`. Passes make their
-- own, and hand it to a family's forward function.
--
-- Owns: what the tape's functions take. Leaves to others: what they do (tape.lua).
local C = require("fsam.C")
local Tape = require("fsam.pass.tape")
local arguments = require("fsam.base.arguments")
local devices = require("fsam.base.device")
local schema = require("fsam.base.schema")
local tensors = require("fsam.base.tensor")

local arg, optional = arguments.arg, arguments.optional

-- The class of tapes that users make: its methods are the checked ones.
local Checked = {}

local functions = {}
for name, fn in pairs(Tape) do
  functions[name] = type(fn) == "function" and fn or nil
end
functions.new = function(o)
  return setmetatable(Tape.new(o), Checked)
end

local SHAPE = arguments.where(function(value)
  local class = type(value) == "table" and getmetatable(value)
  return class == Tape or class == Checked
end, "a tape, of fsam.tape.new or as a family's forward function gets it")

local TENSOR = arguments.where(tensors.is, "a tensor")
local BATCH = arguments.where(function(value)
  return C.ffi.istype("fsam_batch", value) or C.ffi.istype("fsam_batch *", value) and value ~= nil
end, "a batch on the device, an fsam_batch")
local VIEW = arguments.where(function(value)
  return value == nil or type(value) == "table" and type(rawget(value, "parameters")) == "table"
end, "a parameter, a view of fsam.pass.views, or nil")
local GRADIENTS = arguments.object("gradients of fsam.pass.gradients",
  { write = "function", wants = "function" })

local X = arg("x", TENSOR)
local face = arguments.face("fsam.tape", functions, {
  new = { arguments.fields({ arena = devices.arena_shape, batch = BATCH,
    first_rows = optional(BATCH), training = optional(schema.boolean), grads = optional(GRADIENTS),
    squares = optional(schema.boolean) }) },
  tensor = { self = SHAPE, arg("dtype", schema.one_of({ "f32", "bf16", "i32" })),
    arg("shape", schema.list(schema.integer(0), 1)), arg("name", schema.string) },
  dropout = { self = SHAPE, arg("p", schema.number(0, 1)), arg("site", schema.integer(0)) },
  wants = { self = SHAPE, X }, grad = { self = SHAPE, X },
  record = { self = SHAPE, arg("y", TENSOR), arg("wanted", schema.boolean),
    arg("backward", arguments.func) },
  weight_grad = { self = SHAPE, arg("view", VIEW), arg("squares", optional(schema.boolean)),
    arg("apart", optional(schema.boolean)) },
  part = { self = SHAPE, arg("weight", VIEW), arg("bias", VIEW) }, meet = { self = SHAPE },
  square = { self = SHAPE, arg("view", VIEW) }, clears = { self = SHAPE, arg("view", VIEW) },
  per_sample = { self = SHAPE, arg("y", TENSOR), arg("of", arguments.where(function(value)
    return value == true or tensors.is(value)
  end, "true, or a tensor that has a row for each sample")) },
  is_per_sample = { self = SHAPE, X }, batch_of = { self = SHAPE, X },
  trains = { self = SHAPE, more = true, arg("view", VIEW) },
  seed = { self = SHAPE, arg("y", TENSOR), arg("dy", TENSOR) },
  backward = { self = SHAPE },
})

Checked.__index = face
face.shape = SHAPE -- for other declarations
return face
