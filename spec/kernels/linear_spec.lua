local C = require("fsam.C")
local helper = require("spec.helper")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local lib, check = C.lib, C.check

-- y[T,N] = x[T,K] w[N,K]^T + b[N] in doubles.
local function product(v, case)
  local y, T, K, N = {}, case.T, case.K, case.N
  for t = 0, T - 1 do
    for n = 0, N - 1 do
      local sum = v.b and v.b[n + 1] or 0
      for k = 1, K do
        sum = sum + v.x[t * K + k] * v.w[n * K + k]
      end
      y[t * N + n + 1] = sum
    end
  end
  return { y = y }
end

local function forward(t)
  return lib.fsam_linear_forward(t.y, t.x, t.w, t.b)
end

local function backward(t)
  check(lib.fsam_linear_backward_input(t.dx, t.dy, t.w))
  return lib.fsam_linear_backward_weight(t.dw, t.db, t.dy, t.x)
end

-- A layer of these sizes; all gradients.
local function layer(case)
  local act = case.dtype or "act"
  case.inputs = { { "x", act, { case.T, case.K } }, { "w", act, { case.N, case.K } },
    { "b", "f32", { case.N } } }
  case.outputs = { { "y", act, { case.T, case.N } } }
  case.gradients = { { "x", act }, { "w", "f32" }, { "b", "f32" } }
  case.forward, case.backward = forward, backward
  case.expect, case.library = product, true
  case.tolerance = { f32 = 2e-6, bf16 = 5e-3 }
  return case
end

-- The three column blocks of one matrix, as the thirds of q, k, v: y is the middle one.
local function sliced(case)
  case = layer(case)
  table.insert(case.outputs, { "wide", "act", { case.T, 3 * case.N } })
  table.insert(case.inputs, { "source", "act", { case.T, 2 * case.K } })
  function case.forward(t)
    t.wide:fill(1)
    local x = t.source:columns(case.K, case.K)
    check(lib.fsam_linear_forward(t.wide:columns(case.N, case.N), x, t.w, t.b))
    return lib.fsam_linear_forward(t.y, x, t.w, t.b)
  end
  function case.backward(t)
    -- dy and dx as slices of wider matrices, whose other columns must not be read.
    local dy, dx = t.wide:columns(case.N, case.N), t.dsource:columns(case.K, case.K)
    local host, wide = t.dy:read(), t.wide:read()
    for i = 0, #host - 1 do
      wide[math.floor(i / case.N) * 3 * case.N + case.N + i % case.N + 1] = host[i + 1]
    end
    t.wide:write(wide)
    dx.filled = t.dsource.filled
    if dx.filled == 0 then
      t.dsource:fill(0)
    end
    check(lib.fsam_linear_backward_input(dx, dy, t.w))
    return lib.fsam_linear_backward_weight(t.dw, t.db, dy, t.source:columns(case.K, case.K))
  end
  function case.expect(v)
    local x = {}
    for i = 0, case.T * case.K - 1 do
      x[i + 1] = v.source[math.floor(i / case.K) * 2 * case.K + case.K + i % case.K + 1]
    end
    return product({ x = x, w = v.w, b = v.b }, case)
  end
  case.gradients = { { "source", "act" }, { "w", "f32" }, { "b", "f32" } }
  return case
end

local cases = {
  layer({ name = "on a batch with a tail", lengths = { 20, 14 }, tail = 3, T = 37, K = 24,
    N = 20 }),
  layer({ name = "on a batch without a tail", lengths = { 20, 14 }, T = 34, K = 24, N = 20 }),
  layer({ name = "at odd sizes", lengths = { 5 }, T = 5, K = 7, N = 3 }),
  layer({ name = "for two classes", lengths = { 32 }, T = 32, K = 40, N = 2, dtype = "f32",
    types = { "f32" } }),
  layer({ name = "on one row", lengths = { 1 }, T = 1, K = 1, N = 1 }),
  layer({ name = "with many rows and columns", lengths = { 150, 150 }, tail = 30, T = 330, K = 4,
    N = 135, gradient_tolerance = { f32 = 1e-4, bf16 = 2e-2 } }),
  sliced({ name = "between column slices", lengths = { 9, 4 }, tail = 2, T = 15, K = 8, N = 10 }),
}

