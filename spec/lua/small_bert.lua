--- A small random BERT with dropout on, and steps of any optimizer on it, for specs of the laws.
local C = require("fsam.C")
local Pass = require("fsam.pass")
local batches = require("fsam.data.packing")
local config_json = require("fsam.models.config")
local devices = require("fsam.base.device")
local models = require("fsam.models")
local optimizers = require("fsam.step")

local ffi = C.ffi

local M = {}

--- The configuration; `smaller` for what runs on the shim; `shared`: an ALBERT, whose two layers
-- are one; `rows` of the embedding of words (40).
function M.config(smaller, shared, rows)
  return config_json.check({
    model_type = shared and "albert" or "bert", embedding_size = shared and 8 or nil,
    vocab_size = rows or 40, hidden_size = smaller and 16 or 64,
    num_hidden_layers = smaller and not shared and 1 or 2, num_attention_heads = smaller and 2 or 4,
    intermediate_size = smaller and 24 or 96, max_position_embeddings = 32,
    type_vocab_size = 2, hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1,
    classifier_dropout = 0.1, initializer_range = 0.2,
  }, "small_bert")
end

--- The model; of a checkpoint's folder, or from random weights.
function M.model(o)
  local settings = { device = devices.open("cpu"), labels = { "a", "b" }, seed = 3,
    precision = o.precision, freeze = o.freeze, share = o.share }
  if o.path then
    settings.path = o.path
    return models.load(settings)
  end
  settings.config = M.config(o.smaller, o.shared, o.rows)
  return models.new(settings)
end

-- A deterministic sample: length and ids by its number.
local function sample(i)
  local ids = { 2 }
  for k = 2, 3 + i * 7 % 9 do
    ids[k] = 5 + (i * 31 + k * 17) % 35
  end
  return { ids = ids, label = i % 2 }
end

--- A batch of the samples after number `first`.
function M.pack(model, first, count, ordinal)
  local list = {}
  for i = 1, count do
    list[i] = sample(first + i)
  end
  return batches.pack(list, { pad_id = model.pad_id, position_offset = 0,
    first_ordinal = ordinal or 0 })
end

--- What the mask policy `sample` draws from.
function M.sampler(model)
  return function(n, seed, step, first_ordinal)
    local list = {}
    for i = 1, n do
      list[i] = M.pack(model, 100 * seed + step + i, 1, first_ordinal + i - 1)
    end
    return list
  end
end

-- What the steps have that is not as declared: one radius for all types, masks often.
local SETTINGS = { rho = 0.05, adam_betas = { 0.9, 0.999 }, adam_eps = 1e-8, mask_iter_e = 3,
  num_samples = 4 }

--- Options, with some changed.
function M.options(changes)
  local o = {}
  for _, from in ipairs({ SETTINGS, changes or {} }) do
    for key, value in pairs(from) do
      o[key] = value
    end
  end
  return o
end

--- A model, its optimizer, and step(n), which runs update n.
-- @tparam table o precision, freeze, path, smaller, shared, attention_dropout_rng; optimizer, base,
--   sam_type, options; lr; micro: samples of the first of two micro-batches
-- @treturn table model
-- @treturn function step(n, wrap): wrap(evaluate) → what the step evaluates instead
-- @treturn table optimizer
-- @treturn table pass
function M.setup(o)
  local model = M.model(o)
  local pass = Pass.new({ model = model, seed = 5,
    attention_dropout_rng = o.attention_dropout_rng })
  local optimizer = optimizers.build({ params = model.params, optimizer = o.optimizer or "sam",
    base_optimizer = o.base, sam_type = o.sam_type, options = M.options(o.options), seed = 5,
    sampler = M.sampler(model) })
  local lr = o.lr or 1e-3
  local function step(n, wrap)
    local cut = o.micro
    local list = cut and { M.pack(model, 10 * n, cut), M.pack(model, 10 * n + cut, 8 - cut, cut) }
      or { M.pack(model, 10 * n, 8) }
    local evaluate = pass:bind({ step = n, batches = list, training = true })
    return optimizer:step({ evaluate = wrap and wrap(evaluate) or evaluate, step = n, lr = lr,
      lr_peak = lr, samples = 8, micro_batches = #list, progress = math.min(n / 10, 1),
      train_samples = 1000 })
  end
  return model, step, optimizer, pass
end

--- All bytes of a vector of the model.
function M.bytes(vector)
  local host, n = vector:tensor():to_host()
  return ffi.string(host, n * 4)
end

--- The bits of the weights after some steps (5), and the model.
function M.run(o, steps)
  local model, step = M.setup(o)
  for n = 0, (steps or 5) - 1 do
    local info = step(n)
    assert(not info.skipped, info.skipped)
  end
  return M.bytes(model.params.w), model
end

--- The numbers of each parameter in a vector: name → list.
function M.values(params, vector)
  local all = {}
  for _, parameter in ipairs(params.parameters) do
    all[parameter.name] = params:view(vector, parameter):read()
  end
  return all
end

--- Everything that lives in a checkpoint: name → bits, or a scalar's number.
function M.snapshot(model)
  local state, bits = model.params:state(), {}
  for _, vector in ipairs(state.vectors) do
    bits[vector.name] = M.bytes(vector)
  end
  for _, mask in ipairs(state.masks) do
    bits[mask.name] = M.bytes(mask)
  end
  for _, scalar in ipairs(state.scalars) do
    bits[scalar.name] = scalar:read()
  end
  return bits
end

--- The bytes of the working copy.
function M.working_copy(model)
  local values, count = model.params.c:tensor():to_host()
  return ffi.string(values, count * 4)
end

--- For step(n, wrap): writes `value` into the gradient (its first parameter, or all of it) of the
-- given backward pass of a step (default: of every one).
-- @treturn function wrap
-- @treturn function how many backward passes the last step had
function M.poison(model, value, which, all)
  local count
  return function(evaluate)
    count = 0
    return function(request)
      local result = evaluate(request)
      count = count + (request.backward and 1 or 0)
      if request.backward and (not which or count == which) then
        for i = 1, all and #model.params.parameters or 1 do
          model.params:grad(model.params.parameters[i], request.into):fill(value)
        end
        model.params:touch(request.into)
      end
      return result
    end
  end, function()
    return count
  end
end

return M
