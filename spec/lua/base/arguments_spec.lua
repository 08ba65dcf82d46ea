-- Every declared function is called with each argument left out and of each wrong kind, each field
-- left out, misspelt and of each wrong kind. What its declaration refuses must end in one line with
-- this file's name and the line of the call.
require("spec.helper")
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local fsam = require("fsam")
local lfs = require("lfs")

-- What no or hardly any argument is. `gap` stands for nil.
local gap = {}
local WRONG = { gap, true, -7.5, 0 / 0, "no such thing", {}, { 1, 2 }, { nonsense = 1 },
  function() end, 1LL, io.stdout, require("ffi").cast("fsam_device *", nil) }

local function world()
  local vocab = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b" }
  local w = { vocab = vocab, device = fsam.device.open("cpu"),
    tokenizer = fsam.text.wordpiece({ vocab = vocab }) }
  w.model = fsam.models.new({ device = w.device, arch = "tiny", vocab_size = #vocab,
    labels = { "no", "yes" } })
  w.pass, w.params = fsam.pass.new({ model = w.model }), w.model.params
  w.batch = fsam.data.packing.pack({ { ids = { 2, 5, 3 }, label = 1 } }, { pad_id = 0 })
  w.optimizer = fsam.step.build({ params = w.params, optimizer = "adam" })
  w.evaluate = w.pass:bind({ step = 0, batches = { w.batch }, training = false })
  w.view = fsam.landscape.new({ model = w.model, pass = w.pass, batches = { w.batch } })
  w.arena = fsam.device.arena(w.device, "spec")
  w.tensor = fsam.tensor.new(w.arena, "f32", { 2, 2 }, "spec", true)
  w.tape = fsam.tape.new({ arena = w.arena, batch = require("ffi").new("fsam_batch"),
    training = true })
  return w
end

-- Those of ops and of the tape.
local function examples_of_passes(w)
  local tape, x = w.tape, w.tensor
  local view = { parameters = {}, value = x }
  local drop = tape:dropout(0.5, 1)
  local norm = { gamma = view, beta = view, eps = 0 }
  local group = { width = 1, members = { { weight = view, bias = view } }, one_gradient = true,
    weight = view, bias = view }
  return {
    ["fsam.ops.linear"] = { tape, x, view, view, "y" },
    ["fsam.ops.linear_group"] = { tape, x, group, "y" },
    ["fsam.ops.activation"] = { tape, x, view, "relu", "y" },
    ["fsam.ops.tanh"] = { tape, x, "y" }, ["fsam.ops.gather"] = { tape, x, "y" },
    ["fsam.ops.dropout"] = { tape, x, drop, "y" },
    ["fsam.ops.residual_layernorm"] = { tape, x, view, x, norm, drop, "y" },
    ["fsam.ops.embedding"] = { tape, { word = view, position = view, token_type = view }, norm,
      drop, "y" },
    ["fsam.ops.attention"] = { tape, x, 1, drop, "y" },
    ["fsam.ops.loss"] = { tape, { compute = function() end }, x, x, x,
      { weights = x, smoothing = 0 } },
    ["fsam.tape.new"] = { { arena = w.arena, batch = tape.batch, training = true,
      grads = { write = function() end, wants = function() end } } },
    ["fsam.tape.tensor"] = { tape, "f32", { 1 }, "x" }, ["fsam.tape.dropout"] = { tape, 0.5, 1 },
    ["fsam.tape.wants"] = { tape, x }, ["fsam.tape.grad"] = { tape, x },
    ["fsam.tape.record"] = { tape, x, true, function() end },
    ["fsam.tape.weight_grad"] = { tape, view }, ["fsam.tape.trains"] = { tape, view },
    ["fsam.tape.part"] = { tape, view }, ["fsam.tape.meet"] = { tape },
    ["fsam.tape.seed"] = { tape, x, x }, ["fsam.tape.backward"] = { tape },
    ["fsam.json.decode"] = { "1", "x", true, true }, ["fsam.json.array"] = { {} },
    ["fsam.json.encode"] = { 1, { indent = true, order = { "a" } } },
    ["fsam.show.number"] = { 1 }, ["fsam.show.show"] = { {}, 80 },
  }
end

