-- Passes and the tape: what memory a pass takes, that unwanted gradients are not computed, that a
-- sample's dropout follows it wherever it is packed.
local Pass = require("fsam.pass")
local batches = require("fsam.data.packing")
local config_json = require("fsam.models.config")
local devices = require("fsam.base.device")
local helper = require("spec.helper")
local models = require("fsam.models")

local function new_model(layers, extra)
  local o = {
    device = devices.open("cpu"), labels = { "a", "b" }, seed = 4,
    config = config_json.check({
      model_type = "bert", vocab_size = 30, hidden_size = 64, num_hidden_layers = layers,
      num_attention_heads = 2, intermediate_size = 128, max_position_embeddings = 64,
      hidden_dropout_prob = 0.2, attention_probs_dropout_prob = 0.2, initializer_range = 0.1,
    }, "pass_spec"),
  }
  for key, value in pairs(extra or {}) do
    o[key] = value
  end
  return models.new(o)
end

local function samples(count, length)
  local list = {}
  for i = 1, count do
    local ids = {}
    for k = 1, length + i % 3 do
      ids[k] = 1 + (i * 11 + k * 7) % 29
    end
    list[i] = { ids = ids, label = i % 2 }
  end
  return list
end

local function run(model, list, request, seed)
  local pass = Pass.new({ model = model, seed = seed or 1 })
  request.into = request.into or model.params.g
  local evaluate = pass:bind({ step = 3, batches = list, training = true })
  return evaluate(request), pass, evaluate
end

local function largest(values)
  local found = 0
  for _, x in ipairs(values) do
    found = math.max(found, math.abs(x))
  end
  return found
end

