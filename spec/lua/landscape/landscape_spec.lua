-- fsam.landscape over a logistic model whose loss, gradient and Hessian are computed in f64 by
-- plain loops (logistic.lua), and over a quadratic.
local devices = require("fsam.base.device")
local landscape = require("fsam.landscape")
local logistic = require("spec.lua.logistic")
local params = require("fsam.vector.params")

local function new_view()
  local P = logistic.new_params()
  return landscape.new({ params = P, evaluate = logistic.evaluate_on(P, 0, {}) }), P
end

local function mean(list)
  local sum = 0
  for _, x in ipairs(list) do
    sum = sum + x
  end
  return sum / #list
end

-- Loss and gradient of the logistic model by loops.
local function by_loops(w)
  local losses, gradient = logistic.logistic(w, 0, logistic.ALL)
  return mean(losses), gradient
end

-- A vector of known values, and the same as a flat list.
local function known(P, name)
  local d, flat = P:scratch(name), {}
  for _, parameter in ipairs(P.parameters) do
    local values = {}
    for k = 1, parameter.count do
      values[k] = math.cos(#flat * 0.9 + 1)
      flat[#flat + 1] = values[k]
    end
    d:parameter(parameter):write(values)
  end
  P:touch(d)
  return d, flat
end

describe("a landscape's view", function()
  it("has the loss and the gradient at w and beside it, and leaves w and c as they were", function()
    local view, P = new_view()
    local w, c = logistic.read(P, "master"), logistic.read(P, "weight")
    local d, flat = known(P, "d")
    local loss, gradient = by_loops(logistic.moved(w, logistic.scaled(flat, 0.3)))
    assert.near(by_loops(w), view:loss(), 1e-7)
    assert.near(loss, view:loss(d * 0.3), 1e-6)
    local into = P:scratch("into")
    assert.near(loss, view:gradient(into, d * 0.3), 1e-6)
    local found = {}
    for _, parameter in ipairs(P.parameters) do
      for _, x in ipairs(into:parameter(parameter):read()) do
        found[#found + 1] = x
      end
    end
    assert.near(gradient, found, 1e-6)
    assert.same(w, logistic.read(P, "master"))
    assert.same(c, logistic.read(P, "weight"))
  end)

  it("puts c back also when a pass fails", function()
    local _, P = new_view()
    local w = logistic.read(P, "weight")
    local view = landscape.new({ params = P, evaluate = function()
      P:flush()
      assert.is_not.same(w, logistic.read(P, "weight"))
      error("no memory", 0)
    end })
    assert.has_error(function()
      view:loss(known(P, "d") * 1)
    end, "no memory")
    assert.same(w, logistic.read(P, "weight"))
  end)

  it("follows lines and planes, whose middle is the model itself", function()
    local view, P = new_view()
    local w = logistic.read(P, "master")
    local d, flat = known(P, "d")
    local line = view:line(d, 0.2, 5)
    assert.near({ -0.2, -0.1, 0, 0.1, 0.2 }, line.at, 1e-15)
    assert.equal(view:loss(), line.loss[3])
    for i, t in ipairs(line.at) do
      assert.near(by_loops(logistic.moved(w, logistic.scaled(flat, t))), line.loss[i], 1e-6)
    end
    local uphill, norm, loss = landscape.directions.gradient(view, "uphill")
    local _, g = by_loops(w)
    assert.near_relative(math.sqrt(logistic.dot(g, g)), norm, 1e-6)
    assert.near(1, uphill:norm():read(), 1e-6)
    assert.equal(loss, line.loss[3])
    local plane = view:plane(d, uphill, 0.1, 3)
    assert.equal(loss, plane.loss[2][2])
    assert.near(view:loss(d * 0.1 + uphill * -0.1), plane.loss[1][3], 1e-12) -- row: uphill
    assert.is_true(plane.loss[1][2] < loss and loss < plane.loss[3][2])
  end)
end)

describe("a landscape", function()
  it("is refused for a model that has other labels than the data", function()
    assert.has_error(function()
      landscape.new({ model = { params = logistic.new_params(), config = { num_labels = 3 } },
        labels = { "no", "yes" } })
    end, "the model has 3 labels, the data 2 (no, yes)")
  end)
end)

describe("a random direction", function()
  local specs = { { name = "m", kind = "matrix", shape = { 5, 7 } },
    { name = "e", kind = "embedding", shape = { 4, 6 } },
    { name = "stuck", kind = "matrix", shape = { 2, 3 }, frozen = true },
    { name = "h", kind = "head", shape = { 2, 5 } }, { name = "b", kind = "bias", shape = { 5 } },
    { name = "n", kind = "norm", shape = { 7 } } }
  local P

  before_each(function()
    P = params.new(devices.open("cpu"), specs)
    for i, parameter in ipairs(P.parameters) do
      local values = {}
      for k = 1, parameter.count do
        values[k] = math.sin(k * 1.3 + i) * i
      end
      if parameter.name == "e" then
        for k = 7, 12 do
          values[k] = 0 -- the second row, as a pad token's may be
        end
      end
      P:master(parameter):write(values)
    end
  end)

  it("has rows as long as the model's, and does not move biases, norms and frozen parts", function()
    local d = landscape.directions.random(P, "d", 1, 1)
    for _, parameter in ipairs(P.parameters) do
      local values, w = d:parameter(parameter):read(), P:master(parameter):read()
      local width = parameter.shape[2]
      for r = 0, width and parameter.shape[1] - 1 or -1 do
        local dd, ww = 0, 0
        for k = r * width + 1, (r + 1) * width do
          dd, ww = dd + values[k] ^ 2, ww + w[k] ^ 2
        end
        assert.near(parameter.frozen and 0 or math.sqrt(ww), math.sqrt(dd), 1e-5, parameter.name)
      end
      for k = 1, width and 0 or parameter.count do
        assert.equal(0, values[k])
      end
    end
  end)

  it("is the seed's and the number's", function()
    local a = landscape.directions.random(P, "a", 1, 1)
    local function cosine(seed, number)
      local b = landscape.directions.random(P, "b", seed, number)
      return (a:dot(b) / (a:norm() * b:norm())):read()
    end
    assert.near(1, cosine(1, 1), 1e-12)
    assert.is_true(math.abs(cosine(1, 2)) < 0.6)
    assert.is_true(math.abs(cosine(2, 1)) < 0.6)
  end)
end)

-- Eigenvalues of a symmetric matrix, in f64, by Jacobi's rotations; sorted.
local function eigenvalues(a)
  local n = #a
  for _ = 1, 12 do
    for p = 1, n - 1 do
      for q = p + 1, n do
        local angle = 0.5 * math.atan2(2 * a[p][q], a[q][q] - a[p][p])
        local c, s = math.cos(angle), math.sin(angle)
        for k = 1, n do
          a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
        end
        for k = 1, n do
          a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
        end
      end
    end
  end
  local list = {}
  for k = 1, n do
    list[k] = a[k][k]
  end
  table.sort(list)
  return list
end

describe("the largest eigenvalue of the Hessian", function()
  it("is that of the matrix that loops make", function()
    local view, P = new_view()
    local w, h = logistic.read(P, "master"), {}
    for i = 1, #w do
      h[i] = {}
      for j = 1, #w do
        h[i][j] = 0
      end
    end
    for _, sample in ipairs(logistic.ALL) do
      local x, y = logistic.sample(0, sample, #w)
      local s = 1 / (1 + math.exp(-y * logistic.dot(w, x)))
      for i = 1, #w do
        for j = 1, #w do
          h[i][j] = h[i][j] + s * (1 - s) * x[i] * x[j] / #logistic.ALL
        end
      end
    end
    local all = eigenvalues(h)
    local found = landscape.curvature.largest(view, { tolerance = 1e-5 })
    assert.near_relative(all[#all], found.value, 1e-4)
    assert.is_true(found.converged)
    assert.is_true(found.residual < 0.01 * found.value)
    assert.is_nil(found.lowest)
    assert.is_true(found.iterations > 2)
    assert.same(w, logistic.read(P, "weight"))
  end)

  -- ½ Σ λ_k w_k²: its Hessian is diagonal.
  local function quadratic(lambda)
    local P = params.new(devices.open("cpu"),
      { { name = "m", kind = "matrix", shape = { 1, #lambda } } })
    return landscape.new({ params = P, evaluate = function(request)
      P:flush()
      local w, g, loss = P:weight("m"):read(), {}, 0
      for k, l in ipairs(lambda) do
        g[k], loss = l * w[k], loss + 0.5 * l * w[k] ^ 2
      end
      P:grad("m", request.into):write(g)
      P:touch(request.into)
      return { mean = function() return loss end }
    end })
  end

  it("is the largest also where the lowest is larger in magnitude", function()
    local lambda = { -5, 3, 2 }
    for k = 4, 20 do
      lambda[k] = math.sin(k)
    end
    local found = landscape.curvature.largest(quadratic(lambda), { tolerance = 1e-7 })
    assert.near(3, found.value, 1e-3)
    assert.near(-5, found.lowest, 1e-3)
    assert.is_true(found.converged)
    lambda[1] = -1
    found = landscape.curvature.largest(quadratic(lambda), { tolerance = 1e-7 })
    assert.near(3, found.value, 1e-3)
    assert.is_nil(found.lowest)
  end)

  it("of a plane loss is 0, and one that needs more iterations says so", function()
    assert.equal(0, landscape.curvature.largest(quadratic({ 0, 0, 0 })).value)
    local found = landscape.curvature.largest(quadratic({ 1, 0.9, 0.8 }), { iterations = 3,
      tolerance = 1e-9 })
    assert.is_false(found.converged)
    assert.equal(3, found.iterations)
  end)
end)
