local failures = require("fsam.program.failure")

-- What main.c gives, as far as calls need it: notes what Ctrl-C would raise.
local function system()
  local sys = { raises = {} }
  function sys.on_interrupt(value)
    sys.raises[#sys.raises + 1] = value == nil and "nothing" or value
  end
  return sys
end

describe("a call of the user's code", function()
  it("gives its results, and lets Ctrl-C in only while it runs", function()
    local sys = system()
    local function add(a, b)
      assert.same({ failures.INTERRUPTED }, sys.raises)
      return a + b, nil, "three"
    end
    local results = { n = 0 }
    local function take(...)
      results = { n = select("#", ...), ... }
    end
    take(failures.call(sys, add, 2, 5))
    assert.same({ n = 4, true, 7, nil, "three" }, results)
    assert.same({ failures.INTERRUPTED, "nothing" }, sys.raises)
  end)

  it("makes one line of an error for the user", function()
    local ok, failure = failures.call(system(), function()
      require("fsam.errors").raise("rho is %d, expected 0 or more", -1)
    end)
    assert.is_false(ok)
    assert.is_true(failure.plain)
    assert.equal("rho is -1, expected 0 or more", failure.text)
  end)

  it("keeps a fault's traceback, down to the user's own code", function()
    local ok, failure = failures.call(system(), function()
      local missing = ({}).nothing
      return missing.field
    end)
    assert.is_false(ok)
    assert.is_nil(failure.plain)
    assert.truthy(failure.text:find("failure_spec.lua:%d+: attempt to index local 'missing'"))
    assert.truthy(failure.text:find("stack traceback:", 1, true))
  end)

  it("says how vectors are compared, where Lua refuses to", function()
    require("fsam.vector")
    local _, failure = failures.call(system(), function()
      return { 1 } > 3
    end)
    assert.truthy(failure.text:find("attempt to compare number with table; vectors and scalars are "
      .. "compared with x:gt(y), ge, lt, le, eq, or read first: s:read(x), x:read()\n", 1, true))
  end)

  it("says nothing for an error without a value, and names what is no text", function()
    local _, silent = failures.call(system(), function() error() end)
    assert.is_nil(silent.text)
    local _, odd = failures.call(system(), function() error({}) end)
    assert.truthy(odd.text:find("(the error is a table value)", 1, true))
  end)

  it("is interrupted by a value that says so", function()
    local _, failure = failures.call(system(), function() error(failures.INTERRUPTED) end)
    assert.equal(failures.INTERRUPTED, failure.value)
    assert.equal("interrupted", failure.text)
  end)
end)
