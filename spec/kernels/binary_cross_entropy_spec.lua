local C = require("fsam.C")
local loss_specs = require("spec.kernels.losses")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

-- losses[b] in doubles; empty samples 0.
local function losses_of(v, case)
  local losses, n = {}, case.classes
  for b, length in ipairs(case.lengths) do
    local sum = 0
    for j = 1, n do
      local x, t = v.logits[(b - 1) * n + j], v.targets[(b - 1) * n + j]
      local p = 1 / (1 + math.exp(-x))
      sum = sum - (v.weights and v.weights[j] or 1) * (t * math.log(p) + (1 - t) * math.log(1 - p))
    end
    losses[b] = length > 0 and sum / n or 0
  end
  return losses
end

local TARGETS = { name = "targets", type = "f32", wide = true, value = function(i)
  return i * 7 % 3 / 2
end }

local function layer(case)
  return loss_specs.layer(case, { of = losses_of, target = TARGETS, tolerance = 4e-7,
    gradient_tolerance = 1e-6, compute = function(t, batch, dlogits, weights)
      return lib.fsam_binary_cross_entropy(t.losses, dlogits, t.logits, t.targets, weights, batch)
    end })
end

local cases = {
  layer({ name = "for one label", lengths = { 3, 0, 1, 5 }, classes = 1, scale = 0.25 }),
  layer({ name = "for a few labels, weighted", lengths = { 3, 0, 2 }, classes = 3, scale = 0.5,
    weighted = true }),
  layer({ name = "for many labels", lengths = { 3, 2, 2 }, classes = 37, scale = -3 }),
}

runner.define("binary_cross_entropy", cases, function()
  local s
  before_each(function()
    s = scratch.new()
  end)
  after_each(function()
    s:close()
  end)

  local function run(rows, columns, x, t, w)
    local losses, d = s:tensor("f32", { rows }), s:tensor("f32", { rows, columns })
    check(lib.fsam_binary_cross_entropy(losses, d, s:tensor("f32", { rows, columns }, x),
      s:tensor("f32", { rows, columns }, t), w and s:tensor("f32", { columns }, w) or nil,
      s:batch(loss_specs.ones(rows))))
    return losses, d
  end

  it("gives PyTorch's losses and gradients", function()
    assert.equal(6, loss_specs.as_golden("binary_cross_entropy", function(c)
      return run(c.rows, c.columns, c.logits, c.targets, c.weights)
    end))
  end)

  it("is stable at huge logits, keeps what is almost nothing, and a NaN in its own row", function()
    local losses, d = run(5, 1, { 1e30, -1e30, 20, 0 / 0, -100 }, { 0, 0, 1, 1, 1 })
    local loss, slope = losses:read(), d:read()
    assert.near(1, loss[1] / 1e30, 1e-6)
    assert.same({ 0, 1, 0, 100, -1 }, { loss[2], slope[1], slope[2], loss[5], slope[5] })
    assert.near(1, loss[3] / math.exp(-20), 1e-6)
    assert.is_true(loss[4] ~= loss[4] and slope[4] ~= slope[4])
  end)

  it("names what does not fit", function()
    local logits, losses = s:tensor("f32", { 2, 3 }, 0), s:tensor("f32", { 2 })
    local targets = s:tensor("f32", { 2, 2 }, 0, "targets")
    assert.equal("binary_cross_entropy: targets (targets) is [2, 2] f32, expected [2, 3] f32",
      s:refused(lib.fsam_binary_cross_entropy(losses, nil, logits, targets, nil,
        s:batch({ 1, 1 }))))
  end)
end)

return cases
