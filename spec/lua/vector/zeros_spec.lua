-- Strips of a vector that hold zeros alone: what becomes of them is stored only where it differs.
local C = require("fsam.C")
local helper = require("spec.helper")
local support = require("spec.lua.vector.support")
local ffi = C.ffi

--- Memory of this process that is no file's, in MB.
local function resident()
  return tonumber(helper.read_file("/proc/self/status"):match("RssAnon:%s+(%d+)")) / 1024
end

describe("zeros", function()
  it("become what is set, its sign included", function()
    local P = support.model("f32", { { name = "w", kind = "matrix", shape = { 300 } } })
    local v = P:scratch("v")
    for name, case in pairs({
      number = { value = function() return v + 2 end, bits = support.bits(2) },
      ["negative zero"] = { value = function() return v * -1 end, bits = support.bits(-0.0) },
      zero = { value = function() return v * 3 end, bits = 0 },
    }) do
      v:set(0)
      P:flush()
      v:set(case.value())
      P:flush()
      for i, x in ipairs(support.read(P, v)) do
        assert.equal(case.bits, support.bits(x), name .. ", element " .. i)
      end
    end
  end)

  it("replace a single number wherever it stands", function()
    local P = support.model("f32", { { name = "w", kind = "matrix", shape = { 300 } } })
    local v = P:scratch("v")
    for _, place in ipairs({ 1, 2, 8, 9, 17, 64, 127, 128, 129, 256, 299, 300 }) do
      support.fill(P, v, function(n)
        return n == place and 1e-30 or 0
      end)
      v:set(v * 0)
      P:flush()
      for i, x in ipairs(support.read(P, v)) do
        assert.equal(0, support.bits(x), ("element %d, where %d was set"):format(i, place))
      end
    end
  end)

  it("that stay zeros take no memory: the moments of rows that no batch has", function()
    local ROWS, WIDTH = 20000, 256 -- 20 MB in f32
    local P = support.model("f32", { { name = "table", kind = "embedding",
      shape = { ROWS, WIDTH } } })
    local m, v = P:vector("m"), P:vector("v")
    local g = ffi.cast("float *", P.g.raw.data)
    for i = 0, 10 * WIDTH - 1 do
      g[7 * WIDTH + i] = i % 5
    end
    P:touch(P.g)
    local before = resident()
    for _ = 1, 2 do
      P:begin_step()
      m:set(0.9 * m + 0.1 * P.g)
      v:set(0.99 * v + 0.01 * P.g * P.g)
      P:commit()
    end
    assert.is_true(resident() - before < 8, "two steps took memory for the zeros of two vectors")
    assert.is_true(math.abs(v:sum():read() - 10 * WIDTH * 6 * 0.0199) < 1)
  end)
end)
