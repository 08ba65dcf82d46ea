-- Base optimizers against plain implementations in f64 with ordinary loops (loops.lua),
-- on a small model whose gradient is known (logistic.lua). Twenty steps, within 1e-5.
local loops = require("spec.lua.optim.loops")
local model = require("spec.lua.logistic")
local optim = require("fsam.optim")
local optimizers = require("fsam.step")

local by_engine, by_loops = model.by_engine, model.by_loops

local function gradient(w, n)
  return select(2, model.logistic(w, n, model.ALL))
end

local CASES = {
  { "adam", "adam, fairseq's form", {}, loops.adam, { { 0.9, 0.98 } } },
  { "adam", "adam, PyTorch's form", { adam_form = "torch", adam_betas = { 0.8, 0.95 } },
    loops.adam, { { 0.8, 0.95 }, "torch" } },
  { "adam", "adam with L2", { decay = "coupled" }, loops.adam, { { 0.9, 0.98 }, nil, true } },
  { "sgd", "sgd with momentum and L2", {}, model.sgd, {} },
  { "sgd", "sgd in Nesterov's form, decay decoupled", { nesterov = true, momentum = 0.8,
    decay = "decoupled" }, loops.nesterov, { 0.8 } },
  { "lion", "lion", { lion_betas = { 0.8, 0.95 } }, loops.lion, { { 0.8, 0.95 } } },
  { "lamb", "lamb, with a ratio for each tensor", {}, loops.lamb, { { 0.9, 0.999 } } },
}

describe("base optimizers against plain loops", function()
  for _, case in ipairs(CASES) do
    local name, title, options, make, arguments = unpack(case)
    it(title, function()
      assert.near(by_loops(gradient, (make(unpack(arguments, 1, 3)))),
        (by_engine(nil, options, nil, name)), 1e-5)
    end)
  end

  it("each has a case", function()
    local tested = {}
    for _, case in ipairs(CASES) do
      tested[case[1]] = true
    end
    for _, name in ipairs(optim.names()) do
      assert.is_true(tested[name], name)
    end
  end)
end)

describe("lamb", function()
  it("moves a tensor of zeros by the plain direction", function()
    local devices, params = require("fsam.base.device"), require("fsam.vector.params")
    local P = params.new(devices.open("cpu"), { { name = "new", kind = "matrix", shape = { 2, 3 } },
      { name = "old", kind = "matrix", shape = { 2 } } })
    P:master("old"):write({ 3, 4 })
    P:sync()
    local optimizer = optimizers.build({ params = P, optimizer = "lamb",
      options = { weight_decay = 0, adam_eps = 1e-12 } })
    optimizer:step({ step = 0, lr = 0.1, samples = 1, evaluate = function(request)
      P:grad("new", request.into):write({ 1, -2, 3, -4, 5, -6 })
      P:grad("old", request.into):write({ 7, -7 })
      P:touch(request.into)
      return { mean = function() return 1 end, losses = function() return { 1 } end,
        correct = function() return 1 end }
    end })
    -- In the first step m̂ / sqrt(v̂) is the gradient's sign.
    assert.near({ -0.1, 0.1, -0.1, 0.1, -0.1, 0.1 }, P:master("new"):read(), 1e-6)
    local move = 0.1 * 5 / math.sqrt(2)
    assert.near({ 3 - move, 4 + move }, P:master("old"):read(), 1e-6)
  end)
end)
