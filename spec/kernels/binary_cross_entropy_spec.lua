local C = require("fsam.C")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
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

local function layer(case)
  local B, n = #case.lengths, case.classes
  case.inputs = {
    { "logits", "f32", { B, n }, function(i)
      return (i * 29 % 61) / 6 - 5
    end },
    { "targets", "f32", { B, n }, function(i)
      return i * 7 % 3 / 2
    end },
  }
  if case.weighted then
    case.inputs[3] = { "weights", "f32", { n }, function(i)
      return (i * 5 % 7) / 4
    end }
  end
  case.outputs = { { "losses", "f32", { B } } }
  case.gradients = { { "logits", "f32" } }
  case.seeds, case.types, case.pass = {}, { "f32" }, { scale = case.scale }
  local function call(t, batch, d)
    return lib.fsam_binary_cross_entropy(t.losses, d, t.logits, t.targets,
      case.weighted and t.weights or nil, batch)
  end
  function case.forward(t, batch)
    return call(t, batch, nil)
  end
  function case.backward(t, batch)
    return call(t, batch, t.dlogits)
  end
  function case.expect(v)
    return { losses = losses_of(v, case) }
  end
  function case.loss(v)
    local total = 0
    for _, loss in ipairs(losses_of(v, case)) do
      total = total + case.scale * loss
    end
    return total
  end
  case.tolerance = { f32 = 4e-7 }
  case.gradient_tolerance = { f32 = 1e-6 }
  return case
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
    local lengths = {}
    for b = 1, rows do
      lengths[b] = 1
    end
    local losses, d = s:tensor("f32", { rows }), s:tensor("f32", { rows, columns })
    check(lib.fsam_binary_cross_entropy(losses, d, s:tensor("f32", { rows, columns }, x),
      s:tensor("f32", { rows, columns }, t), w and s:tensor("f32", { columns }, w) or nil,
      s:batch(lengths)))
    return losses, d
  end

  it("gives PyTorch's losses and gradients", function()
    local checked = 0
    for _, c in ipairs(json.decode(file.read("spec/golden/losses.json"), "losses.json")) do
      if c.name == "binary_cross_entropy" then
        local losses, d = run(c.rows, c.columns, c.logits, c.targets, c.weights)
        assert.near_relative(c.losses, losses, 1e-6)
        assert.near_relative(c.gradient, d, 1e-6)
        checked = checked + 1
      end
    end
    assert.equal(6, checked)
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
