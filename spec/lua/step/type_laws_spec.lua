-- The laws of each registered sam-type and base optimizer, on the small BERT with dropout on: a new
-- one is tested as soon as it is registered. (Laws of the step as such: laws_spec.lua.)
local bert = require("spec.lua.small_bert")
local checkpoint = require("fsam.train.checkpoint")
local helper = require("spec.helper")
local optim = require("fsam.optim")
local sam = require("fsam.sam")

-- A policy without passes of its own, and two steps from one second pass to the next.
local COMMON = { fisher = "batch", k = 2, momentum = 0.9 }

local function case(title, o, precision, changes)
  local options = {}
  for _, from in ipairs({ COMMON, changes or {} }) do
    for key, value in pairs(from) do
      options[key] = value
    end
  end
  return { title = title, precision = precision, optimizer = o.optimizer, base = o.base,
    sam_type = o.sam_type, options = options, definition = o.definition }
end

-- Every sam-type on adam, and every base optimizer, plain and under sam.
local SUBJECTS = {}
for _, name in ipairs(sam.names()) do
  SUBJECTS[#SUBJECTS + 1] = { name, { sam_type = name, definition = sam.get(name) } }
end
for _, name in ipairs(optim.names()) do
  SUBJECTS[#SUBJECTS + 1] = { "plain " .. name, { optimizer = name } }
  SUBJECTS[#SUBJECTS + 1] = { "sam on " .. name, { base = name, sam_type = "sam",
    definition = sam.get("sam") } }
end

local BOTH = { "fp32", "bf16" } -- in bf16, a part of the working copy is f32

-- Declares a spec for each subject and precision; `applies` looks at a type's definition.
local function each(title, precisions, applies, test)
  for _, precision in ipairs(precisions) do
    for _, subject in ipairs(SUBJECTS) do
      local name, o = unpack(subject)
      if applies(o.definition) then
        it(("%s, %s: %s"):format(name, precision, title), function()
          test(function(changes)
            return case(name, o, precision, changes)
          end, o.definition)
        end)
      end
    end
  end
end

local function any()
  return true
end

describe("the laws of", function()
  -- Types that replace the base are not their base.
  local function wraps(t)
    return t and not t.update
  end

  local plain = {}
  each("rho = 0 is the base optimizer, bit for bit", BOTH, wraps, function(make)
    local o = make({ rho = 0, gamma = 1 })
    local base = o.base or "adam"
    local key = base .. o.precision
    plain[key] = plain[key] or bert.run(case("", { optimizer = base }, o.precision), 3)
    assert.is_true(plain[key] == bert.run(o, 3))
  end)

  each("a full mask changes no bit, a partial one does", BOTH, function(t)
    return t and t.masked
  end, function(make)
    local unmasked = make()
    unmasked.sam_type = unmasked.sam_type:gsub("^fisher%-", "")
    local dense = bert.run(unmasked, 3)
    assert.is_true(dense == bert.run(make({ keep_ratio = 1 }), 3))
    assert.is_false(dense == bert.run(make({ keep_ratio = 0.1 }), 3))
  end)

  each("w has no trace of e, and the working copy is w, rounded", BOTH, any, function(make)
    local still = make()
    still.lr = 0
    local model, step = bert.setup(still)
    local before = bert.bytes(model.params.w)
    for n = 0, 1 do
      step(n)
    end
    assert.is_true(before == bert.bytes(model.params.w))
    model, step = bert.setup(make())
    for n = 0, 1 do
      step(n)
      local left = bert.working_copy(model)
      model.params:sync()
      assert.is_true(left == bert.working_copy(model), n)
    end
  end)

  each("a gradient that is not finite changes nothing, in either pass", BOTH, any, function(make, t)
    local model, step, optimizer = bert.setup(make())
    step(0)
    local before = bert.snapshot(model)
    assert.is_string(step(1, (bert.poison(model, 0 / 0, 1))).skipped)
    assert.same(before, bert.snapshot(model))
    local seconds = 0
    for n = 2, 3 do
      local applied = optimizer.applied
      before = bert.snapshot(model)
      local poison, count = bert.poison(model, 0 / 0, 2)
      local skipped = step(n, poison).skipped
      assert.equal(count() == 2, skipped ~= nil)
      if skipped then
        seconds = seconds + 1
        assert.same(before, bert.snapshot(model))
        assert.equal(applied, optimizer.applied)
        local left = bert.working_copy(model)
        model.params:sync()
        assert.is_true(left == bert.working_copy(model))
      end
    end
    assert.equal(t ~= nil and t.passes == 2, seconds > 0)
  end)

  each("the same seed gives the same bits", BOTH, any, function(make)
    assert.is_true(bert.run(make(), 3) == bert.run(make(), 3))
  end)

  -- On sgd: other optimizers divide by small numbers or take signs, which enlarges rounding; so
  -- does aesam's comparison. All samples in the second pass, so that both choose the same.
  each("micro-batches are one batch, within rounding", BOTH, function(t)
    return t and not t.name:find("aesam")
  end, function(make)
    local o = make({ gamma = 1, keep_ratio = 1, momentum = 0 })
    o.base = "sgd"
    local _, one = bert.run(o, 2)
    o.micro = 3
    local _, two = bert.run(o, 2)
    local a, n = one.params.w:tensor():to_host()
    local b, worst = two.params.w:tensor():to_host(), 0
    for i = 0, n - 1 do
      worst = math.max(worst, math.abs(a[i] - b[i]))
    end
    assert.is_true(worst < (o.precision == "fp32" and 1e-6 or 2e-4), tostring(worst))
  end)

  each("a zero gradient perturbs nothing and divides by nothing", BOTH, any, function(make)
    local model, step = bert.setup(make())
    local zero = bert.poison(model, 0, nil, true)
    for n = 0, 1 do
      local info = step(n, zero)
      assert.is_nil(info.skipped)
      assert.equal(0, info.enorm)
    end
    for _, vector in ipairs(model.params:state().vectors) do
      local size = vector:norm():read()
      assert.is_true(size - size == 0, vector.name)
    end
  end)

  each("frozen parameters never move", BOTH, any, function(make)
    local o = make()
    o.freeze = { "embeddings", "layer.0" }
    local model, step = bert.setup(o)
    local function frozen()
      local list = {}
      for i, parameter in ipairs(model.params.parameters) do
        list[i] = parameter.frozen and { model.params:master(parameter):read(),
          model.params:weight(parameter):read() } or false
      end
      return list
    end
    local before, w = frozen(), bert.bytes(model.params.w)
    for n = 0, 1 do
      assert.is_nil(step(n).skipped)
    end
    assert.same(before, frozen())
    assert.is_false(w == bert.bytes(model.params.w))
  end)
end)

describe("sam is", function()
  for _, precision in ipairs(BOTH) do
    for name, changes in pairs({ esam = { beta = 1, gamma = 1 }, gsam = { alpha = 0 } }) do
      it(("%s without its difference, bit for bit, in %s"):format(name, precision), function()
        local plain = bert.run(case("", { sam_type = "sam" }, precision), 3)
        assert.is_true(plain == bert.run(case("", { sam_type = name }, precision, changes), 3))
        assert.is_false(plain == bert.run(case("", { sam_type = name }, precision), 3))
      end)
    end
  end
end)

describe("a resumed run is one without interruption:", function()
  local folder
  setup(function()
    folder = helper.temp_dir()
  end)
  teardown(function()
    helper.remove_dir(folder)
  end)

  -- Plain optimizers, and types with state or scalars of their own; masks with the fisher- forms.
  each("state, scalars and mask come back", BOTH, function(t)
    return not t or t.state or t.scalars
  end, function(make)
    local o = make()
    local _, whole = bert.run(o, 5)
    local model, step, optimizer = bert.setup(o)
    for n = 0, 1 do
      step(n)
    end
    o.path = folder .. "/checkpoint"
    checkpoint.save(o.path, { model = model, params = model.params,
      trainer = { optimizer = optimizer:state() } })
    model, step, optimizer = bert.setup(o)
    checkpoint.restore(o.path, model.params)
    optimizer:restore(checkpoint.trainer(o.path).optimizer)
    for n = 2, 4 do
      step(n)
    end
    assert.same(bert.snapshot(whole), bert.snapshot(model))
  end)
end)
