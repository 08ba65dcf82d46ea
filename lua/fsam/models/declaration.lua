--- Declaring a model's parameters where its graph is built, so that each name is written once.
--
-- A family's `build(d, config, dropout)` runs twice with a declaration `d`. The first time, for
-- `list`, it notes name, shape and kind of each parameter, from which the model's vector is made.
-- The second time, for `graph`, the same lines run over that vector, and each name returns its
-- view. Owns: these two readings. Leaves to others: memory (fsam.vector.params), the views
-- (fsam.pass.views), values (fsam.models.initialize).
local Declaration = {}
Declaration.__index = Declaration

local M = {}

--- Says where the next parameters belong.
-- @tparam number layer -1 (embeddings), 0 … L - 1, L (pooler and head)
-- @tparam[opt] string part "pooler" or "head": a part that may start new when a checkpoint lacks it
function Declaration:at(layer, part)
  self.layer, self.part = layer, part
end

--- One parameter.
-- @tparam string kind decides its compute type (fsam.vector.params) and how it starts: "embedding",
--   "matrix", "bias", "norm" or "head"
-- @tparam string name as Transformers names it
-- @param ... its shape: one or more sizes
-- @treturn ?table its view (fsam.pass.views); nil in the first reading
function Declaration:parameter(kind, name, ...)
  if self.weights then
    return self.weights:get(name)
  end
  local parameter = { name = name, shape = { ... }, kind = kind, layer = self.layer,
    part = self.part }
  table.insert(self.list, parameter)
  return nil
end

--- An embedding table [rows, width].
-- @tparam[opt] number pad_row a row that starts as zeros, from 0
-- @treturn ?table its view
function Declaration:embedding(name, rows, width, pad_row)
  local view = self:parameter("embedding", name, rows, width)
  if not view then
    self.list[#self.list].pad_row = pad_row
  end
  return view
end

--- A linear map: weight [out, inn] and bias [out], named NAME.weight and NAME.bias.
-- @tparam string kind of the weight: "matrix", or "head", which keeps weight and bias in f32
-- @treturn table { weight, bias }: views
function Declaration:linear(kind, name, out, inn)
  local weight = self:parameter(kind, name .. ".weight", out, inn)
  local bias = self:parameter(kind == "head" and "head" or "bias", name .. ".bias", out)
  return { weight = weight, bias = bias }
end

--- Linear maps of one input whose outputs lie side by side, for linear_group of fsam.pass.ops. Each
-- has a weight [out, inn] and a bias [out].
-- @tparam {string,…} names
-- @treturn ?table the group (fsam.pass.views); nil in the first reading
function Declaration:group(names, out, inn)
  for _, name in ipairs(names) do
    self:linear("matrix", name, out, inn)
  end
  return self.weights and self.weights:group(names)
end

--- A layer norm: gamma and beta [width], named NAME.weight and NAME.bias.
-- @treturn table { gamma, beta, eps }
function Declaration:norm(name, width, eps)
  local gamma = self:parameter("norm", name .. ".weight", width)
  local beta = self:parameter("norm", name .. ".bias", width)
  return { gamma = gamma, beta = beta, eps = eps }
end

--- The parameters of a configuration, in the order of their declaration.
-- @tparam table config fsam.models.config
-- @treturn {table,…} { name, shape, kind, layer, part, pad_row } of each
function M.list(config)
  local declaration = setmetatable({ list = {} }, Declaration)
  config.family.build(declaration, config, {})
  return declaration.list
end

--- The graph of a configuration over its parameters.
-- @tparam table config fsam.models.config
-- @tparam table weights fsam.pass.views over the model's vector
-- @tparam table dropout hidden, attention, pooler: probabilities
-- @treturn table with the method forward(tape) → logits [B,C] in f32
function M.graph(config, weights, dropout)
  return config.family.build(setmetatable({ weights = weights }, Declaration), config, dropout)
end

return M
