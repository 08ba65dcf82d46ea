--- fsam.load(path): a trained model with its tokenizer, which predicts texts and can be looked
-- into. The REPL's front door; recipes put the same parts together themselves. Owns: predictions
-- and gradients of single texts. Leaves to others: loading (fsam.models, fsam.text), passes
-- (fsam.pass), what logits say (prediction.lua).
local Pass = require("fsam.pass")
local arguments = require("fsam.base.arguments")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local formats = require("fsam.formats")
local models = require("fsam.models")
local packing = require("fsam.data.packing")
local prediction = require("fsam.models.prediction")
local problems = require("fsam.data.problems")
local schema = require("fsam.base.schema")
local text = require("fsam.text")

-- One text (or pair) as a host batch. label: as the model's problem has it (fsam.data.problems).
local function pack(model, sentence, pair, label)
  local sample = prediction.sample(model, sentence, pair)
  sample.label = label
  return packing.pack({ sample }, model.packing)
end

--- model:gradient(text, label[, pair]): the gradient of one text's loss, without dropout: at w, or
-- at c where the user has set it since (params:settle).
-- @tparam string sentence
-- @param label its name, or its number from 0; a list of these, of a model of several labels; a
--   regression's number
-- @tparam[opt] string pair the second text
-- @treturn table the gradient, a vector of its own; params.g holds it too, until the next one
-- @treturn number the loss, in nats; a regression's squared error
-- @raise one line with the labels when the model does not have this one
local function gradient(model, sentence, label, pair)
  local target = problems.of_model(model.config).target(label, model.config.labels)
  local host = pack(model, sentence, pair, target)
  model.params:settle()
  local evaluate = model.pass:bind({ step = 0, batches = { host }, training = false })
  local loss = evaluate({ into = model.params.g, backward = true }):mean()
  return model.params.copies:of(model.params.g, "gradient"), loss
end

--- model:predict(text[, pair]): the label of one text, at w, or at c where the user has set it
-- since.
-- @tparam string sentence
-- @tparam[opt] string pair the second text
-- @treturn table see prediction.lua
-- @raise as prediction.sample and prediction.of
local function predict(model, sentence, pair)
  model.params:settle()
  return prediction.of(model, model.pass:predict(pack(model, sentence, pair))[1])
end

local optional = arguments.optional
local TEXT, PAIR = arguments.arg("text", schema.string),
  arguments.arg("pair", optional(schema.string))
local ONE_TEXT = arguments.arg("text", schema.of_type("string", "one text (of a list: for _, t in "
  .. "ipairs(list) do print(m:predict(t)) end; of files: recipes/predict.lua)"))
local MODEL = arguments.object("a model, of fsam.load",
  { tokenizer = "table", pass = "table", params = "table" })
predict = arguments.declare("model:predict", { self = MODEL, ONE_TEXT, PAIR }, predict)
gradient = arguments.declare("model:gradient", { self = MODEL, TEXT, arguments.arg("label",
  schema.either("a label's name or number", schema.string, schema.number(), schema.list(
    schema.either("a name or number", schema.string, schema.number())))), PAIR }, gradient)

-- A model whose head or pooler started from random values answers at random, and looks as any other
-- does.
local function tell_untrained(model, path, what)
  if model.untrained and what == "refuse" then
    errors.raise("%s is not trained to answer (%s); train it first, with one of recipes/", path,
      model.untrained)
  elseif model.untrained and what == "say" then
    io.stderr:write(errors.line(("%s is not trained to answer (%s): until it is, its labels are "
      .. "random"):format(path, model.untrained)), "\n")
  end
end

--- Loads a checkpoint.
-- @tparam string path what fsam.formats opens, such as a run's folder
-- @tparam[opt] table o device ("auto"), precision ("fp32"), seed and freeze as for
--   fsam.models.load; tokenizer, a path, where its files are not beside the weights; untrained,
--   what to do about a checkpoint whose head or pooler must start from random values: "say" it on
--   standard error (default), "refuse" it, or "accept" it
-- @treturn table the model (fsam.models), with tokenizer, pass, predict(text[, pair]) and
--   gradient(text, label[, pair])
-- @raise as fsam.models.load and fsam.text.load
return arguments.declare("fsam.load", {
  arguments.arg("path", schema.path),
  arguments.optional_fields({ device = optional(schema.string), precision = optional(schema.string),
    seed = optional(schema.integer(0)), freeze = optional(schema.list(schema.string)),
    tokenizer = optional(schema.string),
    untrained = optional(schema.one_of({ "say", "refuse", "accept" })) }),
}, function(path, o)
  o = o or {}
  local source = formats.open(path)
  local device = devices.open(o.device or "auto")
  local model = models.load({ source = source, device = device, seed = o.seed,
    precision = devices.precision(o.precision or "fp32", device), freeze = o.freeze })
  tell_untrained(model, path, o.untrained or "say")
  model.tokenizer = text.load(o.tokenizer or source)
  local problem = problems.of_model(model.config)
  model.packing = problem.packing(model.config.num_labels)
  model.packing.pad_id, model.packing.position_offset = model.pad_id, model.position_offset
  model.pass = Pass.new({ model = model, loss = problem.loss })
  model.predict, model.gradient = predict, gradient
  return model
end)
