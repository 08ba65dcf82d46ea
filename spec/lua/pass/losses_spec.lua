--- The losses of passes: in training with weights and smoothing, in validation plain, for each kind
-- of problem; gradients by the bias of the head, whose gradient is the mean of the logits'.
local C = require("fsam.C")
local Pass = require("fsam.pass")
local config_json = require("fsam.models.config")
local devices = require("fsam.base.device")
local losses = require("fsam.pass.losses")
local models = require("fsam.models")
local packing = require("fsam.data.packing")
local problems = require("fsam.data.problems")

local NAMES = { "a", "b", "c" }

local function new_model(problem)
  return models.new({
    device = devices.open("cpu"), seed = 4, problem_type = problem, dropout = 0,
    attention_dropout = 0, pooler_dropout = 0, labels = problem ~= "regression" and NAMES or nil,
    regression = problem == "regression",
    config = config_json.check({
      model_type = "bert", vocab_size = 30, hidden_size = 16, num_hidden_layers = 1,
      num_attention_heads = 2, intermediate_size = 24, max_position_embeddings = 16,
      initializer_range = 0.6,
    }, "losses_spec"),
  })
end

-- The host batches of samples with these labels, so many in each.
local function pack(problem, labels, size)
  local options, list = problems.get(problem).packing(3), {}
  options.pad_id = 0
  for first = 1, #labels, size do
    local some = {}
    for i = first, math.min(first + size - 1, #labels) do
      some[#some + 1] = { ids = { 2, 3 + i * 5 % 20, 4 + i * 7 % 20 }, label = labels[i] }
    end
    options.first_ordinal = first - 1
    list[#list + 1] = packing.pack(some, options)
  end
  return list
end

local function log_softmax(row)
  local sum, list = 0, {}
  for _, x in ipairs(row) do
    sum = sum + math.exp(x)
  end
  for j, x in ipairs(row) do
    list[j] = x - math.log(sum)
  end
  return list
end

-- Loss and gradient of one row of logits, by the definitions.
local BY_DEFINITION = {
  single_label_classification = function(row, label, weights, smoothing)
    local logp, loss, d, total = log_softmax(row), 0, {}, 0
    local w = weights or { 1, 1, 1 }
    for j = 1, 3 do
      local share = smoothing / 3 * w[j] + (j - 1 == label and (1 - smoothing) * w[j] or 0)
      loss, total, d[j] = loss - share * logp[j], total + share, -share
    end
    for j = 1, 3 do
      d[j] = d[j] + total * math.exp(logp[j])
    end
    return loss, d
  end,
  multi_label_classification = function(row, label, weights)
    local loss, d, has = 0, {}, {}
    for _, class in ipairs(label) do
      has[class + 1] = true
    end
    for j, x in ipairs(row) do
      local p, w = 1 / (1 + math.exp(-x)), weights and weights[j] or 1
      loss = loss - w / 3 * math.log(has[j] and p or 1 - p)
      d[j] = w / 3 * (p - (has[j] and 1 or 0))
    end
    return loss, d
  end,
  regression = function(row, label)
    return (row[1] - label) ^ 2, { 2 * (row[1] - label) }
  end,
}

local LABELS = {
  single_label_classification = { 0, 2, 1, 2, 0 },
  multi_label_classification = { { 0 }, {}, { 0, 2 }, { 1 }, { 0, 1, 2 } },
  regression = { 0.5, -2, 300, 0, 1 },
}

local CASES = {
  { "single_label_classification" },
  { "single_label_classification", weights = { 0.5, 2, 0 } },
  { "single_label_classification", weights = { 0.5, 2, 1 }, smoothing = 0.2 },
  { "single_label_classification", smoothing = 0.1 },
  { "multi_label_classification" },
  { "multi_label_classification", weights = { 0.5, 2, 0 } },
  { "regression" },
}

describe("the losses of a pass", function()
  for i, case in ipairs(CASES) do
    it(("are each sample's own, and plain in validation, %d (%s)"):format(i, case[1]), function()
      local problem, labels = case[1], LABELS[case[1]]
      local model = new_model(problem)
      local pass = Pass.new({ model = model, loss = problems.get(problem).loss,
        class_weights = case.weights, label_smoothing = case.smoothing })
      for _, size in ipairs({ 5, 2 }) do
        local list = pack(problem, labels, size)
        local evaluate = pass:bind({ step = 0, batches = list, training = true })
        local result = evaluate({ into = model.params.g, backward = true })
        local expected, mean, logits = {}, {}, result:logits()
        for k, row in ipairs(logits) do
          local loss, d = BY_DEFINITION[problem](row, labels[k], case.weights, case.smoothing or 0)
          expected[k] = loss
          for j, slope in ipairs(d) do
            mean[j] = (mean[j] or 0) + slope / #labels
          end
        end
        assert.near_relative(expected, result:losses(), 2e-6)
        assert.near_relative(mean, model.params:grad("classifier.bias"), 2e-6)
        if size == 5 then
          local same, plain = pass:predict(list[1])
          assert.near_relative(logits[3], same[3], 1e-6)
          for k, row in ipairs(same) do
            assert.near(BY_DEFINITION[problem](row, labels[k], nil, 0), plain[k],
              2e-6 * math.max(1, plain[k]))
          end
        end
      end
    end)
  end

  it("are refused by name, and with settings that they do not take", function()
    local function refuses(message, problem, o)
      o.model = new_model(problem)
      local ok, err = pcall(Pass.new, o)
      assert.is_false(ok)
      assert.equal(message, tostring(err))
    end
    refuses("the loss hinge is unknown (binary_cross_entropy, cross_entropy, mse)", nil,
      { loss = "hinge" })
    refuses("--class-weights goes with classes; the loss here is mse", "regression",
      { loss = "mse", class_weights = { 1 } })
    refuses("--label-smoothing goes with one class for each text; the loss here is "
      .. "binary_cross_entropy", "multi_label_classification",
      { loss = "binary_cross_entropy", label_smoothing = 0.1 })
    refuses("the model has 3 labels, class_weights has 2 numbers", nil,
      { class_weights = { 1, 2 } })
  end)

  it("may be a user's own", function()
    losses.define("sevens", { labels = "i32", compute = function(out, d, logits, labels, batch)
      local status = C.lib.fsam_cross_entropy(out, d, logits, labels, batch)
      out:write({ 7, 7, 7, 7, 7, 0, 0, 0 })
      return status
    end })
    local model = new_model("single_label_classification")
    local pass = Pass.new({ model = model, loss = "sevens" })
    local _, found = pass:predict(pack("single_label_classification", { 0, 1 }, 2)[1])
    assert.same({ 7, 7 }, found)
  end)
end)

describe("problems", function()
  local answer = problems.get("multi_label_classification").answer({ 2, -1, 0.5 }, NAMES)

  it("answer several labels by their names", function()
    assert.same({ "a", "c" }, answer.chosen)
    assert.near({ 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1)), 1 / (1 + math.exp(-0.5)) },
      answer.probabilities, 1e-12)
  end)

  it("take names and numbers for labels", function()
    local several = problems.get("multi_label_classification")
    assert.same({ 0, 2 }, several.target({ "c", 0, "c" }, NAMES))
    assert.same({ 1 }, several.target("b", NAMES))
    assert.has_error(function()
      several.target({ "d" }, NAMES)
    end, "the model has no label d; it has a, b, c")
    for _, bad in ipairs({ 0, { 1, 1 }, { 2, 1 }, { 3 }, { -1 }, { 0.5 }, { "a" } }) do
      assert.equal("a list of classes from 0 to 2, in ascending order", several.fault(bad, 3))
    end
    assert.is_nil(several.fault({}, 3))
    assert.is_nil(several.fault({ 0, 2 }, 3))
  end)

  it("take for a score what f32 holds", function()
    local regression = problems.get("regression")
    assert.equal(-3e38, regression.target(-3e38))
    assert.is_nil(regression.fault(2.5))
    for text, bad in pairs({ inf = math.huge, ["1e+39"] = 1e39, nan = 0 / 0, yes = "yes",
      ["a table"] = {} }) do
      assert.equal("a number", regression.fault(bad))
      assert.has_error(function()
        regression.target(bad)
      end, "the model is a regression; it needs a number as label, got " .. text)
    end
  end)

  it("are those of Transformers' configurations", function()
    for expected, config in pairs({
      regression = { num_labels = 1 }, single_label_classification = { num_labels = 3 },
      multi_label_classification = { num_labels = 1, problem_type = "multi_label_classification" },
    }) do
      assert.equal(expected, problems.of_model(config).name)
    end
  end)
end)
