--- Limits of stack and memory under which the matrix library would end the program without a word:
-- each is met with enough of it, or with one line.
local helper = require("spec.helper")

-- One start under a shell's limit: exit code and standard error.
local function start(before, env)
  local code, _, err = helper.shell(("%s; env %s %s/fsam-lua spec/faults/small_run.lua --no-save "
    .. "--threads 2 --max-epoch 1 --log-format none"):format(before, env or "A=1",
    helper.quote(helper.build_dir())))
  return code, err
end

local sanitized = select(2, helper.shell(("grep -c libasan %s/libfsam.so")
  :format(helper.quote(helper.build_dir())))) ~= "0\n"

describe("a limit", function()
  for _, size in ipairs({ "1", "16k", "64K", "96k", "65536B", "4M", "nonsense" }) do
    it("of the stacks of threads does no harm: OMP_STACKSIZE=" .. size, function()
      local code, err = start("true", "OMP_STACKSIZE=" .. size)
      assert.equal(0, code, err)
    end)
  end

  it("of the stack that the system lets us raise does no harm", function()
    for _, size in ipairs({ 16, 64, 512 }) do
      local code, err = start("ulimit -S -s " .. size)
      assert.equal(0, code, err)
    end
  end)

  it("of the stack that is too low is said", function()
    local code, err = start("ulimit -s 64")
    assert.equal("fsam-lua: the limit of the stack is below 256 KB; raise it (ulimit -s 8192)\n",
      err)
    assert.equal(1, code)
  end)

  it("of the address space is said in one line", function()
    if sanitized then
      pending("the sanitizers need more address space than any limit here")
      return
    end
    local refused = 0
    for size = 70000, 210000, 10000 do
      local code, err = start("ulimit -v " .. size)
      if code ~= 0 then
        refused = refused + 1
        assert.equal(1, code, err)
        assert.matches("^%S+: [^\n]*memory[^\n]*\n$", err)
      end
    end
    assert.is_true(refused > 0)
  end)
end)
