--- The working copy of weights that were just loaded: it gets its values when something first uses
-- it, and whatever that is sees the weights as they were loaded.
local C = require("fsam.C")
local device = require("fsam.base.device")
local helper = require("spec.helper")
local params = require("fsam.vector.params")
local support = require("spec.lua.vector.support")
local ffi = C.ffi

local sanitized = select(2, helper.shell(("grep -c libasan %s/libfsam.so")
  :format(helper.quote(helper.build_dir())))) ~= "0\n"

-- A model whose master weights were written as loading does it; frozen ones too.
local function loaded(compute)
  local P, n = support.model(compute), 0
  for _, parameter in ipairs(P.parameters) do
    local values = {}
    for i = 1, parameter.count do
      n = n + 1
      values[i] = n % 64 -- exact in bf16
    end
    P:master(parameter):write(values)
  end
  P:loaded()
  return P
end

-- All of c by parameters, as it lies in memory after whatever came before.
local function values_of(P)
  local list = {}
  for _, parameter in ipairs(P.parameters) do
    for _, value in ipairs(P:weight(parameter):read()) do
      list[#list + 1] = value
    end
  end
  return list
end

local function expected(P)
  local list = {}
  for i = 1, P.count do
    list[i] = i % 64
  end
  return list
end

-- What may come first, and leaves c as it was loaded.
local USES = {
  ["a view of a parameter"] = function() end,
  ["all of its memory"] = function(P) P.c:tensor() end,
  ["one parameter of it"] = function(P)
    assert.equal(1, P.c:parameter(P.parameters[1].name):read()[1])
  end,
  ["an expression"] = function(P) assert.is_true(P.c:norm():read() > 0) end,
  ["a pass"] = function(P) P:flush() end,
  ["rounding"] = function(P) P:sync() end,
  ["a new value of w"] = function(P) P.w:set(P.w * 2); P:commit() end,
  ["w's memory"] = function(P) P.w:tensor():fill(7) end,
  ["a mask of its largest elements"] = function(P)
    P:mask("m"):top(P.c, { keep_ratio = 0.5 })
  end,
  ["a step that is dropped"] = function(P)
    P:begin_step()
    P.w:set(P.w + 1)
    P:discard()
  end,
}

describe("the working copy of loaded weights", function()
  for name, use in pairs(USES) do
    it("holds them when its first use is " .. name, function()
      for _, compute in ipairs({ "f32", "bf16" }) do
        local P = loaded(compute)
        use(P)
        assert.same(expected(P), values_of(P))
      end
    end)
  end

  it("holds the frozen ones too when a program writes the others", function()
    local P = loaded("f32")
    P.c:set(P.w + 1)
    P:commit()
    local n = 0
    for _, parameter in ipairs(P.parameters) do
      for _, value in ipairs(P:weight(parameter):read()) do
        n = n + 1
        assert.equal(n % 64 + (parameter.frozen and 0 or 1), value, parameter.name)
      end
    end
  end)

  it("takes no memory before", function()
    if sanitized then
      pending("the sanitizer's own memory is touched at once")
      return
    end
    local function resident()
      local pages = helper.read_file("/proc/self/statm"):match("^%d+ (%d+)")
      return pages * 4096 / 2 ^ 20
    end
    local P = params.new(device.open("cpu"), { { name = "large", kind = "matrix",
      shape = { 4096, 4096 } } })
    P:master("large"):fill(0.5)
    local before = resident()
    P:loaded()
    assert.is_true(resident() - before < 16, "the copy was made at once")
    P:flush()
    assert.is_true(resident() - before > 48, "the copy was not made")
    assert.equal(0.5, ffi.cast("float *", P.c.raw.data)[2 ^ 24 - 1])
  end)
end)
