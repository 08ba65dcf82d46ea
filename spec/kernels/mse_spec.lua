local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

local SCALE = 0.125

local function losses_of(v, lengths)
  local losses = {}
  for b, length in ipairs(lengths) do
    losses[b] = length > 0 and (v.logits[b] - v.targets[b]) ^ 2 or 0
  end
  return losses
end

local LENGTHS = { 3, 0, 1, 5 }
local cases = {
  {
    name = "with an empty sample",
    lengths = LENGTHS,
    inputs = { { "logits", "f32", { 4, 1 } }, { "targets", "f32", { 4 } } },
    outputs = { { "losses", "f32", { 4 } } },
    gradients = { { "logits", "f32" } },
    seeds = {},
    types = { "f32" },
    pass = { scale = SCALE },
    tolerance = { f32 = 2e-7 },
    gradient_tolerance = { f32 = 1e-6 },
    forward = function(t, batch)
      return lib.fsam_mse(t.losses, nil, t.logits, t.targets, batch)
    end,
    backward = function(t, batch)
      return lib.fsam_mse(t.losses, t.dlogits, t.logits, t.targets, batch)
    end,
    expect = function(v)
      return { losses = losses_of(v, LENGTHS) }
    end,
    loss = function(v)
      local total = 0
      for _, loss in ipairs(losses_of(v, LENGTHS)) do
        total = total + SCALE * loss
      end
      return total
    end,
  },
}

runner.define("mse", cases, function()
  it("keeps a NaN in its own row, and none from an empty sample", function()
    local s = scratch.new()
    local logits = s:tensor("f32", { 3, 1 }, { 3, 0 / 0, 0 / 0 })
    local losses, d = s:tensor("f32", { 3 }), s:tensor("f32", { 3, 1 })
    check(lib.fsam_mse(losses, d, logits, s:tensor("f32", { 3 }, 1), s:batch({ 1, 1, 0 })))
    local loss, slope = losses:read(), d:read()
    assert.same({ 4, 0, 4, 0 }, { loss[1], loss[3], slope[1], slope[3] })
    assert.is_true(loss[2] ~= loss[2] and slope[2] ~= slope[2])
    s:close()
  end)

  it("names what does not fit", function()
    local s = scratch.new()
    local two, one = s:tensor("f32", { 2, 2 }, 0, "logits"), s:tensor("f32", { 2 })
    assert.equal("mse: logits (logits) is [2, 2] f32, expected [2, 1] f32",
      s:refused(lib.fsam_mse(one, nil, two, one, s:batch({ 1, 1 }))))
    s:close()
  end)
end)

return cases
