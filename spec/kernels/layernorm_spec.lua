-- Layer normalisation with the bias, dropout and residual before it.
local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local stage = require("spec.kernels.stage")

local EPS = 1e-5

--- z = residual + dropout(x + b), then y and the statistics, in doubles.
local function closed_form(v, case)
  local H, y, z, stats = case.width, {}, {}, {}
  for r = 1, #v.x / H do
    local at, sum, squares = (r - 1) * H, 0, 0
    for c = 1, H do
      local u = v.x[at + c] + (v.b and v.b[c] or 0)
      if case.keep and case.keep[at + c] then
        u = u * case.keep[at + c]
      end
      z[at + c] = u + (v.residual and v.residual[at + c] or 0)
      sum = sum + z[at + c]
    end
    local mean = sum / H
    for c = 1, H do
      squares = squares + (z[at + c] - mean) ^ 2
    end
    local scale = 1 / math.sqrt(squares / H + EPS)
    for c = 1, H do
      y[at + c] = (z[at + c] - mean) * scale * v.gamma[c] + v.beta[c]
    end
    stats[2 * r - 1], stats[2 * r] = mean, scale
  end
  return { y = y, z = z, stats = stats }
end

local function make(name, width, fields)
  local case = {
    name = name,
    width = width,
    lengths = { 5, 0, 1, 9, 4 },
    expect = closed_form,
    tolerance = { f32 = 2e-6, bf16 = 1e-2 },
    outputs = {},
    gradients = { { "gamma", "f32" }, { "beta", "f32" }, { "x", "act" } },
  }
  for key, value in pairs(fields) do
    case[key] = value
  end
  local rows = runner.rows(case)
  case.inputs = { { "x", "act", { rows, width } }, { "gamma", "f32", { width } },
    { "beta", "f32", { width } } }
  if case.b then
    table.insert(case.inputs, { "b", "f32", { width } })
    table.insert(case.gradients, { "b", "f32" })
  end
  if case.residual then
    table.insert(case.inputs, { "residual", "act", { rows, width } })
    table.insert(case.gradients, { "residual", "act" })
  end
  case.outputs = { { "y", "act", { rows, width } }, { "z", "act", { rows, width } },
    { "stats", "f32", { rows, 2 } } }
  if case.p then
    case.dropout = C.ffi.new("fsam_dropout", { p = case.p, site = 5 })
    case.pass = { seed = 3, step = 4 }
    case.keep = runner.keep_rows(case, width)
  end
  function case.forward(t, batch)
    return C.lib.fsam_layernorm_forward(t.y, t.z, t.stats, t.x, t.b, t.residual, t.gamma, t.beta,
      EPS, batch, case.dropout)
  end
  function case.backward(t, batch)
    return C.lib.fsam_layernorm_backward(t.dx, t.dresidual, t.db, t.dgamma, t.dbeta, t.dy, t.z,
      t.stats, t.gamma, batch, case.dropout)
  end
  return case
end

local cases = {
  make("alone", 16, {}),
  make("with a bias, a residual and dropout", 40, { b = true, residual = true, p = 0.1 }),
  make("with a tail", 40, { b = true, residual = true, p = 0.1, tail = 3 }),
  make("in rows of odd length", 21, { residual = true, p = 0.5, tail = 1 }),
  make("in rows wider than a batch of bits", 150, { b = true, p = 0.3 }),
  make("over several threads", 260, { b = true, residual = true, p = 0.1,
    lengths = { 20, 1, 17 }, tail = 2 }),
}

--- Runs a case in f32 after `change` has changed its tensors.
local function finished(case, change)
  local s = stage.new(case, "f32")
  s:add_gradients(0)
  change(s.t)
  s:run(2)
  return s
end

runner.define("layernorm", cases, function()
  it("may write z over x, and dx over dy", function()
    local plain = finished(cases[3], function() end)
    local aliased = finished(cases[3], function(t)
      t.z, t.dx = t.x, t.dy
    end)
    for _, name in ipairs({ "y", "z", "dx", "dresidual", "dgamma", "db" }) do
      assert.same(plain.t[name]:read(), aliased.t[name]:read(), name)
    end
    plain:close()
    aliased:close()
  end)

  it("computes no gradient that is NULL", function()
    local plain = finished(cases[3], function() end)
    for _, name in ipairs({ "dx", "dresidual", "db", "dgamma", "dbeta" }) do
      local only = finished(cases[3], function(t)
        for _, other in ipairs({ "dx", "dresidual", "db", "dgamma", "dbeta" }) do
          t[other] = other == name and t[other] or nil
        end
      end)
      assert.same(plain.t[name]:read(), only.t[name]:read(), name)
      only:close()
    end
    plain:close()
  end)

  it("names an argument whose shape does not fit", function()
    local case = make("", 16, {})
    case.inputs[2][3] = { 15 }
    local ok, message = pcall(runner.forward, case)
    assert.is_false(ok)
    assert.equal("layernorm_forward: gamma (gamma) is [15] f32, expected [16] f32",
      tostring(message))
  end)
end)
cases.make = make
return cases
