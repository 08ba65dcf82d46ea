local C = require("fsam.C")
local loss_specs = require("spec.kernels.losses")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

-- losses[b] in doubles; empty samples 0.
local function losses_of(v, case)
  local losses, n = {}, case.classes
  for b, length in ipairs(case.lengths) do
    local max, sum = -math.huge, 0
    for j = 1, n do
      max = math.max(max, v.logits[(b - 1) * n + j])
    end
    for j = 1, n do
      sum = sum + math.exp(v.logits[(b - 1) * n + j] - max)
    end
    losses[b] = length > 0 and math.log(sum) + max - v.logits[(b - 1) * n + v.labels[b] + 1] or 0
  end
  return losses
end

local function layer(case)
  return loss_specs.layer(case, { of = losses_of, target = loss_specs.CLASSES, tolerance = 2e-7,
    gradient_tolerance = 5e-7, compute = function(t, batch, dlogits)
      return lib.fsam_cross_entropy(t.losses, dlogits, t.logits, t.labels, batch)
    end })
end

local cases = {
  layer({ name = "for two classes", lengths = { 3, 0, 1, 5 }, classes = 2, scale = 0.25 }),
  layer({ name = "for one class", lengths = { 3, 2 }, classes = 1, scale = 0.5 }),
  layer({ name = "for many classes", lengths = { 3, 2, 2 }, classes = 37, scale = -3 }),
}

runner.define("cross_entropy", cases, function()
  local s
  before_each(function()
    s = scratch.new()
  end)
  after_each(function()
    s:close()
  end)

  -- Losses and gradients (scale 1) of rows of logits, all with label 0.
  local function run(rows, classes)
    local flat, lengths = {}, {}
    for b, row in ipairs(rows) do
      lengths[b] = 1
      for j = 1, classes do
        flat[#flat + 1] = row[j]
      end
    end
    local logits, labels = s:tensor("f32", { #rows, classes }, flat), s:tensor("i32", { #rows })
    local losses, d = s:tensor("f32", { #rows }), s:tensor("f32", { #rows, classes })
    check(lib.fsam_cross_entropy(losses, d, logits, labels, s:batch(lengths)))
    return losses:read(), d:read()
  end

  it("is stable at huge and tiny logits", function()
    local losses, d = run({ { 1e30, -1e30 }, { -1e4, 1e4 }, { 1e-42, 0 }, { -1e38, -1e38 },
      { 0, -math.huge } }, 2)
    assert.same({ 0, 2e4 }, { losses[1], losses[2] })
    assert.near(math.log(2), losses[3], 1e-7)
    assert.near(math.log(2), losses[4], 1e-7)
    assert.equal(0, losses[5])
    assert.same({ 0, 0, -1, 1, -0.5, 0.5, -0.5, 0.5, 0, 0 }, d)
  end)

  it("keeps a NaN in its own row", function()
    local losses, d = run({ { 1, 1 }, { 1, 0 / 0 }, { 0 / 0, 1 } }, 2)
    assert.near(math.log(2), losses[1], 1e-7)
    assert.same({ -0.5, 0.5 }, { d[1], d[2] })
    for i = 2, 3 do
      assert.is_true(losses[i] ~= losses[i])
      assert.is_true(d[2 * i - 1] ~= d[2 * i - 1] and d[2 * i] ~= d[2 * i])
    end
  end)

  it("names the row of a label out of range, but not of an empty sample", function()
    local logits, losses = s:tensor("f32", { 3, 2 }), s:tensor("f32", { 3 }, 5)
    local labels = s:tensor("i32", { 3 }, { 9, 1, 2 }, "labels")
    assert.equal("cross_entropy: labels (labels): row 2 is 2, expected 0 to 1",
      s:refused(lib.fsam_cross_entropy(losses, nil, logits, labels, s:batch({ 0, 1, 1 }))))
    labels:write({ 9, 1, -1 })
    assert.equal("cross_entropy: labels (labels): row 2 is -1, expected 0 to 1",
      s:refused(lib.fsam_cross_entropy(losses, nil, logits, labels, s:batch({ 0, 1, 1 }))))
    check(lib.fsam_cross_entropy(losses, nil, logits, labels, s:batch({ 0, 1, 0 })))
    local got = losses:read()
    assert.same({ 0, 0 }, { got[1], got[3] })
    assert.near(math.log(2), got[2], 1e-7)
  end)

  it("names what does not fit", function()
    local logits, losses = s:tensor("f32", { 3, 2 }, 0, "logits"), s:tensor("f32", { 3 })
    local labels = s:tensor("f32", { 3 }, 0, "labels")
    assert.equal("cross_entropy: labels (labels) is [3] f32, expected [3] i32",
      s:refused(lib.fsam_cross_entropy(losses, nil, logits, labels, s:batch({ 1, 1, 1 }))))
    assert.equal("cross_entropy: logits (logits) is [3, 2] f32, expected [2, -1] f32 (-1: any)",
      s:refused(lib.fsam_cross_entropy(losses, nil, logits, labels, s:batch({ 1, 1 }))))
  end)
end)

return cases
