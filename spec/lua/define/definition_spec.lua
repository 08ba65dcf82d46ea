-- What a definition may hold: names that s has already are refused, whatever declares them, and
-- mask policies are checked as types and optimizers are. (Mistakes within parts:
-- sam/errors_spec.lua.)
local fields = require("fsam.define.fields")
local mask = require("fsam.mask")
local masked = require("spec.lua.mask.masked")
local model = require("spec.lua.logistic")
local optim = require("fsam.optim")
local sam = require("fsam.sam")

local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok, "no error")
  return (tostring(err):gsub("^[^:]*definition_spec%.lua:%d+: ", ""))
end

local function ascend(s)
  return s.g
end

describe("a name that s has", function()
  for _, part in ipairs({ "state", "scratch", "scalars", "options" }) do
    it("is refused in " .. part, function()
      for _, field in ipairs(fields.list) do
        local declared = part == "options" and { [field.name] = 1 } or { field.name }
        if field.name ~= "rho" or part ~= "options" then
          assert.equal(('sam.define("x"): %s: s.%s is taken; choose another name'):format(part,
            field.name), refusal(function()
              sam.define("x", { ascend = ascend, [part] = declared })
            end))
        end
      end
    end)
  end

  it("cannot have is refused too", function()
    for _, part in ipairs({ "state", "scratch", "scalars", "options" }) do
      for _, name in ipairs({ "a b", "", "1st", "a.b", "a/b", "é", "a\nb" }) do
        local declared = part == "options" and { [name] = 1 } or { name }
        local said = refusal(function()
          sam.define("x", { ascend = ascend, [part] = declared })
        end)
        assert.equal(('sam.define("x"): %s: "%s" is no name that s.NAME could have; letters, '
          .. "digits and underscores make one"):format(part, name:gsub("\n", " ")), said)
      end
    end
  end)

  it("is refused in a base optimizer too", function()
    assert.equal('optim.define("x"): state: s.parameters is taken; choose another name',
      refusal(function()
        optim.define("x", { state = { "parameters" }, update = ascend })
      end))
    assert.equal('optim.define("x"): options: s.lr is taken; choose another name',
      refusal(function()
        optim.define("x", { options = { lr = 1 }, update = ascend })
      end))
  end)

  it("is refused when another part of the definition declares it", function()
    assert.equal('sam.define("x"): state: s.m is taken by its options; choose another name',
      refusal(function()
        sam.define("x", { options = { m = 1 }, state = { "m" }, ascend = ascend })
      end))
    assert.equal('sam.define("x"): state: s.rho_min is taken by its options; choose another name',
      refusal(function()
        sam.define("x", { options = { rho = 1 }, state = { "rho_min" }, ascend = ascend })
      end))
    assert.equal('sam.define("x"): scalars: s.m is taken by its state; choose another name',
      refusal(function()
        sam.define("x", { state = { "m" }, scalars = { "m" }, ascend = ascend })
      end))
  end)
end)

describe("a mask policy", function()
  it("is refused where a part is unknown, of the wrong kind, or missing", function()
    assert.matches('^mask.define%("x"%): part value is unknown; did you mean values%?',
      refusal(function()
        mask.define("x", { value = ascend, values = ascend })
      end))
    assert.equal('mask.define("x"): passes is a number, expected a boolean', refusal(function()
      mask.define("x", { passes = 1, values = ascend })
    end))
    assert.equal('mask.define("x"): a name and a table with values, a function, are needed',
      refusal(function()
        mask.define("x", {})
      end))
  end)

  it("must return a vector", function()
    mask.define("narrow", { values = function(s) return (s.w:norm()) end })
    local P, optimizer = masked.build({ fisher = "narrow" })
    assert.equal("values of narrow returned a scalar; it must return the importance of each "
      .. "weight, a vector of the whole model", refusal(model.step, P, optimizer, 0))
  end)

  it("reads the options of masks and the base optimizer, and not the type's", function()
    local seen
    mask.define("reader", { values = function(s)
      seen = { s.keep_ratio, s.num_samples, s.base.momentum, s.N, s.step }
      return s.w:abs()
    end })
    local P, optimizer = masked.build({ fisher = "reader", momentum = 0.5 })
    model.step(P, optimizer, 0)
    assert.same({ 0.25, 5, 0.5, model.N, 0 }, seen)
    mask.define("stranger", { values = function(s) return s.w * s.beta end })
    P, optimizer = masked.build({ fisher = "stranger", sam_type = "fisher-esam" })
    assert.matches("^s.beta is unknown in stranger", refusal(model.step, P, optimizer, 0))
  end)
end)

describe("a part that compares a vector with a number by == or ~=", function()
  local three = 3
  local PARTS = {
    ["what norm() returns"] = function(s) local n = s.g:norm() if n == 0 then return s.g end end,
    ["what dot() returns"] = function(s) return s.g:dot(s.w) ~= three and s.g or s.w end,
    ["s.g"] = function(s) return s.g == 3 and s.w or s.g end,
    ["what max_abs() returns"] = function(s)
      return s:each(function() return s.g:max_abs() == 1 and 1 or 2 end) end,
  }
  for what, part in pairs(PARTS) do
    it("is refused when it is defined: " .. what, function()
      for _, define in ipairs({ function() sam.define("x", { ascend = part }) end,
        function() optim.define("x", { update = part }) end }) do
        assert.matches("^" .. what:gsub("[%(%)]", "%%%0") .. " is no number, so Lua's == and ~= "
          .. "never look at its value; read it first: ", refusal(define))
      end
    end)
  end

  it("is let alone where numbers are compared", function()
    local function fine(s)
      local n = s:read(s.g:norm())
      return n == 0 and s.step ~= 3 and s.g2 == nil and s.w:norm():read() == 1 and s.w or s.g
    end
    sam.define("compares-numbers", { ascend = fine })
    assert.is_table(sam.get("compares-numbers"))
  end)
end)
