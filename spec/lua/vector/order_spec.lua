local program = require("fsam.vector.compile")
local support = require("spec.lua.vector.support")
local f32 = support.f32

local model, constant = support.constants, support.constant

local function sweeps(P, run)
  local before = P.queue:report().sweeps
  run()
  return P.queue:report().sweeps - before
end

describe("an expression", function()
  it("reads vectors as they were when it was built", function()
    local P, v = model({ a = 1, b = 10 })
    local sum = v.a + v.b
    v.a:set(2)
    v.b:set(20)
    local to = P:vector("to")
    to:set(sum)
    assert.equal(11, constant(P, to))
    assert.equal(2, constant(P, v.a))
    to:set(v.a + v.b)
    assert.equal(22, constant(P, to))
  end)

  it("reads what set returned as the new value", function()
    local P, v = model({ a = 1, b = 10 })
    local new = v.a:set(v.a + 1)
    v.b:set(new * 3 + v.a)
    assert.equal(8, constant(P, v.b))
    assert.equal(2, constant(P, v.a))
  end)

  it("keeps its meaning in the momentum of Friendly SAM", function()
    local P, v = model({ g = 4, m = 1 })
    local d = v.g - 0.5 * v.m
    v.m:set(0.9 * v.m + 0.1 * v.g)
    local to = P:vector("to")
    to:set(d * (2 / d:norm()))
    P:commit()
    assert.equal(f32(f32(f32(0.9) * 1) + f32(f32(0.1) * 4)), constant(P, v.m))
    assert.near(2, to:norm():read(), 1e-6)
  end)

  it("swaps, and goes round in a circle of three", function()
    local P, v = model({ a = 1, b = 2, c = 3 })
    local a, b, c = v.a * 1, v.b * 1, v.c * 1
    v.a:set(b)
    v.b:set(c)
    v.c:set(a)
    assert.equal(1, sweeps(P, function() P:commit() end))
    assert.same({ 2, 3, 1 }, { constant(P, v.a), constant(P, v.b), constant(P, v.c) })
    local old = v.a + 0
    v.a:set(v.b)
    v.b:set(old)
    assert.same({ 3, 2 }, { constant(P, v.a), constant(P, v.b) })
    local x, y = v.a.now, v.b.now
    v.a:set(y)
    v.b:set(x)
    assert.same({ 2, 3 }, { constant(P, v.a), constant(P, v.b) })
  end)

  it("swaps named scalars, too", function()
    local P = model({ a = 1 })
    local s, t = P:scalar("s"), P:scalar("t")
    s:set(1)
    t:set(2)
    P:commit()
    local old = s + 0
    s:set(t + 0)
    t:set(old)
    P:commit()
    assert.equal(2, s:read())
    assert.equal(1, t:read())
  end)

  it("follows a chain of sets of one vector", function()
    local P, v = model({ a = 1, b = 0 })
    for _ = 1, 5 do
      v.b:set(v.b + v.a:set(v.a * 2))
    end
    assert.equal(1, sweeps(P, function() P:commit() end))
    assert.equal(32, constant(P, v.a))
    assert.equal(62, constant(P, v.b))
  end)

  it("follows a chain through reductions, and stores nothing too early", function()
    local P, v = model({ a = 1, b = 2, c = 0 })
    local old_a = v.a + 0
    v.a:set(v.a / v.a:max() + v.b:max()) -- 1 / 1 + 2 = 3
    v.b:set(v.b + v.a:max())             -- 2 + 3 = 5
    v.c:set(old_a * v.b:max() + v.a)     -- 1 * 5 + 3 = 8
    P:commit()
    assert.same({ 3, 5, 8 }, { constant(P, v.a), constant(P, v.b), constant(P, v.c) })
  end)

  it("takes the new value of a set that runs later by computing it anew", function()
    local P, v = model({ m = 1, g = 2, x = 0, y = 0 })
    local old = v.m + 0
    local new = v.m:set(v.m + v.g)          -- must wait for y's sweep: y reads the old m there
    v.x:set(new * (1 / new:max()))          -- 3 / 3
    v.y:set(old * (v.x:max() + new:max()))  -- 1 * (1 + 3)
    P:commit()
    assert.same({ 3, 1, 4 }, { constant(P, v.m), constant(P, v.x), constant(P, v.y) })
  end)

  it("that reads a value already replaced is an error with both lines", function()
    local P, v = model({ a = 1, b = 2 })
    local stale = v.a * 2
    v.a:set(5)
    P:commit()
    local ok, err = pcall(function()
      v.b:set(stale)
      P:commit()
    end)
    assert.is_false(ok)
    local file = "order_spec.lua:%d+"
    local reads, sets =
      tostring(err):match("(" .. file .. "): this reads a as it was before [^ ]-(" .. file .. ")")
    assert.truthy(reads and sets and reads ~= sets, tostring(err))
    assert.equal(2, constant(P, v.b))
    v.b:set(v.a + 1)
    assert.equal(6, constant(P, v.b))
  end)

  it("that was reduced before its vectors changed keeps the number", function()
    local P, v = model({ a = 3, b = 0 })
    local largest = v.a:max()
    assert.equal(3, largest:read())
    v.a:set(7)
    P:commit()
    v.b:set(v.b + largest)
    assert.equal(3, constant(P, v.b))
  end)
end)