-- Arguments that fit, by function; each mistake is one change of these.
local function examples(w)
  local corpus = { name = "spec", train = { samples = { { text = "a" } } },
    dev = { samples = { { text = "b" } } } }
  local model, params, v = w.model, w.params, w.params.g
  return {
    ["fsam.device.open"] = { "cpu" }, ["fsam.device.arena"] = { w.device, "x" },
    ["fsam.device.threads"] = { 1 }, ["fsam.device.precision"] = { "auto", w.device },
    ["fsam.device.gpu"] = { w.device }, ["fsam.device.describe"] = { w.device },
    ["fsam.device.usage"] = { w.arena }, ["fsam.device.unused_gpu"] = { w.device },
    ["fsam.tensor.new"] = { w.arena, "f32", { 2 }, "x", true },
    ["tensor:view"] = { w.tensor, { 2 }, 0, "x" }, ["tensor:columns"] = { w.tensor, 0, 1, "x" },
    ["tensor:copy"] = { w.tensor, w.tensor }, ["tensor:fill"] = { w.tensor, 1 },
    ["tensor:write"] = { w.tensor, { 1, 2, 3, 4 } },
    ["fsam.models.new"] = { { device = w.device, arch = "tiny", vocab_size = 9, pad_id = 0,
      labels = { "a" }, seed = 1, precision = "fp32", head_init = "hf", freeze = {},
      dropout = 0, attention_dropout = 0, pooler_dropout = 0 } },
    ["fsam.models.load"] = { { device = w.device, path = "x", freeze = {}, seed = 1 } },
    ["fsam.models.define"] = { "x", {} }, ["fsam.load"] = { "x", { device = "cpu", seed = 1 } },
    ["model:save"] = { model, "x" }, ["fsam.params.new"] = { w.device, { {} }, {} },
    ["fsam.pass.new"] = { { model = model, loss = "mse", seed = 1, dropout_rng = "fresh",
      ranks = fsam.ranks.alone } },
    ["fsam.pass.bind"] = { w.pass, { step = 0, batches = { w.batch }, training = true } },
    ["fsam.pass.predict"] = { w.pass, w.batch },
    ["evaluate"] = { { into = v, backward = true, choice = { 0 }, draw = 0, mean_over = 1,
      batches = { w.batch }, alone = true, accumulate = false, skip = {} } },
    ["fsam.step.build"] = { { params = params, optimizer = "sam", sam_type = "sam", seed = 1,
      base_optimizer = "adam", options = { rho = 0.1 }, sampler = function() end } },
    ["optimizer:step"] = { w.optimizer, { evaluate = w.evaluate, step = 0, lr = 0.1, samples = 1,
      lr_peak = 1, lr_end = 0, progress = 0, micro_batches = 1, train_samples = 1,
      ranks = fsam.ranks.alone, diagnose = false, observers = {} } },
    ["fsam.data.packing.pack"] = { { { ids = { 1 } } }, { pad_id = 0, position_offset = 0,
      first_ordinal = 0, token_bucket = 8, sample_bucket = 8, regression = false } },
    ["fsam.data.packing.choose"] = { w.batch, { 1 } },
    ["fsam.data.task.new"] = { { row = { metrics = { "loss" } }, corpus = corpus, model = model,
      tokenizer = w.tokenizer, options = { seed = 1, batch_size = 2 } } },
    ["fsam.text.wordpiece"] = { { vocab = w.vocab, lowercase = true, strip_accents = true,
      chinese = true, files = {}, name = "x" } },
    ["fsam.text.bpe"] = { { ids = { a = 1 }, merges = { { "a", "b" } }, name = "x" } },
    ["fsam.text.load"] = { "x" }, ["fsam.formats.open"] = { "x" },
    ["fsam.data.tsv.read"] = { "x", 2, { "a", "b" } },
    ["fsam.schedule.new"] = { "fixed", { lr = 1, total_num_update = 2, warmup_updates = 0,
      power = 1, end_learning_rate = 0 } },
    ["fsam.ranks.new"] = { { rank = 0, size = 1 } },
    ["fsam.landscape.new"] = { { model = model, pass = w.pass, batches = { w.batch } } },
    ["view:loss"] = { w.view, v }, ["view:gradient"] = { w.view, v, v },
    ["view:line"] = { w.view, v, 1, 3 }, ["view:plane"] = { w.view, v, v, 1, 3 },
    ["params:vector"] = { params, "x" }, ["params:scratch"] = { params, "x" },
    ["params:mask"] = { params, "x" }, ["params:scalar"] = { params, "x", 1 },
    ["params:each"] = { params, function() end }, ["params:touch"] = { params, v },
    ["params:view"] = { params, v, "classifier.bias" },
    ["params:grad"] = { params, "classifier.bias", v },
    ["fsam.train.flags.spec"] = { { name = "x", task = "cola", usage = "x", summary = "x" } },
    ["fsam.data.sampling.places"] = { 1, 2, { seed = 1, step = 1, stream = 1 } },
    ["fsam.metrics.better"] = { "loss", 1, 2 }, ["fsam.data.mt19937.new"] = { 1 },
  }
end

-- spec/helper.lua puts its own in the place of this one.
local UNCHECKED = { ["fsam.device.open"] = true }

local called = 0

