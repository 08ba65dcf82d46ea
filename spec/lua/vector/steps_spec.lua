local support = require("spec.lua.vector.support")
local params = require("fsam.vector.params")
local device = require("fsam.base.device")

local function first(P, x)
  return support.read(P, x)[1]
end

-- What the memory holds, without running anything.
local function in_memory(x)
  return require("fsam.C").ffi.cast("float *", x.raw.data)[0]
end

describe("inside a step", function()
  it("flush runs transient sets; persistent ones wait for commit", function()
    local P = support.model()
    local m, n, k = P:vector("m"), P:scalar("n", 1), P:mask("k")
    P:begin_step()
    m:set(m + 1)
    n:set(n + 1)
    k:set(m:gt(0))
    P.c:set(m + 2)
    P:flush()
    assert.equal(0, in_memory(m))
    assert.equal(3, in_memory(P.c))
    P:commit()
    assert.equal(1, in_memory(m))
    assert.equal(2, n:read())
    assert.equal(P.trainable, k:count())
  end)

  it("discard leaves every persistent thing as it was", function()
    local P = support.model()
    local m, n, k = P:vector("m"), P:scalar("n", 4), P:mask("k")
    support.fill(P, m, function(i) return i end)
    k:top(m, { keep_ratio = 0.25 })
    local before, bits, count = support.read(P, m), support.read_bits(P, k), k:count()
    P:begin_step()
    m:set(m * 2)
    n:set(n + m:norm())
    k:top(-m + 1e6, { keep_ratio = 0.5 })
    P.c:set(k * m)
    P:flush()
    P:discard()
    assert.same(before, support.read(P, m))
    assert.equal(4, n:read())
    assert.same(bits, support.read_bits(P, k))
    assert.equal(count, k:count())
    m:set(m + 1)
    assert.equal(before[1] + 1, first(P, m))
  end)

  it("what was built from a discarded value says so", function()
    local P = support.model()
    local m = P:vector("m")
    P:begin_step()
    local late = m:set(m + 1) * 2
    P:discard()
    m:set(late)
    local ok, err = pcall(P.commit, P)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("discarded", 1, true))
    assert.equal(0, first(P, m))
  end)

  it("a transient set may use a persistent one's new value before that is stored", function()
    local P = support.model()
    local m = P:vector("m")
    support.fill(P, P.g, function() return 2 end)
    P:begin_step()
    local new = m:set(0.5 * m + P.g)
    P.c:set(new * 3)
    P:flush()
    assert.equal(6, in_memory(P.c))
    assert.equal(0, in_memory(m))
    P:commit()
    assert.equal(2, in_memory(m))
  end)

  it("a scalar can be read: transient sets run, persistent ones still wait", function()
    local P = support.model()
    local m = P:vector("m")
    P:begin_step()
    local norm = m:set(m + 1):norm()
    assert.near(math.sqrt(P.trainable), norm:read(), 1e-9)
    assert.equal(0, in_memory(m))
    P:discard()
    assert.near(math.sqrt(P.trainable), norm:read(), 1e-9)
  end)

  it("requested scalars are computed by the next run, without sweeps of their own", function()
    local P = support.model()
    P:begin_step()
    local norm, largest = P.g:norm():request(), P.g:max_abs():request()
    P.c:set(P.w + P.g)
    P:flush()
    local before = P.queue:report()
    assert.equal(1, before.last_program.sweeps)
    assert.same({ 0, 0 }, { norm:read(), largest:read() })
    assert.equal(before.sweeps, P.queue:report().sweeps)
    P:commit()
  end)

  it("looking at a vector is an error with the line", function()
    local P = support.model()
    P:begin_step()
    local ok, err = pcall(function() return P.w:tensor() end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("steps_spec.lua:%d+: w is looked at inside a step"))
    assert.equal("w: 4810 f32", tostring(P.w))
    P:discard()
  end)

  it("touch ends the value that others overwrote", function()
    local P = support.model()
    local old = P.g * 2
    support.fill(P, P.g, function() return 3 end)
    P.c:set(old)
    local ok, err = pcall(P.flush, P)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("as it was before a model pass", 1, true))
    P.c:set(P.g * 2)
    P:flush()
    assert.equal(6, in_memory(P.c))
  end)
end)