describe("sweeps over memory:", function()
  it("Adam's four writes are one", function()
    local P, v = model({ exp_avg = 0, exp_avg_sq = 0 })
    support.fill(P, P.g, function() return 0.5 end)
    assert.equal(1, sweeps(P, function()
      local m = v.exp_avg:set(0.9 * v.exp_avg + 0.1 * P.g)
      local s = v.exp_avg_sq:set(0.99 * v.exp_avg_sq + 0.01 * P.g * P.g)
      P.c:set(P.w:set(P.w - m / (s:sqrt() + 1e-8) * 0.1))
      P:commit()
    end))
    assert.near(-0.1, constant(P, P.w), 1e-6)
    assert.equal(constant(P, P.w), constant(P, P.c))
  end)

  it("a perturbation with its norm takes two, with clipping and its report still two", function()
    local P = model({})
    support.fill(P, P.g, function(n) return support.finite(n, 1) end)
    assert.equal(2, sweeps(P, function()
      local t = P.w:abs() + 0.01
      P.c:set(P.w + t * t * P.g * (0.5 / (t * P.g):norm()))
      P:commit()
    end))
    assert.equal(2, sweeps(P, function()
      local norm = P.g:norm():request()
      local d = P.g * (1 / (norm + 1e-6)):min(1)
      d:norm():request()
      P.w:set(P.w - d)
      P.c:set(P.w)
      P:commit()
    end))
  end)

  it("a value that overwrites nothing still read is computed in place", function()
    local P, v = model({ a = 1, b = 2 })
    local difference = v.a - v.b
    v.b:set(v.b * 2)
    v.a:set(difference)
    P:commit()
    assert.is_nil(program.describe(P.queue:report().last_program):find("COPY"))
    assert.same({ -1, 4 }, { constant(P, v.a), constant(P, v.b) })
  end)

  it("numbers are argument slots: 0 and 1 and others share a program", function()
    local P, v = model({ a = 1 })
    local count = 0
    for _, rate in ipairs({ 0.1, 0, 1, -3 }) do
      v.a:set(v.a * rate + rate)
      P:commit()
      count = 0
      for _ in pairs(P.queue:report().programs) do
        count = count + 1
      end
    end
    assert.equal(1, count)
  end)
end)

describe("the bits of a program's results", function()
  -- A run with reductions, masks and random numbers; a digest of everything it wrote.
  local code = [[
    local C = require("fsam.C")
    local support = require("spec.lua.vector.support")
    local P = support.model("bf16", {
      { name = "a", kind = "matrix", shape = { 300, 700 } },
      { name = "b", kind = "bias", shape = { 77 } },
      { name = "c", kind = "norm", shape = { 5001 } } })
    C.check(C.lib.fsam_threads_set(THREADS))
    local m, k = P:vector("m"), P:mask("k")
    P.w:set(P:normal({ seed = 3, step = 1 }) * 0.02)
    P.g:set(P:uniform({ seed = 3, step = 2 }) - 0.5)
    k:top(P.g * P.g + P.w:exp() * 1e-3, { keep_ratio = 0.3 })
    local t = P.w:abs() + 0.01
    local e = t * t * P.g * (0.5 / (t * P.g):norm()) * k
    m:set(e / P.w:per("tensor"):norm() + (P.g:abs() + 1):log() ^ 1.7)
    P.c:set(P.w + m, { rounding = "stochastic", seed = 1, step = 2 })
    P:commit()
    local sums = {}
    for _, x in ipairs({ m, P.c, P.w }) do
      sums[#sums + 1] = ("%.17g %.17g"):format(x:norm():read(), x:dot(P.g):read())
    end
    local hash, C_data = 0, require("fsam.C").ffi.cast("int32_t *", m.raw.data)
    for i = 0, P.total - 1 do
      hash = (hash * 31 + C_data[i]) % 9007199254740881
    end
    print(table.concat(sums, " "), ("%.17g"):format(hash), k:count())
  ]]
  local helper = require("spec.helper")

  local function run(isa, threads)
    local env = ("FSAM_ISA=%s LUA_PATH='./?.lua;./?/init.lua;;'"):format(isa)
    local status, out, err = helper.fsam_lua({ "-e", (code:gsub("THREADS", threads)), env = env })
    assert.equal(0, status, err)
    return out
  end

  it("are the same at any thread count and instruction set", function()
    local reference = run("generic", 1)
    assert.truthy(#reference > 50)
    assert.equal(reference, run("generic", 2))
    assert.equal(reference, run("avx2", 3))
    assert.equal(reference, run("avx512", 1))
    assert.equal(reference, run("avx512", 2))
    assert.equal(reference, run("avx512", 5))
  end)
end)
