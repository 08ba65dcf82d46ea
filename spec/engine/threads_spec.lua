--- How many threads there are: whatever OpenMP grants, results are those of that many threads. One
-- training step of a small BERT runs in a process of its own under each environment; its weights
-- are compared byte by byte with a run that asked for as many threads as were granted.
local helper = require("spec.helper")

local STEP = [[
local bert = require("spec.lua.small_bert")
local C = require("fsam.C")
require("fsam").device.threads(tonumber(arg[1]))
local bits = bert.run({ precision = "fp32", optimizer = "sam", sam_type = "fisher-sam" }, 2)
local a, b = 1, 0
for i = 1, #bits do
  a = (a + bits:byte(i)) % 4294967291
  b = (b * 31 + a) % 4294967291
end
print(C.lib.fsam_threads(), ("%08x%08x"):format(a, b))
]]

local ENVIRONMENTS = {
  "OMP_DYNAMIC=true", "OMP_DYNAMIC=false", "OMP_THREAD_LIMIT=1", "OMP_THREAD_LIMIT=2",
  "OMP_THREAD_LIMIT=64", "OMP_NUM_THREADS=1", "OMP_NUM_THREADS=3", "OMP_NUM_THREADS=2,1",
  "OMP_MAX_ACTIVE_LEVELS=0", "OMP_MAX_ACTIVE_LEVELS=4", "OMP_NESTED=true", "OMP_PROC_BIND=true",
  "OMP_PROC_BIND=close", "OMP_PROC_BIND=spread OMP_PLACES=threads", "OMP_PLACES=cores",
  "OMP_PLACES='{0}'", "OMP_STACKSIZE=1M", "OMP_STACKSIZE=64M", "OMP_SCHEDULE=dynamic,1",
  "OMP_SCHEDULE=guided", "OMP_WAIT_POLICY=passive", "OMP_WAIT_POLICY=active",
  "OMP_DYNAMIC=true OMP_THREAD_LIMIT=3 OMP_PROC_BIND=true", "GOMP_SPINCOUNT=0",
}

describe("threads #slow", function()
  local script

  setup(function()
    script = os.tmpname()
    helper.write_file(script, STEP)
  end)

  teardown(function()
    os.remove(script)
  end)

  -- threads granted, digest of the weights
  local function step(environment, threads)
    local code, out, err = helper.fsam_lua({ script, tostring(threads),
      env = environment .. " LUA_PATH='./?.lua;./?/init.lua;;'" })
    assert.equal(0, code, environment .. ": " .. err)
    local granted, digest = out:match("^(%d+)%s+(%x+)")
    return tonumber(granted), digest
  end

  local expected = {} -- digest by number of threads
  local function digest_of(threads)
    if not expected[threads] then
      local granted, digest = step("FSAM_SPEC=1", threads)
      assert.equal(threads, granted)
      expected[threads] = digest
    end
    return expected[threads]
  end

  for _, environment in ipairs(ENVIRONMENTS) do
    it("of " .. environment .. " change no bit of a step", function()
      local granted, digest = step(environment, 2)
      assert.is_true(granted >= 1 and granted <= 2, granted)
      assert.equal(digest_of(granted), digest)
    end)
  end

  it("are what OMP_NUM_THREADS says when all are asked for", function()
    assert.equal(1, (step("OMP_NUM_THREADS=1", 0)))
    assert.equal(3, (step("OMP_NUM_THREADS=3", 0)))
  end)

  it("are so too when a device was opened first, as recipes do", function()
    for _, n in ipairs({ "1", "3" }) do
      local _, out = helper.fsam_lua({ "recipes/cola.lua", "--no-save", "--max-update", "1",
        "--max-train-samples", "32", env = "OMP_NUM_THREADS=" .. n })
      assert.matches(("cpu, %s thread"):format(n), out, 1, true)
    end
    local _, out = helper.fsam_lua({ "recipes/cola.lua", "--no-save", "--max-update", "1",
      "--max-train-samples", "32", "--threads", "2", env = "OMP_NUM_THREADS=1" })
    assert.matches("cpu, 2 threads", out, 1, true)
  end)

  it("that are asked for are not bound by an OMP_NUM_THREADS that no machine has", function()
    local code, out, err = helper.fsam_lua({ "-e", "print(fsam.device.threads(2))",
      env = "OMP_NUM_THREADS=999999" })
    assert.same({ 0, "2\n", "" }, { code, out, err })
  end)

  it("are never more than OpenMP grants", function()
    assert.equal(1, (step("OMP_THREAD_LIMIT=1", 4)))
    assert.equal(4, (step("OMP_NUM_THREADS=1", 4)))
  end)
end)
