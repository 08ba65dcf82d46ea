-- Every target of the fuzzer for a few hundred inputs, always the same ones, and every input that
-- once was a finding (kept/). The fuzzer itself must find what it is there for.
local bundles = require("spec.fuzz.bundle")
local errors = require("fsam.errors")
local helper = require("spec.helper")
local lfs = require("lfs")
local loop = require("spec.fuzz.loop")

local FOLDER = helper.root .. "/spec/fuzz/"
local INPUTS = 300

-- The entries of a folder whose names match, sorted.
local function entries(folder, pattern)
  local list = {}
  for name in lfs.dir(folder) do
    list[#list + 1] = name:match(pattern)
  end
  table.sort(list)
  return list
end

describe("every reader accepts mutated inputs or refuses them by one clear line:", function()
  local folder

  before_each(function()
    folder = helper.memory_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  for _, name in ipairs(entries(FOLDER .. "targets", "^(.+)%.lua$")) do
    it(name, function()
      local found = {}
      local this = loop.new({ name = name, seed = 7, folder = folder, found = function(reason)
        found[#found + 1] = reason
      end })
      for _ = 1, INPUTS do
        this:next()
      end
      assert.same({}, found)
      assert.is_true(this.shared.accepted > 0)
    end)
  end

  for _, name in ipairs(entries(FOLDER .. "kept", "^[^.].*")) do
    it("kept/" .. name, function()
      local bundle, target = bundles.decode(helper.read_file(FOLDER .. "kept/" .. name))
      assert.is_nil((loop.new({ name = target, seed = 1, folder = folder }):try(bundle)))
    end)
  end
end)

describe("the fuzzer", function()
  -- What a reader does; what is found.
  local CASES = {
    { "an internal error", function() error("attempt to index nil") end, "^internal: .*attempt" },
    { "control characters", function()
      error(setmetatable({ message = "a\27[31m" }, getmetatable(errors.new(""))), 0)
    end, "^control characters" },
    { "several lines", function()
      error(setmetatable({ message = "a\nb" }, getmetatable(errors.new(""))), 0)
    end, "^several lines" },
    { "a long message", function()
      error(setmetatable({ message = ("a"):rep(1201) }, getmetatable(errors.new(""))), 0)
    end, "^a message of 1201 bytes" },
    { "a slow reader", function()
      local ends = os.clock() + 2.1
      repeat until os.clock() > ends
    end, "^2%.%d seconds" },
    { "nothing in a refusal", function() errors.raise("the file is broken") end },
    { "nothing in a value", function() end },
  }

  for _, case in ipairs(CASES) do
    it("finds " .. case[1], function()
      local folder, name = helper.memory_dir(), "of_this_spec"
      package.loaded["spec.fuzz.targets." .. name] = {
        parts = { { name = "x", kind = "document" } }, words = { "a" }, run = case[2],
        seeds = function() return { { x = "[1]" } } end,
      }
      local found = {}
      local this = loop.new({ name = name, seed = 1, folder = folder, found = function(reason)
        found[#found + 1] = reason
      end })
      this:next()
      package.loaded["spec.fuzz.targets." .. name] = nil
      helper.remove_dir(folder)
      assert.equal(case[3] and 1 or 0, #found)
      if case[3] then
        assert.matches(case[3], found[1])
      end
    end)
  end

  it("keeps the input of a process that a signal ends, and goes on", function()
    local place = helper.memory_dir()
    local target = FOLDER .. "targets/of_this_spec.lua"
    helper.write_file(target, [[
      local ffi = require("ffi")
      return { parts = { { name = "x", kind = "bytes" } }, words = { "CRASH" }, files = false,
        seeds = function() return { { x = "abc" } } end,
        run = function(bundle)
          if bundle.x:find("CRASH.*CRASH") then ffi.cast("char *", 0)[0] = 1 end
        end }
    ]])
    local code, out, err = helper.shell(("FSAM_BUILD=%s FSAM_FUZZ_FINDINGS=%s scripts/fuzz 300x "
      .. "of_this_spec"):format(helper.quote(helper.build_dir()), place .. "/findings"))
    os.remove(target)
    local files = entries(place .. "/findings", "^of_this_spec%-%x+$")
    assert.equal(1, code, err)
    assert.matches("SIG%u+", out)
    assert.matches("\nof_this_spec +300 ", out)
    assert.is_true(#files >= 1)
    local bundle = bundles.decode(helper.read_file(place .. "/findings/" .. files[1]))
    helper.remove_dir(place)
    assert.matches("CRASH", bundle.x, 1, true)
  end)

  it("draws the same inputs from the same seed", function()
    local function inputs()
      local folder, list = helper.memory_dir(), {}
      local this = loop.new({ name = "json", seed = 3, folder = folder, found = function() end })
      local try = this.try
      function this:try(bundle)
        list[#list + 1] = bundles.encode(bundle, "json")
        return try(self, bundle)
      end
      for _ = 1, 200 do
        this:next()
      end
      helper.remove_dir(folder)
      return table.concat(list)
    end
    assert.equal(bundles.hash(inputs()), bundles.hash(inputs()))
  end)
end)
