-- The squares of a gradient's blocks, added up while the gradient is made (kernels/vector/
-- early_squares.cu): the norm that is made of them has the bits of one that reads the gradient, and
-- is used only where the gradient is what it was.
local C = require("fsam.C")
local helper = require("spec.helper")
local programs = require("spec.simt.programs")
local simt = require("spec.simt.device")
local small = require("spec.lua.small_bert")
local lib = C.lib

describe("the norm of a pass's gradient", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local SETTINGS = { precision = "bf16", sam_type = "fisher-sam", smaller = true }
  local device, model, pass, batch

  local function norm()
    return model.params.g:norm():read()
  end

  setup(function()
    device = programs.device(false, function()
      small.run(SETTINGS, 2)
      local on_cpu = small.setup(SETTINGS)
      on_cpu.params.g:norm():read()
    end)
    helper.on_device(device, function()
      local t = { small.setup(SETTINGS) }
      model, pass = t[1], t[4]
      batch = small.pack(model, 0, 6)
    end)
  end)

  local function evaluate(o)
    return helper.on_device(device, function()
      pass:bind({ step = 1, batches = o.batches or { batch }, training = true })({
        into = model.params.g, backward = true, accumulate = o.accumulate })
    end)
  end

  -- What the norm is with what is known, and without.
  local function both()
    local known = norm()
    return known, norm() -- each program ends what is known
  end

  it("has the same bits, plainly, recorded and from a graph", function()
    for _ = 1, 4 do
      evaluate({})
      local known, read = both()
      assert.is_true(known > 0)
      assert.equal(read, known)
    end
    assert.is_true(pass.graphs.counts.replayed >= 2)
  end)

  it("is made without reading the gradient again", function()
    evaluate({})
    local expected = norm()
    evaluate({})
    model.params.g.raw:fill(0) -- which says nothing of it
    assert.equal(expected, norm())
    assert.equal(0, norm())
  end)

  it("is read where a pass adds, is of several micro-batches, or of other samples", function()
    for _, o in ipairs({ { accumulate = true }, { batches = { batch, batch } } }) do
      evaluate({})
      evaluate(o)
      local known, read = both()
      assert.equal(read, known)
      evaluate(o)
      model.params.g.raw:fill(0)
      assert.equal(0, norm())
    end
  end)

  it("is read where others have written into it since", function()
    evaluate({})
    model.params.g.raw:fill(0)
    model.params:touch(model.params.g)
    assert.equal(0, norm())
    evaluate({})
    lib.fsam_squares_of(model.params.layout, nil)
    model.params.g.raw:fill(0)
    assert.equal(0, norm())
  end)
end)