-- Calls a function with a mistake. What the declaration lets through is no mistake.
local function try(name, fn, list, n)
  if not arguments.fault(name, unpack(list, 1, n)) then
    return
  end
  called = called + 1
  local ok, err = pcall(fn, unpack(list, 1, n))
  local text = tostring(err)
  assert(not ok and errors.is(err) and err.placed
    and text:find("^%S*spec/lua/base/arguments_spec%.lua:%d+: [^\n]+$"), name .. ": " .. text)
end

local function changed(from, key, value)
  local copy = {}
  for k, old in pairs(from) do
    copy[k] = old
  end
  if value == gap then
    value = nil
  end
  copy[key] = value
  return copy
end

local function mistakes(name, fn, list, declaration)
  local own = declaration.self and 1 or 0
  local n = #declaration + own
  try(name, fn, {}, 0)
  try(name, fn, changed(list, n + 1, "more"), n + 1)
  for i = 1, n do
    for _, value in ipairs(WRONG) do
      try(name, fn, changed(list, i, value), n)
    end
    local shapes = i > own and declaration[i - own].fields
    if shapes and type(list[i]) == "table" then
      try(name, fn, changed(list, i, changed(list[i], "nonsense", 1)), n)
      for field in pairs(shapes) do
        try(name, fn, changed(list, i, changed(list[i], field .. "x", 1)), n)
        for _, value in ipairs(WRONG) do
          try(name, fn, changed(list, i, changed(list[i], field, value)), n)
        end
      end
    end
  end
end

-- Loads every module that `fsam` names, and those of fsam.data.
local function load_all()
  for _, name in ipairs(getmetatable(fsam).__names()) do
    local _ = fsam[name]
  end
  for file in lfs.dir("lua/fsam/data") do
    local _ = fsam.data[file:gsub("%.lua$", "")]
  end
end

describe("public functions", function()
  load_all()
  local w = world()
  local valid = examples(w)
  for name, list in pairs(examples_of_passes(w)) do
    valid[name] = list
  end

  for name, declaration in pairs(arguments.all()) do
    local fn = declaration.door or name == "evaluate" and w.evaluate
    if fn and not declaration.inside then
      it("answers mistakes in the caller's line: " .. name, function()
        if valid[name] then
          assert.is_nil(arguments.fault(name, unpack(valid[name])))
        end
        mistakes(name, fn, valid[name] or {}, declaration)
      end)
    end
  end

  it("of a face do the same, and what is put there is the library's", function()
    local inner = require("fsam.pass.ops")
    local y = fsam.ops.tanh(w.tape, w.tensor:fill(0.5), "y")
    assert.near(math.tanh(0.5), y:read()[1], 1e-6)
    assert.not_equal(inner.tanh, fsam.ops.tanh)
    fsam.ops.of_the_spec = print
    assert.equal(print, inner.of_the_spec)
    fsam.ops.of_the_spec = nil
    assert.is_nil(inner.of_the_spec)
    assert.equal('{"a": [1]}', fsam.json.encode(fsam.json.decode('{"a":[1]}')))
  end)

  -- An empty path in front of a file's name is the root folder, and C ends a path at a NUL byte.
  it("take no path that is empty or holds a NUL byte", function()
    local paths, taken = { path = true, folder = true, file = true, from = true, to = true }, {}
    for name, declaration in pairs(arguments.all()) do
      for _, argument in ipairs(declaration) do
        local shapes = argument.fields or { [argument.name] = argument.shape }
        for field, shape in pairs(shapes) do
          if paths[field] and shape("a", field) == nil and shape({}, field) ~= nil
              and (shape("", field) == nil or shape("a\0b", field) == nil) then
            taken[#taken + 1] = name .. "." .. field
          end
        end
      end
    end
    assert.same({}, taken)
  end)

  it("are declared, all that a name leads to", function()
    local missing, seen = {}, {}
    local function walk(value, path)
      if type(value) == "function" then
        if not (arguments.of(value) or UNCHECKED[path]) then
          missing[#missing + 1] = path
        end
      elseif type(value) == "table" and not seen[value] then
        seen[value] = true
        local meta = getmetatable(value)
        if next(value) == nil and type(meta) == "table" then
          walk(rawget(meta, "__index"), path)
        end
        for key, inner in pairs(value) do
          if type(key) == "string" and key:sub(1, 2) ~= "__" and not key:find("shape$") then
            walk(inner, path .. "." .. key)
          end
        end
      end
    end
    for _, name in ipairs(getmetatable(fsam).__names()) do
      walk(fsam[name], "fsam." .. name)
    end
    table.sort(missing)
    assert.equal("", table.concat(missing, " "))
  end)

  it("are called wrongly thousands of times", function()
    assert.is_true(called > 2000, called .. " calls")
    require("spec.helper").note("public functions", function()
      return called .. " wrong calls answered"
    end)
  end)
end)
