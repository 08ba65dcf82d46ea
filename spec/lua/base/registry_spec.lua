-- A name stands for one thing: whatever can be defined refuses a name that is taken, in its
-- author's line.
require("spec.helper")
local errors = require("fsam.errors")
local families = require("fsam.models.families")
local mask = require("fsam.mask")
local optim = require("fsam.optim")
local sam = require("fsam.sam")
local tasks = require("fsam.data.tasks")


-- What can be defined: its register, a name of ours, and a part that is enough; without one a thing
-- of ours is defined under another name.
local KINDS = {
  { "sam.define", sam, "gsam", "ascend" }, { "optim.define", optim, "lion", "update" },
  { "mask.define", mask, "magnitude", "values" },
  { "models.define", families, "bert" }, { "tasks.define", tasks, "rte" },
}

-- A definition of `name` in a file of the user's, at a line.
local function define(kind, name, file, line)
  local what, register, ours, part = unpack(kind)
  local thing = part and { [part] = function(s) return s.w end } or register.get(ours)
  local source = ("\n"):rep(line - 1) .. "local register, name, thing = ... "
    .. "register.define(name, thing)"
  local ok, err = pcall(assert(loadstring(source, "=" .. file)), register, name, thing)
  return ok or tostring(err), what
end

describe("a name", function()
  for _, kind in ipairs(KINDS) do
    local what, ours = kind[1], kind[3]

    it("of ours is refused: " .. what, function()
      assert.equal(('mine.lua:3: %s(%q): %s is built in; choose another name'):format(what, ours,
        ours), (define(kind, ours, "mine.lua", 3)))
    end)

    it("of the user's own is refused at another place: " .. what, function()
      assert.is_true(define(kind, "mine", "mine.lua", 3))
      assert.is_true(define(kind, "mine", "mine.lua", 3)) -- the same file, run again
      assert.equal(('other.lua:7: %s("mine"): mine is defined already, at mine.lua:3; choose '
        .. "another name"):format(what), (define(kind, "mine", "other.lua", 7)))
    end)

    it("may be typed again at the prompt: " .. what, function()
      assert.is_true(define(kind, "typed", "stdin", 1))
      assert.is_true(define(kind, "typed", "stdin", 4))
    end)
  end

  it("is refused before its file was loaded", function()
    package.loaded["fsam.sam"], package.loaded["fsam.sam.types.rst"] = nil, nil
    local fresh = require("fsam.sam")
    local ok, err = pcall(fresh.define, "rst", { ascend = function(s) return s.g end })
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.matches("rst is built in; choose another name", tostring(err), 1, true)
    package.loaded["fsam.sam"] = sam
  end)
end)
