--- What in the environment decides about bits is written down, and said where a run goes on in
-- another one.
local helper = require("spec.helper")
local json = require("fsam.base.json")

describe("a run that goes on in another environment", function()
  local folder

  local function go(epochs, env)
    return helper.fsam_lua({ env = env, "spec/faults/small_run.lua", "--save-dir",
      folder .. "/run", "--threads", "1", "--precision", "fp32", "--batch-size", "8",
      "--max-epoch", tostring(epochs), "--log-format", "simple" })
  end

  local function recorded()
    local path = folder .. "/run/checkpoint_last/trainer.json"
    return json.decode(helper.read_file(path), path).environment.matrix_library
  end

  before_each(function()
    folder = helper.memory_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  for _, env in ipairs({ "DNNL_MAX_CPU_ISA=SSE41", "ONEDNN_MAX_CPU_ISA=SSE41",
    "DNNL_DEFAULT_FPMATH_MODE=BF16", "DNNL_CPU_ISA_HINTS=PREFER_YMM" }) do
    it("says so in a line: " .. env, function()
      assert.equal(0, (go(1)))
      local before = recorded()
      assert.matches("^%S+ [%d.]+ ", before)
      if not before:find("^oneDNN") then
        pending("the matrix library is not oneDNN")
        return
      end
      local code, out = go(2, env)
      assert.equal(0, code)
      assert.are_not.equal(before, recorded())
      assert.matches(("warning  the run began with matrix library %s, now %s; it continues, but "
        .. "not bit for bit\n"):format(before, recorded()), out, 1, true)
    end)
  end

  it("says nothing in the same one, or of a run that did not write it down", function()
    assert.equal(0, (go(1)))
    local function goes_on(epochs)
      local code, out = go(epochs)
      assert.equal(0, code)
      assert.is_nil(out:find("the run began", 1, true))
    end
    goes_on(2)
    local path = folder .. "/run/checkpoint_last/trainer.json"
    local text, count = helper.read_file(path):gsub('"matrix_library": "[^"]*",', "")
    assert.equal(1, count)
    helper.write_file(path, text)
    goes_on(3)
  end)

  it("says which model it began from, and that another --restore-file has no effect", function()
    local function go_from(epochs, model)
      local code, out = helper.fsam_lua({ "spec/faults/small_run.lua", "--save-dir", folder .. "/b",
        "--max-epoch", tostring(epochs), "--log-format", "simple", "--restore-file", model })
      assert.equal(0, code)
      return out:match("model    ([^,\n]*),"), out:match("[^\n]*has no effect")
    end
    go(1)
    local first = folder .. "/run/checkpoint_last"
    assert.same({ first }, { go_from(1, first) })
    assert.same({ first }, { go_from(2, first .. "/") }) -- the same folder in other words
    assert.same({ first, ("warning  the run in %s/b began from %s and goes on from its checkpoint; "
      .. "--restore-file %s/run/checkpoint_best has no effect"):format(folder, first, folder) },
      { go_from(3, folder .. "/run/checkpoint_best") })
    assert.same({ first }, { go_from(4, first) })
  end)

  it("does not begin where FSAM_ISA names no instruction set", function()
    local code, _, err = go(1, "FSAM_ISA=xyz")
    assert.equal(1, code)
    assert.equal("small_run.lua: FSAM_ISA is xyz, expected generic, avx2 or avx512\n", err)
  end)
end)