runner.define("linear", cases, function()
  local s
  before_each(function()
    s = scratch.new()
  end)
  after_each(function()
    s:close()
  end)

  it("leaves out the bias, and gradients that are not asked for", function()
    local x, w = s:tensor("f32", { 2, 2 }, { 1, 2, 3, 4 }), s:tensor("f32", { 1, 2 }, { 5, 6 })
    local y, dw, db = s:tensor("f32", { 2, 1 }), s:tensor("f32", { 1, 2 }), s:tensor("f32", { 1 })
    check(lib.fsam_linear_forward(y, x, w, nil))
    assert.same({ 17, 39 }, y:read())
    check(lib.fsam_linear_backward_weight(dw, nil, y, x))
    assert.same({ 17 + 3 * 39, 2 * 17 + 4 * 39 }, dw:read())
    check(lib.fsam_linear_backward_weight(nil, db, y, x))
    assert.same({ 17 + 39 }, db:read())
  end)

  it("gives zeros, or what was there, for a batch without rows", function()
    local x, dy = s:tensor("bf16", { 0, 3 }), s:tensor("bf16", { 0, 2 })
    local dw, db = s:tensor("f32", { 2, 3 }, 7), s:tensor("f32", { 2 }, 7)
    dw.filled, db.filled = 1, 1
    check(lib.fsam_linear_backward_weight(dw, db, dy, x))
    assert.same({ 7, 7, 7, 7, 7, 7, 7, 7 }, { dw:read()[1], dw:read()[2], dw:read()[3],
      dw:read()[4], dw:read()[5], dw:read()[6], db:read()[1], db:read()[2] })
    dw.filled, db.filled = 0, 0
    check(lib.fsam_linear_backward_weight(dw, db, dy, x))
    assert.same({ 0, 0, 0, 0, 0, 0 }, dw:read())
    assert.same({ 0, 0 }, db:read())
    check(lib.fsam_linear_forward(dy, x, s:tensor("bf16", { 2, 3 }), nil))
  end)

  it("gives the same bits again, also after other products and another thread count", function()
    local function run(threads)
      check(lib.fsam_threads_set(threads))
      local random, values = runner.random("bits"), {}
      for i = 1, 96 * 64 do
        values[i] = random()
      end
      local x, y = s:tensor("f32", { 96, 64 }, values), s:tensor("f32", { 96, 96 })
      local dx, dw = s:tensor("f32", { 96, 64 }), s:tensor("f32", { 96, 64 })
      check(lib.fsam_linear_forward(y, x, x, nil))
      check(lib.fsam_linear_backward_input(dx, y, x))
      check(lib.fsam_linear_backward_weight(dw, nil, y, x))
      check(lib.fsam_threads_set(0))
      return { y:read(), dx:read(), dw:read() }
    end
    local first = run(2)
    run(1)
    assert.same(first, run(2))
  end)

  it("takes nothing from what lay in a gradient, and sums whole numbers exactly", function()
    local T, N, K = 420, 430, 24 -- more terms than a library sums in one go
    local function whole(rows, columns, step)
      local values = {}
      for i = 1, rows * columns do
        values[i] = i * step % 13 - 6
      end
      return values, s:tensor("f32", { rows, columns }, values)
    end
    local x, xs = whole(T, K, 5)
    local w, ws = whole(N, K, 7)
    local dy, dys = whole(T, N, 11)
    local dx, dw = s:tensor("f32", { T, K }, 0 / 0), s:tensor("f32", { N, K }, 0 / 0)
    check(lib.fsam_linear_backward_input(dx, dys, ws))
    check(lib.fsam_linear_backward_weight(dw, nil, dys, xs))
    -- [rows, K]: sums over terms of dy, at row * of_row + term * of_term, times rows of b.
    local function sums(rows, terms, of_row, of_term, b)
      local values = {}
      for row = 0, rows - 1 do
        for k = 1, K do
          local sum = 0
          for term = 0, terms - 1 do
            sum = sum + dy[row * of_row + term * of_term + 1] * b[term * K + k]
          end
          values[row * K + k] = sum
        end
      end
      return values
    end
    assert.same(sums(T, N, N, 1, w), dx:read())
    assert.same(sums(N, T, 1, N, x), dw:read())
  end)

  it("remembers more products than its cache holds", function()
    local x, w = s:tensor("f32", { 2200, 1 }, 3), s:tensor("f32", { 1, 1 }, 2)
    local y = s:tensor("f32", { 2200, 1 })
    for rows = 1, 2200 do
      check(lib.fsam_linear_forward(y:view({ rows, 1 }), x:view({ rows, 1 }), w, nil))
    end
    assert.equal(6, y:read()[2200])
  end)

  it("is as good in bf16 where the processor or the library cannot multiply bf16", function()
    local script = [[
      package.path = "./?.lua;" .. package.path
      local cases = dofile("spec/kernels/linear_spec.lua")
      for _, y in ipairs(require("spec.kernels.runner").forward(cases[1], "bf16").y) do
        print(("%.9g"):format(y))
      end]]
    local lists = {}
    for i, isa in ipairs({ "ALL", "AVX2" }) do
      local code, out, err = helper.fsam_lua({ env = "ONEDNN_MAX_CPU_ISA=" .. isa, "-e", script })
      assert.equal(0, code, err)
      lists[i] = {}
      for number in out:gmatch("%S+") do
        table.insert(lists[i], tonumber(number))
      end
    end
    assert.equal(37 * 20, #lists[1])
    assert.near_relative(lists[1], lists[2], 1 / 128)
  end)

  it("lets NaN through and keeps denormals of the bias gradient", function()
    local dy = s:tensor("f32", { 2, 2 }, { 0 / 0, 1e-42, 1, 2e-42 })
    local db = s:tensor("f32", { 2 })
    check(lib.fsam_linear_backward_weight(nil, db, dy, s:tensor("f32", { 2, 1 })))
    local got = db:read()
    assert.is_true(got[1] ~= got[1])
    assert.near(3e-42, got[2], 2e-45)
  end)

  it("names what does not fit", function()
    local x, w = s:tensor("f32", { 2, 3 }, 0, "x"), s:tensor("f32", { 4, 5 }, 0, "dense.weight")
    local y, b = s:tensor("f32", { 2, 4 }, 0, "y"), s:tensor("f32", { 3 }, 0, "dense.bias")
    assert.equal("linear_forward: w (dense.weight) is [4, 5] f32, expected [-1, 3] f32 (-1: any)",
      s:refused(lib.fsam_linear_forward(y, x, w, nil)))
    assert.equal("linear_forward: b (dense.bias) is [3] f32, expected [4] f32",
      s:refused(lib.fsam_linear_forward(y, x, s:tensor("f32", { 4, 3 }), b)))
    assert.equal("linear_forward: y (y) is [2, 4] f32, expected [2, 4] bf16",
      s:refused(lib.fsam_linear_forward(y, s:tensor("bf16", { 2, 3 }),
        s:tensor("bf16", { 4, 3 }), nil)))
    assert.equal("linear_backward_weight: dw (dense.weight) is [4, 5] f32, expected [4, 3] f32",
      s:refused(lib.fsam_linear_backward_weight(w, nil, y, x)))
    assert.equal("linear_backward_input: dx is missing",
      s:refused(lib.fsam_linear_backward_input(nil, y, w)))
  end)
end)

return cases