describe("a pass", function()
  it("takes the memory of its activations and little more for the way back", function()
    local list = { batches.pack(samples(16, 20), { pad_id = 0 }) }
    local peaks = {}
    for _, layers in ipairs({ 2, 8 }) do
      local model = new_model(layers)
      local _, forward = run(model, list, { backward = false })
      local _, both = run(model, list, { backward = true })
      peaks[layers] = { forward:memory().peak, both:memory().peak }
    end
    -- Layers share the memory of gradients: six more layers cost backward no more of it.
    local backward = { peaks[2][2] - peaks[2][1], peaks[8][2] - peaks[8][1] }
    assert.is_true(peaks[8][1] > 3 * peaks[2][1])
    assert.is_true(backward[2] < backward[1] * 1.1)
  end)

  it("gives zero for what is frozen or skipped, and for the rest what it gives without", function()
    local list = { batches.pack(samples(6, 9), { pad_id = 0 }) }
    local model = new_model(2)
    run(model, list, { backward = true })
    local whole = {}
    for _, parameter in ipairs(model.params.parameters) do
      whole[parameter.name] = model.params:grad(parameter):read()
    end
    local out = {}
    for i, parameter in ipairs(model.params.parameters) do
      out[parameter] = i % 3 == 0 or nil -- some queries, keys and values, not all
    end
    run(model, list, { backward = true, skip = out })
    for _, parameter in ipairs(model.params.parameters) do
      local got = model.params:grad(parameter):read()
      if out[parameter] then
        assert.equal(0, largest(got), parameter.name)
      else
        assert.same(whole[parameter.name], got, parameter.name)
      end
    end
    local frozen = new_model(2, { freeze = { "embeddings", "layer.0" } })
    run(frozen, list, { backward = true })
    for _, parameter in ipairs(frozen.params.parameters) do
      local got = frozen.params:grad(parameter):read()
      if parameter.frozen then
        assert.equal(0, largest(got), parameter.name)
      else
        assert.near_relative(whole[parameter.name], got, 1e-5, parameter.name)
      end
    end
  end)

  it("multiplies nothing for the weight gradients that are skipped", function()
    -- Another process, whose library counts the elements of the products that passes ask for.
    local code, out, err = helper.fsam_lua({ env = "LUA_PATH='./?.lua;./?/init.lua;;'", "-e", [[
      local C = require("fsam.C")
      local real, products = C.lib, 0
      C.lib = setmetatable({ fsam_linear_backward_weight = function(dw, ...)
        products = products + (dw and tonumber(dw:count()) or 0)
        return real.fsam_linear_backward_weight(dw, ...)
      end }, { __index = real })
      local bert = require("spec.lua.small_bert")
      local model, _, _, pass = bert.setup({ optimizer = "adam" })
      local evaluate = pass:bind({ step = 0, batches = { bert.pack(model, 0, 8) } })
      for every = 1, 3 do
        local out, expected, fused = {}, 0, {}
        for i, parameter in ipairs(model.params.parameters) do
          out[parameter] = i % every ~= 0 or nil
          if not out[parameter] and #parameter.shape == 2 and parameter.kind ~= "embedding" then
            -- Query, key and value are one product, made when one of them is wanted.
            local qkv = parameter.name:match("^(.*attention%.self)")
            if not (qkv and fused[qkv]) then
              expected = expected + parameter.count * (qkv and 3 or 1)
            end
            fused[qkv or 0] = true
          end
        end
        products = 0
        evaluate({ into = model.params.g, backward = true, skip = out })
        print(expected, products)
      end
    ]] })
    assert.equal(0, code, err)
    local cases, elements = 0, {}
    for expected, products in out:gmatch("(%d+)%s+(%d+)") do
      cases, elements[expected] = cases + 1, true
      assert.equal(expected, products)
    end
    assert.equal(3, cases)
    assert.is_nil(elements["0"])
  end)

  it("changes no bit of what is kept, whatever it skips", function()
    local model = new_model(2)
    local list = { batches.pack(samples(6, 9), { pad_id = 0 }),
      batches.pack(samples(5, 7), { pad_id = 0, first_ordinal = 6 }) }
    local P, whole = model.params, {}
    run(model, list, { backward = true })
    for _, parameter in ipairs(P.parameters) do
      whole[parameter.name] = P:grad(parameter):read()
    end
    local function kept_only(name)
      return function(parameter) return parameter.name ~= name end
    end
    local layer = "bert.encoder.layer.0."
    for name, skips in pairs({
      ["a query alone"] = kept_only(layer .. "attention.self.query.weight"),
      ["a key's bias alone"] = kept_only(layer .. "attention.self.key.bias"),
      ["a bias above which nothing is kept"] = kept_only(layer .. "intermediate.dense.bias"),
      ["half of a norm"] = kept_only(layer .. "output.LayerNorm.bias"),
      ["a table"] = kept_only("bert.embeddings.token_type_embeddings.weight"),
      ["all but a value"] = function(parameter)
        return parameter.name == layer .. "attention.self.value.weight"
      end,
    }) do
      local skip = {}
      for _, parameter in ipairs(P.parameters) do
        skip[parameter] = skips(parameter) or nil
      end
      run(model, list, { backward = true, skip = skip })
      for _, parameter in ipairs(P.parameters) do
        local got = P:grad(parameter):read()
        if skip[parameter] then
          assert.equal(0, largest(got), name .. ": " .. parameter.name)
        else
          assert.same(whole[parameter.name], got, name .. ": " .. parameter.name)
        end
      end
    end
  end)

  it("refuses to skip parameters when it adds to a gradient", function()
    local model = new_model(1)
    local one = { batches.pack(samples(3, 5), { pad_id = 0 }) }
    local _, _, evaluate = run(model, one, { backward = true })
    local ok, err = pcall(evaluate, { backward = true, into = model.params.g, accumulate = true,
      skip = { [model.params.parameters[1]] = true } })
    assert.is_false(ok)
    assert.matches("a pass that adds to a gradient cannot skip parameters", tostring(err), 1, true)
  end)

  it("can give a mean's share, and add it to what a vector holds", function()
    local model, list = new_model(2), samples(6, 9)
    local one = { batches.pack(list, { pad_id = 0 }) }
    local P = model.params
    local _, _, evaluate = run(model, one, { backward = true })
    local whole = {}
    for _, parameter in ipairs(P.parameters) do
      whole[parameter.name] = P:grad(parameter):read()
    end
    local parts = P:scratch("parts")
    for k, choice in ipairs({ { 0, 1 }, { 2, 3, 4, 5 } }) do
      evaluate({ backward = true, into = parts, choice = choice, mean_over = 6,
        accumulate = k > 1 })
    end
    for _, parameter in ipairs(P.parameters) do
      assert.near(whole[parameter.name], P:grad(parameter, parts):read(), 1e-6, parameter.name)
    end
  end)

  it("keeps a sample's dropout in a chosen subset and in other micro-batches", function()
    local model, list = new_model(2), samples(8, 10)
    local one = { batches.pack(list, { pad_id = 0 }) }
    local all = run(model, one, { backward = false }):losses()
    local chosen = run(model, one, { backward = false, choice = { 1, 4, 7 } })
    assert.same({ 1, 4, 7 }, chosen:ordinals())
    assert.near({ all[2], all[5], all[8] }, chosen:losses(), 1e-5)
    local first, second = {}, {}
    for i, sample in ipairs(list) do
      table.insert(i <= 3 and first or second, sample)
    end
    local two = { batches.pack(first, { pad_id = 0 }),
      batches.pack(second, { pad_id = 0, first_ordinal = 3 }) }
    assert.near(all, run(model, two, { backward = false }):losses(), 1e-5)
    local other = run(model, one, { backward = false }, 2):losses()
    assert.is_true(math.abs(all[1] - other[1]) > 1e-4) -- another seed, other dropout
  end)

  it("draws the same dropout in both passes of a step, or anew on request", function()
    local model = new_model(2)
    local one = { batches.pack(samples(4, 10), { pad_id = 0 }) }
    local first, _, evaluate = run(model, one, { backward = false })
    local again = evaluate({ backward = false, into = model.params.g })
    assert.same(first:losses(), again:losses())
    local fresh = Pass.new({ model = model, seed = 1, dropout_rng = "fresh" })
    local draw = fresh:bind({ step = 3, batches = one, training = true })
    assert.same(first:losses(), draw({ backward = false }):losses())
    assert.is_not.same(first:losses(), draw({ backward = false }):losses())
  end)

  it("leaves its results readable until the next step", function()
    local model = new_model(1)
    local result = run(model, { batches.pack(samples(3, 5), { pad_id = 0 }) }, { backward = true })
    assert.equal(3, #result:logits())
    assert.is_true(result:correct() >= 0 and result:correct() <= 3)
    assert.near((result:losses()[1] + result:losses()[2] + result:losses()[3]) / 3, result:mean(),
      1e-9)
  end)
end)
