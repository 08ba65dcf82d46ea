local C = require("fsam.C")
local loss_specs = require("spec.kernels.losses")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

-- losses[b] in doubles; empty samples 0.
local function losses_of(v, case)
  local losses, n = {}, case.classes
  for b, length in ipairs(case.lengths) do
    local max, sum, total, label = -math.huge, 0, 0, v.labels[b] + 1
    local x = { unpack(v.logits, (b - 1) * n + 1, b * n) }
    for j = 1, n do
      max = math.max(max, x[j])
    end
    for j = 1, n do
      sum = sum + math.exp(x[j] - max)
    end
    local function part(j)
      return (v.weights and v.weights[j] or 1) * (math.log(sum) + max - x[j])
    end
    for j = 1, n do
      total = total + part(j)
    end
    losses[b] = length > 0 and (1 - case.smoothing) * part(label) + case.smoothing / n * total or 0
  end
  return losses
end

local function layer(case)
  return loss_specs.layer(case, { of = losses_of, target = loss_specs.CLASSES, tolerance = 4e-7,
    gradient_tolerance = 1e-6, compute = function(t, batch, dlogits, weights)
      return lib.fsam_weighted_cross_entropy(t.losses, dlogits, t.logits, t.labels, weights,
        case.smoothing, batch)
    end })
end

local cases = {
  layer({ name = "as plain cross entropy", lengths = { 3, 0, 1 }, classes = 3, scale = 0.25,
    smoothing = 0 }),
  layer({ name = "with weights", lengths = { 3, 0, 1, 5 }, classes = 2, scale = 0.25,
    smoothing = 0, weighted = true }),
  layer({ name = "smoothed, for one class", lengths = { 3, 2 }, classes = 1, scale = 0.5,
    smoothing = 0.2 }),
  layer({ name = "smoothed and weighted, for many classes", lengths = { 3, 2, 0, 2 },
    classes = 37, scale = -3, smoothing = 0.1, weighted = true }),
}

-- All of a case of losses.json on tensors of a scratch arena: losses, gradient (scale 1).
local function golden(s, c)
  local logits, d = s:tensor("f32", { c.rows, c.columns }, c.logits),
    s:tensor("f32", { c.rows, c.columns })
  local losses, labels = s:tensor("f32", { c.rows }), s:tensor("i32", { c.rows }, c.targets)
  local weights = c.weights and s:tensor("f32", { c.columns }, c.weights) or nil
  check(lib.fsam_weighted_cross_entropy(losses, d, logits, labels, weights, c.smoothing,
    s:batch(loss_specs.ones(c.rows))))
  return losses, d
end

runner.define("weighted_cross_entropy", cases, function()
  local s
  before_each(function()
    s = scratch.new()
  end)
  after_each(function()
    s:close()
  end)

  it("gives PyTorch's losses and gradients", function()
    assert.equal(12, loss_specs.as_golden("weighted_cross_entropy", function(c)
      return golden(s, c)
    end))
  end)

  it("charges nothing for a class that cannot be, and keeps a NaN in its own row", function()
    local logits = s:tensor("f32", { 3, 2 }, { 0, -math.huge, 1, 0 / 0, 1, 1 })
    local losses, d = s:tensor("f32", { 3 }), s:tensor("f32", { 3, 2 })
    check(lib.fsam_weighted_cross_entropy(losses, d, logits, s:tensor("i32", { 3 }, 0), nil, 0,
      s:batch({ 1, 1, 1 })))
    local loss, slope = losses:read(), d:read()
    assert.equal(0, loss[1])
    assert.same({ 0, 0, -0.5, 0.5 }, { slope[1], slope[2], slope[5], slope[6] })
    assert.near(math.log(2), loss[3], 1e-7)
    assert.is_true(loss[2] ~= loss[2] and slope[3] ~= slope[3] and slope[4] ~= slope[4])
  end)

  it("names what does not fit", function()
    local logits, losses = s:tensor("f32", { 2, 2 }, 0, "logits"), s:tensor("f32", { 2 })
    local labels, three = s:tensor("i32", { 2 }, { 0, 2 }, "labels"),
      s:tensor("f32", { 3 }, 1, "weights")
    local function refused(weights, smoothing)
      return s:refused(lib.fsam_weighted_cross_entropy(losses, nil, logits, labels, weights,
        smoothing, s:batch({ 1, 1 })))
    end
    assert.equal("weighted_cross_entropy: labels (labels): row 1 is 2, expected 0 to 1",
      refused(nil, 0))
    assert.equal("weighted_cross_entropy: weights (weights) is [3] f32, expected [2] f32",
      refused(three, 0))
    for _, wrong in ipairs({ 1, -0.5, 0 / 0 }) do
      assert.matches("^weighted_cross_entropy: smoothing is %S+, expected 0 to less than 1$",
        refused(nil, wrong))
    end
  end)
end)

return cases