describe("named scalars", function()
  it("are f64, start at the value given, and mix with everything", function()
    local P = support.model()
    local mean, var = P:scalar("mean", 0.1), P:scalar("var")
    support.fill(P, P.g, function() return 2 end)
    for _ = 1, 3 do
      local x = P.g:mean()
      var:set(0.9 * var + 0.1 * (x - mean) ^ 2)
      mean:set(0.9 * mean + 0.1 * x)
    end
    local m, s = 0.1, 0
    for _ = 1, 3 do
      s = 0.9 * s + 0.1 * ((2 - m) * (2 - m))
      m = 0.9 * m + 0.1 * 2
    end
    assert.equal(m, mean:read())
    assert.equal(s, var:read())
    P.w:set(P.w + mean)
    assert.equal(support.f32(m), first(P, P.w))
    assert.is_true(P:scalar("mean") ~= nil and P:scalar("mean"):read() == m)
  end)

  it("keep a reduction whose vector is overwritten before the step ends", function()
    local P = support.model()
    local square = P:scalar("square", 1)
    P.g:set(2)
    for _, ending in ipairs({ "discard", "commit" }) do
      P:begin_step()
      square:set(square + P.g:dot(P.g))
      P:flush()
      P.g:set(5) -- as a second pass does
      P:flush()
      P[ending](P)
      assert.equal(ending == "commit" and 1 + 4 * P.trainable or 1, square:read())
      P.g:set(2)
    end
  end)
end)

describe("params", function()
  it("lays out compute parameters first, as given, aligned, neighbours without gaps", function()
    local P = params.new(device.open("cpu"), {
      { name = "n", kind = "norm", shape = { 3 } },
      { name = "q", kind = "matrix", layer = 0, shape = { 8, 16 } },
      { name = "k", kind = "matrix", layer = 0, shape = { 8, 16 } },
      { name = "v", kind = "matrix", layer = 0, shape = { 8, 16 } },
      { name = "odd", kind = "embedding", shape = { 5 } },
      { name = "out", kind = "head", shape = { 2, 2 } },
    }, { compute = "bf16" })
    local order = {}
    for i, parameter in ipairs(P.parameters) do
      order[i] = parameter.name
      assert.equal(0, parameter.offset % 64)
      assert.equal(i - 1, parameter.index)
    end
    assert.same({ "q", "k", "v", "odd", "n", "out" }, order)
    assert.same({ 3 * 128 + 5 + 3 + 4, 0 }, { P.count, P.total % 64 })
    assert.same({ -1, 1 }, { P.by_name.odd.layer, P.by_name.out.layer })
    local whole = P:weight({ "q", "k", "v" }, { 24, 16 })
    assert.equal("bf16", whole:type())
    assert.equal("f32", P:weight("n"):type())
    assert.is_nil(P:weight({ "odd", "q" }, { 1 }))
    P:master("k"):fill(0.5)
    P:touch(P.w)
    P:sync()
    assert.equal(0.5, whole:read()[129])
    assert.equal(0, whole:read()[128])
    assert.is_true(rawequal(P:grad("q"), P:grad(P.by_name.q)))
  end)

  it("sync rounds frozen parameters too", function()
    local P = support.model("bf16")
    P:master("frozen"):fill(1.0009765625)
    P:sync()
    assert.equal(1, P:weight("frozen"):read()[1])
  end)

  it("finds nothing twice and says what is wrong with a spec", function()
    local P = support.model()
    assert.is_true(rawequal(P:vector("x"), P:vector("x")))
    assert.has_error(function() P:mask("x") end)
    assert.has_error(function() support.model("f16") end)
    assert.has_error(function()
      support.model("f32", { { name = "a", kind = "matrx", shape = { 1 } } })
    end)
    assert.has_error(function()
      support.model("f32", { { name = "a", kind = "matrix", shape = { 1 } },
        { name = "a", kind = "matrix", shape = { 1 } } })
    end)
    local ok, err = pcall(P.parameter, P, "a.wieght")
    assert.is_false(ok)
    assert.truthy(tostring(err):find("did you mean a.weight?", 1, true))
  end)

  it("lists what a checkpoint must hold, and prints a line", function()
    local P = support.model()
    P:vector("m")
    P:mask("k")
    P:scalar("n")
    P:scratch("g2")
    local names = {}
    for _, list in ipairs({ "vectors", "masks", "scalars" }) do
      for _, entry in ipairs(P:state()[list]) do
        names[#names + 1] = entry.name
      end
    end
    assert.same({ "w", "m", "k", "n" }, names)
    assert.equal("4810 weights in 7 parameters   w c g   (state: m, k, n)", tostring(P))
    assert.is_true(P:memory().parameters >= 8 * P.total)
  end)
end)
